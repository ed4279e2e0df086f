"""Paces: so many bytes, or operations, a second for everything that one caller does, shared fairly by what they do at
the same time. Who is over it waits, and is never refused: whoever sends too fast is not read from meanwhile.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import Any, Protocol

from transfer.pace.buckets import Buckets
from transfer.pace.fair_queue import FairQueue, Flow, Request
from transfer.protocol.bucket import Bucket


class Timer(Protocol):
    def cancel(self) -> object: ...


class Clock(Protocol):
    """What of an event loop is needed here."""

    def time(self) -> float:
        """Seconds; they do not go back."""
        ...

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer: ...


class LoopClock:
    """The clock that loops go by, and timers of the one that runs: they may come a millisecond early, as a loop looks
    at the clock once a turn."""

    def time(self) -> float:
        return monotonic()

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        return asyncio.get_running_loop().call_later(delay, callback)


class Caller:
    """The bucket of one caller, and those that wait for something out of it."""

    def __init__(self, bucket: Bucket, clock: Clock) -> None:
        self.shares = 0
        """How many things the caller does at the same time."""
        self.bucket = bucket
        self._clock = clock
        self._queue = FairQueue(claim=bucket.burst)
        self._timer: Timer | None = None

    def join(self) -> Flow:
        return self._queue.join()

    def take(self, flow: Flow, amount: float) -> bool:
        """Whether so much is there and nobody waits; it is the flow's then."""
        if self._queue or not self.bucket.take(amount, self._clock.time()):
            return False
        self._queue.give(flow, amount)
        return True

    def ask(self, flow: Flow, amount: float, granted: Callable[[], object]) -> Request:
        """`granted` is called when it is there: before this returns, where nothing has to be waited for."""
        request = self._queue.ask(flow, amount, granted)
        if self._queue.first() is request:
            self._grant()
        return request

    def withdraw(self, request: Request) -> None:
        """It is not wanted any more, if it still waits."""
        if request.waits:
            self._queue.withdraw(request)
            self._grant()

    def _grant(self) -> None:
        """As far as the bucket goes; the rest when it has filled."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._queue:
            now, amount = self._clock.time(), self._queue.first().amount
            if not self.bucket.take(amount, now):
                self._timer = self._clock.call_later(self.bucket.wait(amount, now), self._grant)
                return
            self._queue.grant().granted()


class Share:
    """What one thing that a caller does may take of the caller's rate; without a rate all that it likes."""

    def __init__(self, caller: Caller | None = None, part: int | None = None) -> None:
        self._caller = caller
        self._part = part
        self._flow = Flow(0.0) if caller is None else caller.join()

    def ask(self, amount: float) -> "asyncio.Future[None] | None":
        """None where so much may go at once; else a future that is done when it may. Cancelling it gives that up. The
        next one is asked for after it."""
        caller = self._caller
        if caller is None or caller.take(self._flow, amount):
            return None
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        request = caller.ask(self._flow, amount, partial(_done, granted))
        if granted.done():
            return None
        granted.add_done_callback(lambda _: caller.withdraw(request))
        return granted

    def parts(self, piece: bytes) -> Iterator[bytes]:
        """Bytes in parts that are short enough to be sent evenly."""
        if self._part is None or len(piece) <= self._part:
            yield piece
            return
        for start in range(0, len(piece), self._part):
            yield piece[start : start + self._part]


async def granted_unless(granted: "asyncio.Future[None]", gone: "asyncio.Future[Any]") -> None:
    """Wait for what was asked for; give it up when `gone` is done before."""
    try:
        await asyncio.wait([granted, gone], return_when=asyncio.FIRST_COMPLETED)
    finally:
        granted.cancel()


@contextmanager
def unpaced() -> Iterator[Share]:
    """The share of what nobody slows down."""
    yield Share()


def _done(granted: "asyncio.Future[None]") -> None:
    if not granted.done():
        granted.set_result(None)


class Paces:
    """One rate, which every caller has for themselves. None: there is no limit."""

    def __init__(self, rate: float | None, burst: float, clock: Clock, part: int | None = None) -> None:
        self.rate = rate
        """A second."""
        self._part = part
        self._buckets = Buckets(rate or 1.0, burst)
        self._clock = clock
        self._callers: dict[str, Caller] = {}

    @contextmanager
    def share(self, caller: str) -> Iterator[Share]:
        """While entered, this is one of the things that the caller does."""
        if self.rate is None:
            with unpaced() as share:
                yield share
            return
        one = self._callers.get(caller)
        if one is None:
            one = self._callers[caller] = Caller(self._buckets.of(caller, self._clock.time()), self._clock)
        one.shares += 1
        try:
            yield Share(one, self._part)
        finally:
            one.shares -= 1
            if not one.shares:
                del self._callers[caller]
                self._buckets.keep(caller, one.bucket, self._clock.time())
