"""A response of pieces that are made while they are sent, for as long as somebody takes them."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractContextManager, aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from storage.errors import StorageError
from transfer.pace.pacing import Share, granted_unless, unpaced

Watching = Callable[[Callable[[str], None]], AbstractContextManager[object]]
"""Is entered for as long as something goes on, and may call what it is given, to end that, with a sentence why."""
Sharing = Callable[[], AbstractContextManager[Share]]
"""Is entered for as long as something is sent, and says how fast."""
Counting = Callable[[int], None]
"""Hears how many more bytes were sent."""
logger = logging.getLogger("towline.http")


def nobody_counts(sent: int) -> None:
    """Nobody wants to know."""


class StreamedResponse(Response):
    """Sends what `pieces` yields; stops when the client has gone.

    An error of the store before the first piece is the caller's to answer. After it, or when `watching` says so, the
    connection is cut off, so that nobody takes a part for the whole.
    """

    def __init__(
        self,
        pieces: AsyncGenerator[bytes, None],
        headers: Mapping[str, str],
        watching: Watching,
        status_code: int = 200,
        *,
        sharing: Sharing = unpaced,
        counting: Counting = nobody_counts,
    ) -> None:
        super().__init__(None, status_code, headers)
        if "content-length" not in headers:
            del self.headers["content-length"]  # chunks say themselves where they end
        self._pieces = pieces
        self._watching = watching
        self._sharing = sharing
        self._counting = counting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._pieces) as pieces:
            piece = await anext(pieces, b"")
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            limit = asyncio.timeout(None)
            try:
                async with limit:
                    with self._watching(lambda _: limit.reschedule(0)):
                        await self._send_all(piece, receive, send)
            except TimeoutError:
                if not limit.expired():
                    raise
                logger.info("a response was cut off: its reader may not have it any more")

    async def _send_all(self, piece: bytes, receive: Receive, send: Send) -> None:
        async with asyncio.TaskGroup() as group:
            gone = group.create_task(disconnected(receive))
            try:
                with self._sharing() as share:
                    while piece and not gone.done():
                        await self._send_paced(piece, share, gone, send)
                        piece = await anext(self._pieces, b"")
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            except StorageError as failed:
                logger.error("a response was cut off: %s", failed)
            finally:
                gone.cancel()

    async def _send_paced(self, piece: bytes, share: Share, gone: "asyncio.Task[None]", send: Send) -> None:
        """Send it, in parts as large as the pace says, as long as the client is there."""
        for part in share.parts(piece):
            if (granted := share.ask(len(part))) is not None:
                await granted_unless(granted, gone)
            if gone.done():
                return
            await send({"type": "http.response.body", "body": part, "more_body": True})
            self._counting(len(part))


async def disconnected(receive: Receive) -> None:
    """Return when the client has gone; what it still sends is dropped."""
    while (await receive())["type"] != "http.disconnect":
        pass
