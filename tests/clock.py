"""A clock that stands still until a test moves it."""

import asyncio
from collections.abc import Callable


class Timer:
    def __init__(self, due: float, call: Callable[[], object], changed: asyncio.Event) -> None:
        self._changed = changed
        self.due = due
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True
        self._changed.set()


class Clock:
    """Stands in for a loop's."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self._timers: list[Timer] = []
        self._changed = asyncio.Event()

    def time(self) -> float:
        return self.now

    @property
    def waits(self) -> int:
        """How many things are still to be called."""
        return sum(not timer.cancelled for timer in self._timers)

    def call_later(self, delay: float, callback: Callable[..., object], *arguments: object) -> Timer:
        timer = Timer(self.now + delay, lambda: callback(*arguments), self._changed)
        self._timers.append(timer)
        self._changed.set()
        return timer

    async def waited_for(self, count: int = 1) -> None:
        """Until so many wait."""
        while self.waits < count:
            self._changed.clear()
            await self._changed.wait()

    async def idle(self) -> None:
        """Until nobody waits any more."""
        while self.waits:
            self._changed.clear()
            await self._changed.wait()

    def advance(self, seconds: float) -> None:
        """Every timer that comes due meanwhile is called at its moment."""
        end = self.now + seconds
        while due := [timer for timer in self._timers if not timer.cancelled and timer.due <= end]:
            self._fire(min(due, key=lambda timer: timer.due))
        self.now = end

    def step(self) -> None:
        """To the next moment for which something is due."""
        self.advance(min(timer.due for timer in self._timers if not timer.cancelled) - self.now)

    def stall(self, seconds: float) -> None:
        """The process does not run; then it calls what is due."""
        self.now += seconds
        for timer in [timer for timer in self._timers if not timer.cancelled and timer.due <= self.now]:
            self._timers.remove(timer)
            timer.call()

    def _fire(self, timer: Timer) -> None:
        self.now = max(self.now, timer.due)
        self._timers.remove(timer)
        timer.call()
