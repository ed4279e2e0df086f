"""Time that a peer may take: `Deadline` for something that has to happen, `Pace` for bytes that have to come.

Both count in steps. While this process does not run (it is busy, or the machine was suspended) a step passes at most:
a peer is not given up for what it could not do.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

STEPS: Final = 4
"""How many steps a time is made of."""


class Deadline:
    """Calls `missed` once, so many seconds after `start`, unless it is stopped before."""

    def __init__(self, loop: asyncio.AbstractEventLoop, missed: Callable[[], object]) -> None:
        self.missed = missed
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def start(self, seconds: float) -> None:
        """From now on; what was counted before is forgotten."""
        self.stop()
        self._later(seconds / STEPS, STEPS)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _later(self, step: float, left: int) -> None:
        self._timer = self._loop.call_later(step, self._passed, step, left - 1)

    def _passed(self, step: float, left: int) -> None:
        if left:
            self._later(step, left)
        else:
            self._timer = None
            self.missed()


class Pace:
    """Whether a sender is too slow: it has to bring `rate` bytes a second on average over each `period` seconds that
    we wait for it. Time in which we do something else is not counted."""

    def __init__(self, rate: float, period: float) -> None:
        self.step = period / STEPS
        """The longest wait that counts; nobody should wait longer between two calls of `waited`."""
        self._period = period
        self._least_bytes = rate * period
        self.begin(0)

    def begin(self, received: int) -> None:
        """A new period begins, and so many bytes have come in all."""
        self._waited = 0.0
        self._received = received

    def waited(self, seconds: float, received: int) -> bool:
        """We have waited once more, and so many bytes have come in all. Returns whether a period has ended that was
        too slow."""
        self._waited += min(seconds, self.step)
        if self._waited < self._period * (1 - 1e-9):  # steps may add up to a little less
            return False
        slow = received - self._received < self._least_bytes
        self.begin(received)
        return slow


class Arrivals(Protocol):
    """What comes in on a WebSocket."""

    received_bytes: int
    """What has come in all, frames that are not complete yet included."""
