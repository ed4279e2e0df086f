"""One stream of events, until it ends: what it is told, how fast, and why it ends.

It holds a number and what is just being sent, nothing else. Nobody waits for it: who takes too long for what was sent,
or falls behind what is kept, is let go.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from enum import Enum
from typing import Any, Final

from transfer.access.principal import Principal
from transfer.access.watch import Watch
from transfer.events.feed import Feed
from transfer.events.line import Line
from transfer.events.log import Missed
from transfer.protocol.events import ResetEvent

MOST_AT_ONCE: Final = 256
PAUSE_SECONDS: Final = 0.05
"""Between two sendings: what happens meanwhile goes together."""
HEARTBEAT_SECONDS: Final = 15.0
"""Without anything sent, after which something is, whatever has happened that nobody there may see: proxies cut what is
idle, many after 60 s."""
SLOW_SECONDS: Final = 30.0
"""How long a reader may take for what is sent at once."""
Send = Callable[[Sequence[Line], str], Awaitable[None]]
"""Sends lines, or with none a sign of life; returns when they are on their way. The id is that of the last event that
was looked at, seen by them or not: there they can go on."""


class Ending(Enum):
    """Why a stream ended, as its log line says."""

    LEFT = "left"
    UNAUTHORIZED = "unauthorized"
    STOPPING = "shutting_down"
    BEHIND = "fell behind"
    SLOW = "too slow"
    SPOKE = "bad_message"


class Reader:
    """Reads for `principal`, after the event with the id `after`, if that is known."""

    def __init__(
        self,
        feed: Feed,
        watch: Watch,
        principal: Principal,
        after: str | None,
        *,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        slow_seconds: float = SLOW_SECONDS,
    ) -> None:
        self._feed, self._watch, self._principal, self._after = feed, watch, principal, after
        self._heartbeat_seconds, self._slow_seconds = heartbeat_seconds, slow_seconds
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[Ending] = self._loop.create_future()
        self._heartbeat_at = self._loop.time()

    def end(self, ending: Ending) -> None:
        """Have it end, if it has not yet."""
        if not self._ended.done():
            self._ended.set_result(ending)

    async def run(self, send: Send, peer: Coroutine[Any, Any, Ending]) -> Ending:
        """Send what happens until it ends; `peer` returns when that is the other side's doing."""
        tasks = [asyncio.create_task(self._send_all(send)), asyncio.create_task(peer)]
        with self._watch.over(self._principal, lambda _: self.end(Ending.UNAUTHORIZED)):
            try:
                await asyncio.wait([*tasks, self._ended], return_when=asyncio.FIRST_COMPLETED)
                return next(done.result() for done in (self._ended, *reversed(tasks)) if done.done())
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)

    async def _send_all(self, send: Send) -> Ending:
        try:
            number = await self._begin(send)
            while True:
                number = await self._send_next(number, send)
        except Missed:
            return Ending.BEHIND
        except TimeoutError:
            return Ending.SLOW

    async def _begin(self, send: Send) -> int:
        """Where they go on; who cannot go on where they were is told to list."""
        log = self._feed.log
        number = None if self._after is None else log.number_of(self._after)
        try:
            if number is not None:
                log.after(number, 1)
                await self._sent(send, [], number)
                return number
        except Missed:
            pass
        now = log.last
        reset = ResetEvent(id=log.id_of(now), missed=self._after is not None)
        await self._sent(send, [Line(reset.id, reset.to_json())], now)
        return now

    async def _send_next(self, number: int, send: Send) -> int:
        """Send what comes after it, or a sign of life when that is due. Raises Missed, TimeoutError."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._heartbeat_at):
                await self._feed.news(number)
        events = self._feed.log.after(number, MOST_AT_ONCE)
        reached = events[-1].number if events else number
        lines = [line for event in events if (line := event.line_for(self._principal)) is not None]
        if lines or self._loop.time() >= self._heartbeat_at:
            await self._sent(send, lines, reached)
        await asyncio.sleep(PAUSE_SECONDS if len(events) < MOST_AT_ONCE else 0)  # who is behind catches up
        return reached

    async def _sent(self, send: Send, lines: Sequence[Line], reached: int) -> None:
        """Raises TimeoutError."""
        async with asyncio.timeout(self._slow_seconds):
            await send(lines, self._feed.log.id_of(reached))
        self._heartbeat_at = self._loop.time() + self._heartbeat_seconds
