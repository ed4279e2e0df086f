"""A tunnel: messages both ways between a client and an upstream, until one of them leaves, and what the other is told.

Each way takes one message at a time and waits until it is handed on, so a reader who stalls stops the sender behind
the other end, and the server holds a message or two of each.
"""

import asyncio
from dataclasses import dataclass
from typing import Literal

from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from transfer.engine.farewell import farewell, is_taken
from transfer.engine.scope import GONE
from transfer.protocol.limits import CLOSE_TIMEOUT, FAREWELL_SECONDS


@dataclass(frozen=True, slots=True)
class Ending:
    """Who ended a tunnel, and what they said; 1005 where they said nothing, 1006 where they were cut off (RFC 6455,
    section 7.4.1)."""

    by: Literal["client", "upstream", "server"]
    code: int
    reason: str = ""


class Tunnel:
    """Carries messages between two open connections. `idle_timeout` seconds without one end it, and `max_bytes`."""

    def __init__(
        self, client: WebSocket, upstream: ClientConnection, *, idle_timeout: float, max_bytes: int | None
    ) -> None:
        self._client = client
        self._upstream = upstream
        self._idle_timeout = idle_timeout
        self._max_bytes = max_bytes
        self._clock = asyncio.get_running_loop().time
        self._moved_at = self._clock()
        self.upward_bytes = 0
        self.downward_bytes = 0

    async def carry(self) -> Ending:
        """Until the tunnel ends; both sides have been told then. Cancelling loses what is on the way."""
        upward, downward = asyncio.create_task(self._carry_up()), asyncio.create_task(self._carry_down())
        ways = [upward, downward, asyncio.create_task(self._notice_absence(upward))]
        try:
            ending = await self._ending(*ways)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)
        await self._tell(ending)
        return ending

    async def _ending(self, *ways: "asyncio.Task[Ending | None]") -> Ending:
        """What the first way says that knows; one that finds its far end gone leaves that to the others."""
        pending = set(ways)
        while pending:
            left = self._moved_at + self._idle_timeout - self._clock()
            if left <= 0:
                return Ending("server", CLOSE_TIMEOUT, f"no message for {self._idle_timeout:g} s")
            done, pending = await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            for way in done:
                if not way.cancelled() and (ending := way.result()) is not None:
                    return ending
        raise AssertionError("a client that has left was noticed by nobody")

    async def _carry_up(self) -> Ending | None:
        while True:
            message = await self._client.receive()
            if message["type"] == "websocket.disconnect":
                return _left(message)
            content: str | bytes | None = message.get("bytes")
            content = message["text"] if content is None else content
            assert content is not None
            self.upward_bytes += _size(content)
            if (ending := self._moved()) is not None:
                return ending
            try:
                await self._upstream.send(content)
            except ConnectionClosed:
                return None

    async def _carry_down(self) -> Ending | None:
        while True:
            try:
                content = await self._upstream.recv()
            except ConnectionClosed:
                return self._upstream_left()
            self.downward_bytes += _size(content)
            if (ending := self._moved()) is not None:
                return ending
            try:
                if isinstance(content, str):
                    await self._client.send_text(content)
                else:
                    await self._client.send_bytes(content)
            except (WebSocketDisconnect, WebSocketDisconnected):
                return None

    async def _notice_absence(self, upward: "asyncio.Task[Ending | None]") -> Ending:
        """A client that has left while the upstream takes nothing: what it sent last is given up, and how it left is
        read behind that."""
        await self._client.scope["extensions"][GONE].wait()
        moved_at = None
        while not upward.done() and moved_at != self._moved_at:
            moved_at = self._moved_at
            await asyncio.wait([upward], timeout=FAREWELL_SECONDS)
        upward.cancel()
        await asyncio.wait([upward])
        if not upward.cancelled() and (ending := upward.result()) is not None:
            return ending
        while (message := await self._client.receive())["type"] != "websocket.disconnect":
            pass
        return _left(message)

    def _moved(self) -> Ending | None:
        self._moved_at = self._clock()
        if self._max_bytes is not None and self.upward_bytes + self.downward_bytes > self._max_bytes:
            return Ending("server", CloseCode.POLICY_VIOLATION, f"more than {self._max_bytes} bytes")
        return None

    def _upstream_left(self) -> Ending:
        received = self._upstream.protocol.close_rcvd
        if received is None:
            return Ending("upstream", CloseCode.ABNORMAL_CLOSURE)
        return Ending("upstream", received.code, received.reason)

    async def _tell(self, ending: Ending) -> None:
        if ending.by != "client":
            broken = ending.code == CloseCode.ABNORMAL_CLOSURE
            told = (CloseCode.BAD_GATEWAY, "the upstream is gone") if broken else (ending.code, ending.reason)
            await farewell(self._client, *told)
        if ending.by != "upstream":
            broken = ending.code == CloseCode.ABNORMAL_CLOSURE
            told = (CloseCode.GOING_AWAY, "the client is gone") if broken else (ending.code, ending.reason)
            await close_upstream(self._upstream, *told)


async def close_upstream(upstream: ClientConnection, code: int, reason: str) -> None:
    """Close with this code and reason, with an empty close frame for 1005, which stands for one; or abort where the
    upstream takes nothing any more."""
    closing = upstream.close(code if code != CloseCode.NO_STATUS_RCVD else None, reason)  # type: ignore[arg-type]
    if not await is_taken(closing, upstream.transport):
        upstream.transport.abort()


def _left(disconnect: Message) -> Ending:
    return Ending("client", disconnect.get("code") or CloseCode.NO_STATUS_RCVD, disconnect.get("reason") or "")


def _size(content: str | bytes) -> int:
    return len(content) if isinstance(content, bytes) or content.isascii() else len(content.encode())
