"""The life of one upload as a client lives it, over a raw WebSocket, so that every answer is seen.

    life = Life(server.url, "case-7", content)
    await life.run()

It is begun, has a durable point while bytes come, is left, resumed and finished, downloaded, replaced by a small file
and deleted. A coded error ends `run` with Refused; `run` once more goes on where it was. What is checked on the way:
every answer comes within five seconds, and no offset that the server says is below one that it acknowledged.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.server import http_client

MIB: Final = 1 << 20
DEADLINE: Final = 5.0
"""How long the server may take for an answer, in seconds."""
FRAME: Final = 4 * MIB
POINT: Final = 8 * MIB
"""After so many bytes the server makes a durable point of itself."""
LEFT_AT: Final = POINT + 70_001
SIZE: Final = POINT + 150_001
CODES: Final = {"storage_failure", "insufficient_storage"}
"""What a failing disk may be called."""
Message = dict[str, object]


class Refused(Exception):
    """The server answered with a coded error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Line:
    """One connection to `/ws`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, **message: object) -> None:
        await self.send_frame(json.dumps(message))

    async def send_frame(self, frame: str | bytes) -> None:
        """What the server does not take any more is seen in what it says."""
        try:
            async with asyncio.timeout(DEADLINE):
                await self._socket.send(frame)
        except ConnectionClosed:
            return

    async def receive(self) -> Message:
        """The next message. Raises Refused for an error, AssertionError where none comes in time."""
        try:
            async with asyncio.timeout(DEADLINE):
                text = await self._socket.recv()
        except TimeoutError:
            raise AssertionError(f"no answer within {DEADLINE} s") from None
        message: Message = json.loads(text)
        if message["type"] == "error":
            raise Refused(str(message["code"]), str(message["message"]))
        return message


@asynccontextmanager
async def line(url: str) -> AsyncIterator[Line]:
    """A connection to the server at the base URL `url`."""
    address = url.replace("http", "ws", 1) + "/ws"
    async with connect(
        address, proxy=None, compression=None, max_size=FRAME, ping_interval=None, close_timeout=DEADLINE
    ) as socket:
        yield Line(socket)


class Life:
    """One upload called `name` at the server `url`; `small` is what replaces it."""

    def __init__(self, url: str, name: str, content: bytes) -> None:
        self.url = url
        self.name = name
        self.content = content
        self.small = content[:3_000]
        self.acked = 0
        self.upload_id: str | None = None
        self.done: list[str] = []
        """The steps that are behind it."""

    async def run(self) -> None:
        """Every step that is still to come. Raises Refused."""
        for step in (self.begin, self.finish, self.download, self.replace, self.put, self.delete):
            if step.__name__ not in self.done:
                await step()
                self.done.append(step.__name__)

    @property
    def completed(self) -> bool:
        return "finish" in self.done

    # ------------------------------------------------------------------------------------------------ the upload

    async def begin(self) -> None:
        """Up to a durable point and a little further; then the client is gone."""
        async with line(self.url) as to:
            await self._header(to)
            await self._send(to, LEFT_AT)
            await self._until_acked(to, POINT)

    async def finish(self) -> None:
        """Come back, send the rest, end."""
        async with line(self.url) as to:
            if await self._header(to):
                return
            await self._send(to, SIZE)
            await to.send(type="eof", digest=sha256(self.content))
            while (message := await to.receive())["type"] != "complete":
                self._note(message)

    async def _header(self, to: Line) -> bool:
        """Returns whether the upload was complete already."""
        known = {} if self.upload_id is None else {"upload_id": self.upload_id}
        await to.send(type="upload", name=self.name, size=len(self.content), **known)
        ready = await to.receive()
        if ready["type"] == "complete":
            return True
        assert ready["type"] == "ready", ready
        self.upload_id = str(ready["upload_id"])
        self._position = offset = _offset(ready)
        assert offset >= self.acked, f"ready at {offset}, {self.acked} was acknowledged"
        self.acked = offset
        return False

    async def _send(self, to: Line, end: int) -> None:
        while self._position < end:
            frame = self.content[self._position : min(end, self._position + FRAME)]
            await to.send_frame(frame)
            self._position += len(frame)

    async def _until_acked(self, to: Line, offset: int) -> None:
        while self.acked < offset:
            self._note(await to.receive())

    def _note(self, message: Message) -> None:
        if message["type"] == "ack":
            offset = _offset(message)
            assert offset >= self.acked, f"an ack of {offset} after one of {self.acked}"
            self.acked = offset

    # ----------------------------------------------------------------------------------------------- afterwards

    async def download(self) -> None:
        assert await self._get(self.name) == self.content, "the content is another one"

    async def replace(self) -> None:
        """A small file takes the upload's name: its content is unlinked."""
        await self._put(self.name, "replace")
        assert await self._get(self.name) == self.small

    async def put(self) -> None:
        """A small file of its own."""
        await self._put(f"{self.name}-small", "error")

    async def delete(self) -> None:
        async with http_client(self.url) as http:
            for name in (self.name, f"{self.name}-small"):
                _checked(await http.delete(f"/files/{name}", timeout=DEADLINE), missing=True)

    async def _put(self, name: str, if_exists: str) -> None:
        async with line(self.url) as to:
            await to.send(type="upload", name=name, size=len(self.small), offset=0, if_exists=if_exists)
            await to.send_frame(self.small)
            await to.send(type="eof", digest=sha256(self.small))
            assert (await to.receive())["type"] == "complete"

    async def _get(self, name: str) -> bytes:
        async with http_client(self.url) as http:
            return _checked(await http.get(f"/files/{name}", timeout=DEADLINE)).content


def _offset(message: Message) -> int:
    offset = message["offset"]
    assert isinstance(offset, int)
    return offset


def _checked(answer: httpx2.Response, *, missing: bool = False) -> httpx2.Response:
    """Raises Refused for a problem with a code; `missing`: it may be gone already."""
    if answer.is_success or (missing and answer.status_code == 404):
        return answer
    problem = answer.json()
    raise Refused(str(problem["code"]), str(problem["detail"]))
