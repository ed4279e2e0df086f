"""The public client: a connection to one server, and what can be done with it."""

import time
from collections.abc import AsyncIterable, AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from pydantic import JsonValue

from client.congestion import CongestionChoice
from client.connection_options import checked_count
from client.credentials import Credentials
from client.downloader import Downloader
from client.errors import ClientError, stops_everything
from client.growth import MOST_CONNECTIONS
from client.headers import text_header, upload_header
from client.http import HttpApi, UnfinishedUpload, WhoAmI
from client.kept_wire import KeptWire
from client.links import Links
from client.many import AT_ONCE, ManyUploads
from client.many_downloads import ManyDownloads, Offered
from client.pipeline import Pipeline
from client.progress import Complete, Downloaded, Failed, Listener, ignore
from client.retry import GIVE_UP_AFTER, Patience
from client.server_url import base_url
from client.small_files import Item, SmallFile, SmallFileReader, read_small
from client.source import Source, UploadSource, open_source
from client.speed import SpeedLimit
from client.stored_files import persistently, stored_files
from client.target_folder import TargetFolder
from client.tls import tls_context
from client.token_sources import token_source
from client.tunnel import Tunnel, open_tunnel
from client.uploader import Count, Uploader
from client.wire import Opener, Wire, open_wire
from transfer.protocol import limits
from transfer.protocol.digest import DEFAULT_ALGORITHM
from transfer.protocol.errors import BadMessage, TransferError
from transfer.protocol.messages import EchoMessage, ErrorMessage, FileEntry, IfExists, UploadHeader

if TYPE_CHECKING:
    from transfer.protocol.events import EventMessage

AT_ONCE_BYTES: Final = 64 * limits.KIB
"""A file that is uploaded alone is not worth resuming up to this size: a connection has more than that in flight."""


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """A text that came back, and how long it was on its way."""

    text: str
    seconds: float


