"""Readers of `/events` for tests: the raw stream, as server-sent events or as a WebSocket.

async with hearing(url, "sse", headers=bearer(token), after=event_id) as stream:
    event = await stream.next()
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, Protocol

from httpx2 import Response
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.server import http_client

Json = dict[str, Any]
Way = Literal["sse", "websocket"]
WAYS: Final[list[Way]] = ["sse", "websocket"]
PATIENCE: Final = 60.0
"""Seconds after which a test that waits has failed; nothing is measured with it."""


class Refused(Exception):
    """The stream was not to be had; `status`, and what the answer says."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status, body)
        self.status = status
        self.problem: Json = json.loads(body)


class Stream(Protocol):
    """Events as they come."""

    async def next(self) -> Json | None:
        """The next event; None at the end of the stream."""

    async def until(self, **fields: object) -> list[Json]:
        """All up to the next one that has these fields, which is the last of them."""

    async def until_one_below(self, folder: str) -> list[Json]:
        """All up to the next one of an upload, or of a file that was sent, below a folder."""


class _Stream:
    async def next(self) -> Json | None:
        raise NotImplementedError

    async def until(self, **fields: object) -> list[Json]:
        return await self._until(lambda event: all(event.get(key) == value for key, value in fields.items()))

    async def until_one_below(self, folder: str) -> list[Json]:
        return await self._until(lambda event: event["type"] == "upload" and event["name"].startswith(folder))

    async def _until(self, wanted: Callable[[Json], bool]) -> list[Json]:
        heard: list[Json] = []
        async with asyncio.timeout(PATIENCE):
            while not heard or not wanted(heard[-1]):
                event = await self.next()
                assert event is not None, f"the stream ended after {heard}"
                heard.append(event)
        return heard


class ServerSentEvents(_Stream):
    """As WHATWG HTML, section 9.2.6, has a stream read, of what this server sends."""

    def __init__(self, answer: Response) -> None:
        self.answer = answer
        self.comments = 0
        self._lines = answer.aiter_lines()

    async def next(self) -> Json | None:
        fields: dict[str, str] = {}
        async for line in self._lines:
            if not line and "data" in fields:
                event: Json = json.loads(fields["data"])
                assert event["id"] == fields["id"]
                return event
            self.comments += line.startswith(":")
            name, _, value = line.partition(": ")
            fields[name] = value
        return None


class Frames(_Stream):
    """A text frame for each event."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.close_code: int | None = None

    async def next(self) -> Json | None:
        try:
            event: Json = json.loads(await self.connection.recv(decode=True))
        except ConnectionClosed as closed:
            self.close_code = closed.rcvd.code if closed.rcvd is not None else None
            return None
        return event


@asynccontextmanager
async def server_sent(
    url: str, *, headers: Mapping[str, str] | None = None, after: str | None = None
) -> AsyncIterator[ServerSentEvents]:
    """Raises Refused."""
    said = dict(headers or {}) | ({} if after is None else {"Last-Event-ID": after})
    async with http_client(url) as http, http.stream("GET", "/events", headers=said, timeout=PATIENCE) as answer:
        if answer.status_code != 200:
            raise Refused(answer.status_code, await answer.aread())
        yield ServerSentEvents(answer)


@asynccontextmanager
async def framed(
    url: str, *, headers: Mapping[str, str] | None = None, after: str | None = None
) -> AsyncIterator[Frames]:
    """Raises Refused."""
    target = url.replace("http", "ws", 1) + "/events" + ("" if after is None else f"?after={after}")
    try:
        async with connect(target, additional_headers=headers, compression=None, proxy=None) as connection:
            yield Frames(connection)
    except InvalidStatus as refused:
        raise Refused(refused.response.status_code, bytes(refused.response.body)) from refused


@asynccontextmanager
async def hearing(
    url: str, way: Way, *, headers: Mapping[str, str] | None = None, after: str | None = None
) -> AsyncIterator[Stream]:
    """Raises Refused."""
    opened = server_sent if way == "sse" else framed
    async with opened(url, headers=headers, after=after) as stream:
        yield stream
