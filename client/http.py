"""The server's HTTP side: listing, renaming, deleting, content. The only module that imports httpx2.

Refusals are the protocol's errors; ConnectionBroken means that the same request may succeed later, CannotConnect that
it will not. It knows nothing of files on this side, and does not try again by itself.
"""

import json
import os
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Annotated, Final, Self, TypeVar
from urllib.parse import quote, urlencode

from pydantic import BaseModel, Field, JsonValue

from client.content import Content, ContentInfo, described
from client.credentials import Credentials, TokenRefused, without_token
from client.errors import CannotConnect, ConnectionBroken
from client.problem import MAX_PROBLEM_BYTES, PROBLEM, media_type, read_problem, seconds_of
from client.server_url import base_url
from client.tls import causes, tls_refusal
from transfer.protocol import errors
from transfer.protocol.errors import Unauthorized
from transfer.protocol.limits import MIB
from transfer.protocol.messages import FileEntry, Message, NameField, Size, TimeField, read_object
from transfer.protocol.names import InvalidName, Name

if TYPE_CHECKING:
    import httpx2  # takes a sixth of a command's start to load, and an upload has no use for it

CONNECT_SECONDS: Final = 10.0
SILENCE_SECONDS: Final = 30.0
"""A connection on which nothing moves for so long is taken for broken."""
MAX_LINE_BYTES: Final = MIB
MAX_BODY_BYTES: Final = 64 * MIB

Read = TypeVar("Read", bound=BaseModel)

_NDJSON: Final = "application/x-ndjson"
_FOLDER_LINE: Final = b'{"folder":'


class UnfinishedUpload(Message):
    """An upload that can be continued or cancelled. `offset` is durable; `size` is None while a stream's end is not
    known."""

    upload_id: str
    name: NameField
    size: Size | None = None
    offset: Size
    created: TimeField
    active: TimeField
    expires: TimeField | None = None


class _Folder(Message):
    folder: str


class _Page(Message):
    files: list[FileEntry]


class _Uploads(Message):
    uploads: list[UnfinishedUpload]


class WhoAmI(Message):
    """Who the server takes the caller for, and what they may do. Sizes are bytes; `quota` is None where nothing is
    counted, `used` where the server does not say it."""

    subject: str
    scopes: Annotated[tuple[str, ...], Field(strict=False)] = ()
    prefix: str = ""
    quota: Size | None = None
    used: Size | None = None
    expires: TimeField | None = None