class Connection:
    """A connection to a server, made when it is first needed and made anew when it breaks. Use it in `async with`.

    Every method raises the protocol's errors (`transfer.protocol.errors`) and `client.errors`. Operations of one
    connection take turns; cancelling one leaves an upload resumable.
    """

    def __init__(
        self,
        server: str,
        *,
        credentials: Credentials | None = None,
        ca_file: Path | str | None = None,
        give_up_after: float = GIVE_UP_AFTER,
        limit_rate: float | None = None,
        congestion: CongestionChoice = "auto",
        connections: Count = "auto",
    ) -> None:
        self.server = server
        """Its URL, as it was given."""
        self._credentials = credentials or Credentials(server, token_source(server))
        self._tls = tls_context(server, ca_file)
        self._give_up_after = give_up_after
        self._speed_limit = SpeedLimit(limit_rate)
        self._congestion = congestion
        self._connections = checked_count(connections)
        self._wire = KeptWire(self._another_wire)
        self._http = HttpApi(server, self._credentials, tls=self._tls)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._wire.close()
        await self._http.__aexit__(*exc_info)

    @property
    def _most(self) -> int:
        """How many connections a file alone may take."""
        return MOST_CONNECTIONS if self._connections == "auto" else self._connections

    def _another_wire(self) -> AbstractAsyncContextManager[Wire]:
        return open_wire(self.server, self._credentials, tls=self._tls, congestion=self._congestion)

    # ------------------------------------------------------------------------------------------------ WebSocket

    async def upload(
        self,
        source: UploadSource,
        *,
        name: str | None = None,
        if_exists: IfExists = "error",
        digest_algorithm: str = DEFAULT_ALGORITHM,
        modified: datetime | None = None,
        content_type: str | None = None,
        metadata: dict[str, str] | None = None,
        on_event: Listener = ignore,
    ) -> FileEntry:
        """Upload a path, bytes, or a binary stream, through any number of breaks; returns the published file.

        `name` is the path's last part by default and needed for everything else. The same call again goes on where
        the last durable byte was. Raises SourceChanged, GaveUp, OSError beside the protocol's errors.
        """
        async with open_source(source) as opened:
            wanted = name if name is not None else opened.name if isinstance(source, str | Path) else None
            if wanted is None:
                raise ClientError("an upload of bytes or of a stream needs a name")
            header = upload_header(
                wanted,
                size=opened.size,
                if_exists=if_exists,
                digest_algorithm=digest_algorithm,
                modified=modified or opened.modified,
                content_type=content_type,
                metadata=metadata or {},
            )
            complete = await self._upload(opened, header, on_event)
        on_event(complete)
        return complete.file

    async def _upload(
        self,
        source: Source,
        header: UploadHeader,
        listener: Listener,
        open_wire: Opener | None = None,
        most: int | None = None,
    ) -> Complete:
        """Upload a source on the connection there is, or on another one, and on at `most` so many."""
        patience = Patience(self._give_up_after)
        if source.size is not None and source.size <= AT_ONCE_BYTES and not self._speed_limit.is_set:
            return await self._upload_small(source, header, patience, listener)
        uploader = Uploader(
            open_wire or self._wire.exclusive,
            source,
            header,
            patience,
            listener,
            self._speed_limit,
            self._another_wire,
            self._connections,
            most or self._most,
        )
        return await uploader.run()

    async def _upload_small(
        self, source: Source, header: UploadHeader, patience: Patience, listener: Listener
    ) -> Complete:
        """Whole: something to resume would take more syncs and more round trips."""
        small = await read_small(source, header)

        async def files() -> AsyncIterator[list[SmallFile]]:
            yield [small]

        pipeline = Pipeline(self._wire.exclusive, files(), patience, listener, self._speed_limit)
        (result,) = [result async for result in pipeline.results()]
        if isinstance(result, Failed):
            raise result.error
        return result

    async def upload_many(
        self,
        items: AsyncIterable[Item] | Iterable[Item],
        *,
        if_exists: IfExists = "error",
        digest_algorithm: str = DEFAULT_ALGORITHM,
        parallel: int = AT_ONCE,
        on_event: Listener = ignore,
    ) -> AsyncIterator[Complete | Failed]:
        """Upload files, `parallel` at a time: the small ones one after another on one connection, without waiting for
        answers, large ones on others beside it. One that is refused or cannot be read gives `Failed`, and the rest goes
        on. Raises GaveUp, CannotConnect, Superseded, Unauthorized."""

        def header_of(name: str, **fields: object) -> UploadHeader:
            return upload_header(name, if_exists=if_exists, digest_algorithm=digest_algorithm, **fields)

        def pipeline(files: AsyncIterator[list[SmallFile]]) -> Pipeline:
            return Pipeline(self._wire.exclusive, files, Patience(self._give_up_after), on_event, self._speed_limit)

        async def upload_large(item: Item, open_wire: Opener, most: int) -> Complete | Failed:
            try:
                async with open_source(item.path) as source:
                    header = header_of(item.name, size=source.size, modified=source.modified)
                    return await self._upload(source, header, on_event, open_wire, most)
            except (TransferError, OSError, ClientError) as error:
                if stops_everything(error):
                    raise
                return Failed(name=item.name, error=error)

        reader = SmallFileReader(items, header_of)
        many = ManyUploads(reader, pipeline, upload_large, self._wire, self._another_wire, parallel, self._most)
        async with aclosing(many.results()) as results:  # type: ignore[type-var]
            async for result in results:
                on_event(result)
                yield result

    async def echo(self, text: str) -> str:
        """Send a text to the server and back. Raises BadMessage when it cannot be sent, or is another one then."""
        return (await self.round_trip(text)).text

    async def round_trip(self, text: str) -> RoundTrip:
        """As `echo`, and say how long it took; connecting does not count."""
        header = text_header(text)
        async with self._wire.exclusive() as wire:
            await wire.keep_authorized()
            began = time.perf_counter()
            await wire.send(header)
            answer = await wire.receive()
            seconds = time.perf_counter() - began
            if isinstance(answer, ErrorMessage):
                raise answer.error
            if not isinstance(answer, EchoMessage):
                raise BadMessage(f"the server answered a text with {answer.type!r}")
            if answer.text != text:
                raise BadMessage("the server sent another text back")
            return RoundTrip(answer.text, seconds)

    def proxy(self, target: str, *, subprotocols: Sequence[str] = ()) -> AbstractAsyncContextManager[Tunnel]:
        """A tunnel through the server to one of its upstreams, for `async with`: `target` is its name or its URL.

            async with connection.proxy("echo") as tunnel:
                await tunnel.send("hello")
                print(await tunnel.recv())

        It has a WebSocket of its own, and does not go on after a break. Raises ProxyDenied, ProxyFailed, TooMany.
        """
        return open_tunnel(self.server, target, subprotocols, self._credentials, tls=self._tls)

    def events(self, after: str | None = None, *, on_event: Listener = ignore) -> "AsyncIterator[EventMessage]":
        """What happens to uploads and files on the server, as far as one may see it, as it happens; see client.events.

            async for event in connection.events():
                if isinstance(event, UploadEvent) and event.event == "completed":
                    print(event.file.url)

        It does not end by itself, and goes on after a break; `on_event` hears when it waits for the network. `after` is
        the id of the last event that was heard. It has a WebSocket of its own. Raises GaveUp.
        """
        from client.events import follow  # by who listens: what it is made of takes its time to load

        patience = Patience(self._give_up_after)
        return follow(self.server, self._credentials, patience, tls=self._tls, after=after, listener=on_event)

    # ------------------------------------------------------------------------------------------------------ HTTP

    async def download(
        self, name: str, to: Path | str | None = None, *, force: bool = False, on_event: Listener = ignore
    ) -> Path:
        """Download a file to `to` (the name's last part here by default); a partial one is continued. See
        `client.downloader`."""
        downloader = Downloader(self._http, Patience(self._give_up_after), on_event, self._speed_limit)
        return await downloader.download(name, to, force=force)

    def list_level(self, prefix: str = "", *, sort: str = "name") -> AsyncIterator[str | FileEntry]:
        """What is directly below `prefix`: folders by name, each up to and with its `/`, then files."""
        return self._http.list_level(prefix, sort)

    def download_many(
        self,
        offered: Iterable[Offered],
        folder: TargetFolder,
        *,
        force: bool = False,
        parallel: int = AT_ONCE,
        on_event: Listener = ignore,
    ) -> AsyncIterator[Downloaded | Failed]:
        """Download files to their places in a folder, `parallel` at a time. One that fails gives `Failed`, and the rest
        goes on. Raises GaveUp, CannotConnect, Unauthorized."""

        def downloader(listener: Listener) -> Downloader:
            return Downloader(self._http, Patience(self._give_up_after), listener, self._speed_limit)

        return ManyDownloads(offered, folder, downloader, on_event, count=parallel, force=force).results()

    def files_below(self, prefix: str, *, on_event: Listener = ignore) -> AsyncIterator[FileEntry]:
        """As `list_files`, through any number of breaks; after one, entries come twice."""
        return persistently(lambda: self.list_files(prefix), Patience(self._give_up_after), on_event)

    def list_files(self, prefix: str = "", *, q: str = "", sort: str = "name") -> AsyncIterator[FileEntry]:
        """All files whose names begin with `prefix`."""
        return self._http.list_files(prefix, q=q, sort=sort)

    def stored_files(self, names: Collection[str], *, on_event: Listener = ignore) -> AsyncIterator[FileEntry]:
        """The entries of those names that the server has, by one request; see `client.stored_files`."""
        return stored_files(self.list_files, names, Patience(self._give_up_after), on_event)

    async def rename(self, name: str, new_name: str) -> FileEntry:
        """Give a file another name."""
        return await self._http.rename(name, new_name)

    async def delete(self, name: str) -> None:
        """Delete a file."""
        await self._http.delete(name)

    async def uploads(self) -> list[UnfinishedUpload]:
        """The caller's unfinished uploads."""
        return await self._http.uploads()

    async def cancel(self, upload_id: str) -> None:
        """Drop an unfinished upload and its bytes."""
        await self._http.cancel(upload_id)

    @property
    def links(self) -> Links:
        """Share and request links: making, listing and revoking them."""
        return Links(base_url(self.server), self._http)

    async def ask(self, method: str, path: str, fields: Mapping[str, JsonValue] | None = None) -> bytes:
        """A request of the server's HTTP API that has no method of its own here: the body of its answer."""
        return await self._http.ask(method, path, fields)

    async def whoami(self) -> WhoAmI:
        """Who the server takes the caller for, and what they may do."""
        return await self._http.whoami()
