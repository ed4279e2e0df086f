"""Who is connected by which right, and the end of it: what has expired or was revoked is cut, wherever it was revoked.

The catalog is asked four times a second while anybody is connected, because a token may be revoked by another process.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Final

from starlette.websockets import WebSocket
from websockets.frames import CloseCode

from storage.errors import StorageError
from storage.store import Clock, Store, utc_now
from transfer.access.principal import ANONYMOUS, Principal
from transfer.engine.farewell import farewell
from transfer.protocol.errors import Unauthorized

WATCH_SECONDS: Final = 0.25
Cut = Callable[[str], None]
"""Takes the sentence that says why."""
logger = logging.getLogger("towline.access")


class Watched:
    """Somebody who is connected; `renew` when they show another token."""

    def __init__(self, principal: Principal, cut: Cut) -> None:
        self.principal = principal
        self.cut = cut

    def renew(self, principal: Principal) -> None:
        self.principal = principal


class Watch:
    """Watches principals for as long as they are connected."""

    def __init__(self, store: Store, clock: Clock = utc_now) -> None:
        self._store = store
        self._clock = clock
        self._watched: set[Watched] = set()
        self._somebody = asyncio.Event()

    @contextmanager
    def over(self, principal: Principal, cut: Cut) -> Iterator[Watched]:
        """Call `cut`, once, when the principal's right ends while this is entered."""
        watched = Watched(principal, cut)
        self._watched.add(watched)
        self._somebody.set()
        try:
            yield watched
        finally:
            self._watched.discard(watched)

    @asynccontextmanager
    async def closing(self, websocket: WebSocket, principal: Principal) -> AsyncIterator[None]:
        """Cancel the body and close the WebSocket, with 1008, when the principal's right ends."""
        limit = asyncio.timeout(None)
        try:
            async with limit:
                with self.over(principal, lambda _: limit.reschedule(0)):
                    yield
        except TimeoutError:
            if not limit.expired():
                raise
            await farewell(websocket, CloseCode.POLICY_VIOLATION, Unauthorized.code)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch while entered."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self._watch())
            try:
                yield
            finally:
                task.cancel()

    async def _watch(self) -> None:
        while True:
            await self._somebody.wait()
            try:
                await self.look()
            except StorageError as failed:
                logger.error("who is still allowed could not be looked up: %s", failed)
            if not self._watched:
                self._somebody.clear()
            await asyncio.sleep(WATCH_SECONDS)

    async def look(self) -> None:
        """Cut all whose right has ended, and who are still there: some leave while the catalog answers. Raises
        StorageError."""
        before = list(self._watched)
        ids = {watched.principal.grant_id for watched in before if watched.principal.grant_id is not None}
        revoked = await self._store.grants.revoked_of(ids) if ids else frozenset()
        closed = any(watched.principal is ANONYMOUS for watched in before) and await self._store.grants.any_tokens()
        now = self._clock()
        for watched in self._watched.intersection(before):
            if (reason := _ended(watched.principal, revoked, now, closed=closed)) is not None:
                self._watched.discard(watched)
                watched.cut(reason)


def _ended(principal: Principal, revoked: frozenset[str], now: datetime, *, closed: bool) -> str | None:
    """Why the principal's right has ended, if it has; `closed` when everybody has to show a token by now."""
    shown = "token" if principal.visit is None else "link"
    if principal.grant_id in revoked:
        return f"the {shown} was revoked"
    if principal.expires is not None and now >= principal.expires:
        return f"the {shown} has expired"
    if principal is ANONYMOUS and closed:
        return "this server asks for a token by now"
    return None
