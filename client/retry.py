"""How long to wait before the next attempt, and when to give up."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from typing import Final

from client.errors import ConnectionBroken, GaveUp
from client.progress import Listener, Waiting
from client.wire import delays
from transfer.protocol.errors import TransferError

GIVE_UP_AFTER: Final = 600.0
JITTER: Final = 0.25


class Patience:
    """Jittered, growing delays; progress begins them anew. Gives up after `give_up_after` seconds without any, which
    what is done here meanwhile does not count against."""

    def __init__(self, give_up_after: float = GIVE_UP_AFTER, clock: Callable[[], float] = time.monotonic) -> None:
        self._give_up_after = give_up_after
        self._clock = clock
        self.progressed()

    def progressed(self) -> None:
        """Something became durable."""
        self.working()
        self._delays = delays()

    def working(self) -> None:
        """Something is done that needs no server, as reading a source: nobody was waited for."""
        self._last = self._clock()

    def next_delay(
        self,
        reason: str = "the server cannot be reached",
        *,
        at_least: float = 0.0,
        own_delays: Iterator[float] | None = None,
    ) -> float:
        """Seconds until the next attempt; `at_least` is what the server asked for, `own_delays` are those of one of
        several who try and wait for each other's progress. Raises GaveUp."""
        left = self._last + self._give_up_after - self._clock()
        if left <= 0:
            raise GaveUp(self._give_up_after, reason)
        delay = next(self._delays if own_delays is None else own_delays) * random.uniform(1 - JITTER, 1 + JITTER)
        return min(max(delay, at_least), left)


async def pause(
    error: ConnectionBroken | TransferError, patience: Patience, listener: Listener, *, name: str = ""
) -> None:
    """Wait for the next attempt at what is done for `name`, of which `listener` hears. Raises the error itself where
    trying again does not help, and GaveUp."""
    if isinstance(error, TransferError) and not error.retryable:
        raise error
    seconds = patience.next_delay(str(error), at_least=asked_delay(error))
    listener(Waiting(name=name, seconds=seconds, reason=str(error)))
    await asyncio.sleep(seconds)


def asked_delay(error: ConnectionBroken | TransferError) -> float:
    """Seconds that the server wants one to wait, by its Retry-After; 0 where it said nothing."""
    if isinstance(error, ConnectionBroken):
        return error.retry_after
    seconds = error.facts.get("retry_after")
    return float(seconds) if isinstance(seconds, int | float) and not isinstance(seconds, bool) else 0.0
