"""What failed attempts to prove who one is cost: time, which doubles with each, for the address that they came from.

Nothing is remembered of success: somebody who has one right token could wipe out with it what they guessed wrong. What
failed is forgotten with time. A right token is never held up, because 256 random bits cannot be guessed: it is looked
at first, and only the answer to a wrong one waits. A password can be guessed, so looking at one is a `guess`: while as
many answers wait as may, nobody at that address guesses on, and learns from a quick answer that it was wrong.

    with attempts.guess(address):
        right = await matches(password)
    if not right:
        await attempts.failed(address)
"""

import asyncio
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from transfer.admission import network_of
from transfer.pace.buckets import Buckets
from transfer.pace.pacing import Clock
from transfer.protocol.errors import TooMany

FREE: Final = 5
"""Failures that cost nothing: people mistype, and scripts have old tokens."""
FORGOTTEN_AFTER: Final = 60.0
"""Seconds in which one failure is forgotten."""
FIRST_SECONDS: Final = 0.25
LONGEST_SECONDS: Final = 30.0
MOST: Final = FREE + 1 + math.ceil(math.log2(LONGEST_SECONDS / FIRST_SECONDS))
"""More failures than that are not counted: they would cost no more, and be remembered for ever."""
MAX_WAITING: Final = 64
"""Answers that wait at the same time, each with a connection, and guesses that are looked at."""
MAX_WAITING_PER_ADDRESS: Final = 4


def penalty(failures: float) -> float:
    """How long the answer takes, in seconds, to the last of so many failures."""
    if failures <= FREE:
        return 0.0
    return min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** (failures - FREE - 1))


class Failures:
    """How many there were from each network, as far as they are not forgotten. Does not know the time."""

    def __init__(self) -> None:
        self._buckets = Buckets(1 / FORGOTTEN_AFTER, MOST)

    def count(self, network: str, now: float) -> float:
        """A part of one may be forgotten."""
        return self._buckets.of(network, now).lacks(now)

    def add(self, network: str, now: float) -> float:
        """One more. Returns how many there are now."""
        bucket = self._buckets.of(network, now)
        bucket.owe(min(1.0, MOST - bucket.lacks(now)), now)
        return bucket.lacks(now)


class FailedAttempts:
    """The failed attempts at one server. Addresses are those of clients; of IPv6 its network of 64 bits counts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = Failures()
        self._busy: Counter[str] = Counter()

    @contextmanager
    def guess(self, address: str) -> Iterator[None]:
        """While entered, something is looked at that can be guessed. Raises TooMany when it may not be."""
        network = network_of(address)
        failures = self._failures.count(network, self._clock.time())
        seconds = penalty(failures + self._busy[network] + 1)  # as if all that is looked at were wrong
        if seconds and self._is_full(network):
            raise _too_many(seconds)
        with self._one_more(network):
            yield

    async def failed(self, address: str) -> None:
        """Somebody has failed: wait until they may hear it. Raises TooMany, at once, where too many wait already."""
        network = network_of(address)
        seconds = penalty(self._failures.add(network, self._clock.time()))
        if not seconds:
            return
        if self._is_full(network):
            raise _too_many(seconds)
        with self._one_more(network):
            await self._wait(seconds)

    def _is_full(self, network: str) -> bool:
        return self._busy[network] >= MAX_WAITING_PER_ADDRESS or self._busy.total() >= MAX_WAITING

    @contextmanager
    def _one_more(self, network: str) -> Iterator[None]:
        self._busy[network] += 1
        try:
            yield
        finally:
            self._busy[network] -= 1
            self._busy = +self._busy

    async def _wait(self, seconds: float) -> None:
        over = asyncio.Event()
        timer = self._clock.call_later(seconds, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()


def _too_many(seconds: float) -> TooMany:
    sentence = "too many attempts from this address have failed: try again later"
    return TooMany(sentence, retryable=True, retry_after=math.ceil(seconds))
