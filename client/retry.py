"""How long to wait before the next attempt, and when to give up."""

import random
import time
from collections.abc import Callable
from typing import Final

from client.errors import GaveUp
from client.wire import delays

GIVE_UP_AFTER: Final = 600.0
JITTER: Final = 0.25


class Patience:
    """Jittered, growing delays; progress begins them anew. Gives up after `give_up_after` seconds without any."""

    def __init__(self, give_up_after: float = GIVE_UP_AFTER, clock: Callable[[], float] = time.monotonic) -> None:
        self._give_up_after = give_up_after
        self._clock = clock
        self.progressed()

    def progressed(self) -> None:
        """Something became durable."""
        self._last = self._clock()
        self._delays = delays()

    def next_delay(self, reason: str = "the server cannot be reached") -> float:
        """Seconds until the next attempt. Raises GaveUp."""
        left = self._last + self._give_up_after - self._clock()
        if left <= 0:
            raise GaveUp(self._give_up_after, reason)
        delay = next(self._delays) * random.uniform(1 - JITTER, 1 + JITTER)
        return min(delay, left)