class HttpApi:
    """Requests to one server, within `async with`. Redirects are not followed, the environment is not read. Without
    `tls`, a server with TLS has to be one that the system trusts."""

    def __init__(
        self, server: str, credentials: Credentials | None = None, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._server = server
        self._credentials = credentials or Credentials(server, without_token(server))
        self._base = base_url(server)
        self._tls = tls
        self._made: httpx2.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._made is not None:
            await self._made.aclose()

    @property
    def _client(self) -> "httpx2.AsyncClient":
        """Made for the first request."""
        if self._made is None:
            import httpx2

            self._made = httpx2.AsyncClient(
                verify=self._tls or self._base.startswith("https:"),  # reading the system's certificates takes its time
                trust_env=False,
                follow_redirects=False,
                timeout=httpx2.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
                headers={"Accept-Encoding": "identity", "User-Agent": "towline"},
            )
        return self._made

    # ---------------------------------------------------------------------------------------------------- files

    async def list_files(self, prefix: str = "", q: str = "", sort: str = "name") -> AsyncIterator[FileEntry]:
        """All files whose name begins with `prefix` and has `q` in it. A listing that breaks off raises."""
        async with aclosing(self._listing(prefix=prefix, q=q, sort=sort)) as lines:
            async for line in lines:
                yield self.read(FileEntry, line)

    async def list_level(self, prefix: str = "", sort: str = "name") -> AsyncIterator[str | FileEntry]:
        """What is directly below `prefix`: first its folders by name, each with its `/`, then its files. A listing that
        breaks off raises."""
        async with aclosing(self._listing(prefix=prefix, sort=sort, delimiter="/")) as lines:
            async for line in lines:
                if line.startswith(_FOLDER_LINE):
                    yield self.read(_Folder, line).folder
                else:
                    yield self.read(FileEntry, line)

    async def _listing(self, **query: str) -> AsyncGenerator[bytes, None]:
        """The lines of a whole listing."""
        async with self._answer("GET", self._files_url(**query), {"Accept": _NDJSON}) as response:
            if (found := media_type(response.headers.get("Content-Type"))) != _NDJSON:
                raise self._no_towline(f"it answered with {found or 'something'} instead of a listing")
            async with aclosing(response.aiter_bytes()) as pieces:
                async for line in _lines(pieces):
                    yield line

    async def find(self, name: str) -> FileEntry:
        """The entry of one file. Raises NotFound."""
        wanted = parse_name(name)
        url = self._files_url(prefix=wanted.value, sort="name", limit="1")  # a name comes before what begins with it
        async with self._answer("GET", url) as response:
            files = self.read(_Page, await self._body(response)).files
        if not files or files[0].name != wanted:
            raise errors.NotFound(f"{name!r} is not here, or not yours")
        return files[0]

    async def rename(self, name: str, new_name: str) -> FileEntry:
        """Give a file another name. Raises NotFound, Exists."""
        body = json.dumps({"name": parse_name(new_name).value}).encode()
        headers = {"Content-Type": "application/json"}
        async with self._answer("PATCH", self._file_url(name), headers, body) as response:
            return self.read(FileEntry, await self._body(response))

    async def delete(self, name: str) -> None:
        """Delete a file. Raises NotFound."""
        async with self._answer("DELETE", self._file_url(name)):
            pass

    # ------------------------------------------------------------------------------------------------- uploads

    async def uploads(self) -> list[UnfinishedUpload]:
        """The caller's uploads that are not complete."""
        async with self._answer("GET", f"{self._base}/uploads") as response:
            return self.read(_Uploads, await self._body(response)).uploads

    async def cancel(self, upload_id: str) -> None:
        """Drop an unfinished upload and its bytes. Raises NotFound."""
        async with self._answer("DELETE", f"{self._base}/uploads/{_quoted(upload_id, safe='')}"):
            pass

    # --------------------------------------------------------------------------------------------------- other

    async def ask(self, method: str, path: str, fields: Mapping[str, JsonValue] | None = None) -> bytes:
        """The answer to a request with these fields, whatever it is; see `read`."""
        body = None if fields is None else json.dumps(fields).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        async with self._answer(method, f"{self._base}{path}", headers, body) as response:
            return await self._body(response)

    async def whoami(self) -> WhoAmI:
        """Who the server takes the caller for. Raises Unauthorized."""
        async with self._answer("GET", f"{self._base}/whoami") as response:
            return self.read(WhoAmI, await self._body(response))

    # ------------------------------------------------------------------------------------------------- content

    async def content_info(self, name: str) -> ContentInfo:
        """What there is to download. Raises NotFound."""
        return await self.info_at(self._file_url(name))

    async def info_at(self, url: str, headers: Mapping[str, str] | None = None) -> ContentInfo:
        """The same of any address."""
        given = dict(headers or {}) | self._credentials.presented(await self._credentials.current())
        with self._translated():
            response = await self._client.head(url, headers=given)
        if response.is_success:
            return self._described(response)[1]
        why = dict(headers or {}) | {"If-None-Match": "*"}  # which no content answers, so that nobody counts a download
        async with self._answer("GET", url, why):  # a HEAD has no body to say why
            raise ConnectionBroken(f"it answered HTTP {response.status_code}")

    @asynccontextmanager
    async def open_content(self, name: str, *, offset: int = 0, etag: str | None = None) -> AsyncIterator[Content]:
        """The content from `offset` on while its ETag is still `etag`; else another content, from its beginning."""
        async with self.open_at(self._file_url(name), offset=offset, etag=etag) as content:
            yield content

    @asynccontextmanager
    async def open_at(
        self, url: str, headers: Mapping[str, str] | None = None, *, offset: int = 0, etag: str | None = None
    ) -> AsyncIterator[Content]:
        """The same of any address."""
        given = dict(headers or {}) | ({"Range": f"bytes={offset}-", "If-Range": etag} if offset and etag else {})
        async with self._answer("GET", url, given) as response:
            start, info = self._described(response)
            if start not in (0, offset):
                raise self._no_towline(f"asked for bytes from {offset} on, it sends them from {start} on")
            async with aclosing(self._chunks(response)) as chunks:
                yield Content(info, start, chunks)

    async def _chunks(self, response: "httpx2.Response") -> AsyncGenerator[bytes, None]:
        with self._translated():
            async with aclosing(response.aiter_raw()) as chunks:
                async for chunk in chunks:
                    yield chunk

    def _described(self, response: "httpx2.Response") -> tuple[int, ContentInfo]:
        try:
            return described(response.status_code, response.headers)
        except ValueError as unclear:
            raise self._no_towline(str(unclear)) from unclear

    # ------------------------------------------------------------------------------------------------ requests

    def _files_url(self, **query: str) -> str:
        given = {key: value for key, value in query.items() if value}
        return f"{self._base}/files?{urlencode(given, errors='surrogateescape')}"

    def _file_url(self, name: str) -> str:
        return f"{self._base}/files/{_quoted(parse_name(name).value, safe='/')}"

    @asynccontextmanager
    async def _answer(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> "AsyncIterator[httpx2.Response]":
        """A successful answer whose body has not been read; everything else is raised. A token that the server does
        not take any more is looked for once again."""
        async with AsyncExitStack() as stack:
            stack.enter_context(self._translated())
            try:
                response = await self._asked(stack, method, url, headers, body)
            except TokenRefused as refused:
                if not await refused.renewed():
                    raise
                response = await self._asked(stack, method, url, headers, body)
            yield response

    async def _asked(
        self, stack: AsyncExitStack, method: str, url: str, headers: Mapping[str, str] | None, body: bytes | None
    ) -> "httpx2.Response":
        token = await self._credentials.current()
        given = dict(headers or {}) | self._credentials.presented(token)
        response = await stack.enter_async_context(self._client.stream(method, url, headers=given, content=body))
        if not response.is_success:
            error = await self._refusal(response)
            raise self._credentials.refused(error, token) if isinstance(error, Unauthorized) else error
        return response

    async def _refusal(self, response: "httpx2.Response") -> Exception:
        status, retry_after = response.status_code, response.headers.get("Retry-After")
        if media_type(response.headers.get("Content-Type")) == PROBLEM:
            error = read_problem(await self._body(response, MAX_PROBLEM_BYTES), retry_after=retry_after)
            return error or self._no_towline("it answered with something that was not expected")
        if response.is_redirect:
            return CannotConnect(self._server, f"it redirects to {response.headers.get('Location')}: give that instead")
        if status >= 500 or status in (304, 408, 425, 429):  # a proxy that has lost its server for a while
            return ConnectionBroken(f"it answered HTTP {status}", retry_after=seconds_of(retry_after) or 0.0)
        return self._no_towline(f"it answered HTTP {status}")

    async def _body(self, response: "httpx2.Response", limit: int = MAX_BODY_BYTES) -> bytes:
        body = bytearray()
        async with aclosing(response.aiter_bytes()) as pieces:
            async for piece in pieces:
                body += piece
                if len(body) > limit:
                    raise self._no_towline(f"it answered with more than {limit} bytes")
        return bytes(body)

    def read(self, model: type[Read], text: bytes) -> Read:
        """What a body says. Raises CannotConnect for what is none."""
        try:
            return model.model_validate(read_object(text.decode()))
        except (errors.BadMessage, ValueError) as refused:
            raise self._no_towline("it answered with something that was not expected") from refused

    def _no_towline(self, reason: str) -> CannotConnect:
        return CannotConnect(self._server, f"{reason}: is this a Towline server? `towline doctor` looks closer")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        import httpx2

        try:
            yield
        except httpx2.InvalidURL as failed:
            raise CannotConnect(self._server, str(failed)) from failed
        except httpx2.TimeoutException as failed:
            raise ConnectionBroken("no answer in time") from failed
        except httpx2.TransportError as failed:
            refused = tls_refusal(failed) if isinstance(failed, httpx2.ConnectError) else None
            if refused is not None:
                raise CannotConnect(self._server, refused) from failed
            raise ConnectionBroken(_reason(failed)) from failed


def parse_name(text: str) -> Name:
    """A name, for a request. Raises errors.InvalidName."""
    try:
        return Name.parse(text)
    except InvalidName as refused:
        raise errors.InvalidName(str(refused), rule=refused.rule) from refused


def _quoted(text: str, *, safe: str) -> str:
    return quote(text, safe=safe, errors="surrogateescape")


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines that end in a line feed and nothing else: text within may hold other separators."""
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.strip():
                yield line
        if len(rest) > MAX_LINE_BYTES:
            raise ConnectionBroken(f"a line of the listing is longer than {MAX_LINE_BYTES} bytes")
    if rest.strip():
        yield rest


def _reason(failed: "httpx2.TransportError") -> str:
    """What the system said, where it said anything: `connection refused`."""
    for cause in causes(failed):
        if isinstance(cause, socket.gaierror):
            return (cause.strerror or "unknown host").lower()
        if isinstance(cause, OSError) and cause.errno:  # its text is asyncio's, with the address
            return os.strerror(cause.errno).lower()
    return str(failed).rstrip(".") or "connection lost"
