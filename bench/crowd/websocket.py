"""A WebSocket client that costs little, so that a thousand fit beside the server that they measure: RFC 6455 without
extensions and fragments, its mask all zeros, which leaves what it masks as it is."""

import asyncio
import json
from collections import deque
from typing import Any, Final, Self, cast

TEXT: Final = 1
BINARY: Final = 2
PING: Final = 9
PONG: Final = 10
_FINAL: Final = 0x80
_MASKED: Final = 0x80
_NO_MASK: Final = bytes(4)


class Lost(Exception):
    """The server refused, or has gone."""


def frame(content: bytes, opcode: int) -> bytes:
    """One whole message (RFC 6455, section 5.2)."""
    size = len(content)
    if size < 126:
        length = bytes((_MASKED | size,))
    elif size < 1 << 16:
        length = bytes((_MASKED | 126,)) + size.to_bytes(2, "big")
    else:
        length = bytes((_MASKED | 127,)) + size.to_bytes(8, "big")
    return bytes((_FINAL | opcode,)) + length + _NO_MASK + content


class WebSocket(asyncio.Protocol):
    """One connection; `opened` makes it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._buffer = bytearray()
        self._messages: deque[bytes] = deque()
        self._something, self._writable = asyncio.Event(), asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._open = self._lost = False

    @classmethod
    async def opened(cls, port: int, path: str) -> Self:
        """Connect on this machine, and wait for the answer. Raises Lost."""
        _, made = await asyncio.get_running_loop().create_connection(lambda: cls(path), "127.0.0.1", port)
        while not made._open:
            await made._wait()
        return made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._writable.set()
        self._write(
            f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._writable.set()
        self._something.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._open:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self.close()
                return
            self._open, self._buffer = True, rest
        while (size := self._take_frame()) is not None:
            del self._buffer[:size]
        self._something.set()

    def _take_frame(self) -> int | None:
        """How long the frame is that was taken; None where it has not come whole."""
        if len(self._buffer) < 2:
            return None
        size, at = self._buffer[1], 2
        if size >= 126:
            at = 4 if size == 126 else 10
            size = int.from_bytes(self._buffer[2:at], "big")
        if len(self._buffer) < at + size:
            return None
        opcode, content = self._buffer[0] & 15, bytes(self._buffer[at : at + size])
        if opcode == PING:
            self._write(frame(content, PONG))
        elif opcode in (TEXT, BINARY):
            self._messages.append(content)
        return at + size

    def _write(self, content: bytes) -> None:
        assert self._transport is not None
        self._transport.write(content)

    async def _wait(self) -> None:
        if self._lost:
            raise Lost("the server has closed")
        self._something.clear()
        await self._something.wait()

    # ---------------------------------------------------------------------------------------------------- messages

    def tell(self, **fields: object) -> None:
        """Send a message of JSON."""
        self._write(frame(json.dumps(fields).encode(), TEXT))

    async def send(self, content: bytes) -> None:
        """Send bytes, once those before them are on their way."""
        await self._writable.wait()
        self._write(frame(content, BINARY))

    async def message(self) -> bytes:
        """The next one. Raises Lost."""
        while not self._messages:
            await self._wait()
        return self._messages.popleft()

    async def told(self, *wanted: str) -> dict[str, Any]:
        """The next message of JSON of these types; others are dropped. Raises Lost for an error."""
        while True:
            fields: dict[str, Any] = json.loads(await self.message())
            if fields["type"] == "error":
                raise Lost(str(fields))
            if fields["type"] in wanted:
                return fields

    def close(self) -> None:
        assert self._transport is not None
        self._transport.abort()
