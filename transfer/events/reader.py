"""One stream of events, until it ends: what it is told, how fast, and why it ends.

It holds a number and what is just being sent, nothing else. Nobody waits for it: who takes too long for what was sent,
or falls behind what is kept, is let go.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from enum import Enum
from typing import Any, Final

from transfer.access.principal import Principal
from transfer.access.watch import Watch
from transfer.events.feed import Feed
from transfer.events.log import Missed
from transfer.protocol.events import ResetEvent

MOST_AT_ONCE: Final = 256
PAUSE_SECONDS: Final = 0.05
"""Between two sendings: what happens meanwhile goes together."""
HEARTBEAT_SECONDS: Final = 15.0
"""Of silence, after which something is sent: proxies cut what is idle, many after 60 s."""
SLOW_SECONDS: Final = 30.0
"""How long a reader may take for what is sent at once."""
Line = tuple[str, str]
"""An event's id, and its JSON."""
Send = Callable[[Sequence[Line]], Awaitable[None]]
"""Sends lines, or with none a sign of life; returns when they are on their way."""


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
        self._ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

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
                await self._sent(send, [])
                return number
        except Missed:
            pass
        now = log.last
        reset = ResetEvent(id=log.id_of(now), missed=self._after is not None)
        await self._sent(send, [(reset.id, reset.to_json())])
        return now

    async def _send_next(self, number: int, send: Send) -> int:
        """Send what comes after it, or a sign of life. Raises Missed, TimeoutError."""
        try:
            async with asyncio.timeout(self._heartbeat_seconds):
                await self._feed.news(number)
        except TimeoutError:
            await self._sent(send, [])
            return number
        events = self._feed.log.after(number, MOST_AT_ONCE)
        texts = ((event.event_id, event.text_for(self._principal)) for event in events)
        if lines := [(event_id, text) for event_id, text in texts if text is not None]:
            await self._sent(send, lines)
        await asyncio.sleep(PAUSE_SECONDS)
        return events[-1].number if events else self._feed.log.last

    async def _sent(self, send: Send, lines: Sequence[Line]) -> None:
        """Raises TimeoutError."""
        async with asyncio.timeout(self._slow_seconds):
            await send(lines)
