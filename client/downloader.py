"""Drive one download to its end, through any number of breaks.

The bytes go to a partial file beside the target, `.NAME.TAG.towline-part`. The tag stands for the content (its ETag
and digest), so a partial file only ever holds bytes of one content, whatever crashed in between, and the same call
again goes on where it ends. What is there is hashed anew, so that the digest covers what the disk has. Only a file
that matched its digest is renamed into place.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final, ParamSpec, Protocol, TypeVar

from client.content import Content, ContentInfo
from client.errors import ClientError, ConnectionBroken
from client.http import parse_name
from client.partial import (
    TAG_CHARACTERS,
    HashedFile,
    PartialFile,
    TargetTaken,
    remove_stale_partials,
    restore_time,
    size_of_regular,
    target_of,
)
from client.progress import Comparing, Downloaded, Listener, Received, Receiving
from client.retry import Patience, pause
from client.speed import SpeedLimit, slowed
from transfer.protocol.digest import Digest
from transfer.protocol.errors import NotFound, TransferError
from transfer.protocol.limits import MIB, SMALL_FILE_BYTES
from transfer.protocol.names import Name

WRITE_BYTES: Final = MIB
WRITE_SECONDS: Final = 0.25

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class DamagedContent(ClientError):
    """What came is, twice, not what the server's digest says; nothing was put in place."""

    def __init__(self, name: Name, expected: Digest, actual: Digest) -> None:
        super().__init__(name, expected, actual)
        self.name = name
        self.expected = expected
        self.actual = actual

    def __str__(self) -> str:
        return f"the content of {self.name} does not match its digest: expected {self.expected}, got {self.actual}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One content of one name, as the server described it."""

    etag: str
    size: int
    digest: Digest
    modified: datetime | None

    @property
    def tag(self) -> str:
        """What a partial file of this content bears in its name."""
        return sha256(f"{self.etag}\n{self.digest}".encode()).hexdigest()[:TAG_CHARACTERS]


class Described(Protocol):
    """What a listing says of a file."""

    @property
    def size(self) -> int: ...
    @property
    def digest(self) -> Digest: ...
    @property
    def modified(self) -> datetime | None: ...


@dataclass(slots=True)
class Progress:
    """What one call did so far."""

    received_bytes: int = 0
    resumed_at: int | None = None
    mismatches: int = 0
    accepted_targets: set[str] = field(default_factory=set)


class Contents(Protocol):
    """Where contents come from: a server's files, or a share link."""

    async def content_info(self, name: str) -> ContentInfo:
        """What there is to download. Raises NotFound."""
        ...

    def open_content(
        self, name: str, *, offset: int = 0, etag: str | None = None
    ) -> AbstractAsyncContextManager[Content]:
        """The content from `offset` on while its ETag is still `etag`; else another content, from its beginning."""
        ...

    async def find(self, name: str) -> Described | None:
        """Its entry in the listing, where the caller may see one."""
        ...


class Downloader:
    """One download. Raises the protocol's errors, GaveUp, CannotConnect, TargetTaken, TargetBusy, DamagedContent and
    OSError. Cancelling it leaves a partial file that the same call goes on with."""

    def __init__(self, api: Contents, patience: Patience, listener: Listener, speed_limit: SpeedLimit) -> None:
        self._api = api
        self._patience = patience
        self._listener = listener
        self._speed_limit = speed_limit
        self._progress = Progress()
        self._partial: PartialFile | None = None
        self._entry: Described | None = None
        # One thread, so that a cancelled write has ended before the file is closed.
        self._thread = ThreadPoolExecutor(1, "towline-download")

    async def download(self, name: str, to: Path | str | None = None, *, force: bool = False) -> Path:
        """Fetch `name` to `to`, the last part of the name by default; into `to` where that is a folder."""
        wanted_name = parse_name(name)
        target = await self._in_thread(target_of, wanted_name.last, to)
        await self.fetch(wanted_name, target, force=force)
        await asyncio.to_thread(remove_stale_partials, [target])
        return target

    async def fetch(
        self, name: Name, target: Path, *, force: bool, entry: Described | None = None, is_new: bool = False
    ) -> None:
        """Fetch `name` to just this place, in a folder that is there. `entry` is what a listing has just said of it; a
        small file is fetched by one request where that `is_new`: where nothing is there yet."""
        self._entry = entry
        try:
            if entry is None or not is_new or not await self._fetched_whole(name, target, entry):
                await self._persist(name, target, force=force)
        finally:
            await self._drop_partial()
            self._thread.shutdown(wait=False)

    async def _fetched_whole(self, name: Name, target: Path, entry: Described) -> bool:
        """Whether a file that is not worth resuming came as the listing had it. If not, nothing was changed."""
        if entry.size > SMALL_FILE_BYTES:
            return False
        try:
            async with self._api.open_content(str(name)) as content:
                if content.info.size != entry.size:
                    return False
                pieces = [piece async for piece in slowed(content.chunks, self._speed_limit)]
        except (ConnectionBroken, TransferError) as error:
            await pause(error, self._patience, self._listener, name=str(name))
            return False
        wanted = Wanted(content.info.etag, entry.size, entry.digest, entry.modified)
        self._progress.received_bytes = sum(map(len, pieces))
        # It ends after it was cancelled, too: it is whole, or is not in its place.
        if not await asyncio.to_thread(_put_in_place, target, wanted, b"".join(pieces)):
            return False
        self._tell_end(name, target, wanted, unchanged=False)
        return True

    async def _persist(self, name: Name, target: Path, *, force: bool) -> None:
        while True:
            try:
                if await self._attempt(name, target, force=force):
                    return
            except (ConnectionBroken, TransferError) as error:
                if isinstance(error, TransferError) and not error.retryable:
                    await self._discard_nothing()  # and it is raised
                await pause(error, self._patience, self._listener, name=str(name))

    async def _discard_nothing(self) -> None:
        """Leave no empty partial file behind of what the server does not give."""
        if self._partial is not None and self._partial.offset == 0:
            await self._in_thread(self._partial.discard)

    async def _attempt(self, name: Name, target: Path, *, force: bool) -> bool:
        """Whether the target has the content now; False when what came was wrong and is to be fetched again."""
        wanted = await self._describe(name)
        if await self._is_there(name, target, wanted, force=force):
            await self._in_thread(restore_time, target, wanted.modified)
            self._tell_end(name, target, wanted, unchanged=True)
            return True
        partial = await self._partial_of(name, target, wanted)
        self._begin(name, partial.offset, wanted.size)
        if partial.offset < wanted.size:
            async with self._api.open_content(str(name), offset=partial.offset, etag=wanted.etag) as content:
                await self._receive(name, content, partial, wanted)
        if not await self._matches(name, partial, wanted):
            return False
        await self._in_thread(partial.publish, wanted.modified, replace=force)
        self._tell_end(name, target, wanted, unchanged=False)
        return True

    async def _describe(self, name: Name) -> Wanted:
        """The listing has the exact time of change, HTTP's headers whole seconds (RFC 9110, section 8.8.2)."""
        info: ContentInfo = await self._api.content_info(str(name))
        entry, self._entry = self._entry or await self._api.find(str(name)), None
        digest = info.digest or (entry.digest if entry is not None else None)
        if digest is None:
            raise NotFound(f"the server does not say which digest {str(name)!r} has")
        same = entry is not None and (entry.size, entry.digest) == (info.size, digest)
        return Wanted(info.etag, info.size, digest, entry.modified if entry and same else info.modified)

    def _begin(self, name: Name, offset: int, size: int) -> None:
        if self._progress.resumed_at is None:
            self._progress.resumed_at = offset
        self._listener(Receiving(name=str(name), offset=offset, size=size))

    def _tell_end(self, name: Name, target: Path, wanted: Wanted, *, unchanged: bool) -> None:
        self._listener(
            Downloaded(
                name=str(name),
                path=target,
                size=wanted.size,
                digest=wanted.digest,
                received_bytes=self._progress.received_bytes,
                unchanged=unchanged,
                resumed_at=self._progress.resumed_at or 0,
            )
        )

    # ------------------------------------------------------------------------------------------------ receiving

    async def _receive(self, name: Name, content: Content, partial: PartialFile, wanted: Wanted) -> None:
        """Write what comes, and what came before a break too. Raises ConnectionBroken when that is not all."""
        if content.info.etag != wanted.etag:
            raise ConnectionBroken("the file was replaced meanwhile")
        if content.offset != partial.offset:
            await self._in_thread(partial.restart)
        async for piece in _gathered(slowed(content.chunks, self._speed_limit)):
            if partial.offset + len(piece) > wanted.size:
                raise ConnectionBroken(f"more bytes came than the {wanted.size} announced")
            await self._in_thread(partial.append, piece)
            self._patience.progressed()
            self._progress.received_bytes += len(piece)
            self._listener(Received(name=str(name), offset=partial.offset))
        if partial.offset < wanted.size:
            raise ConnectionBroken("the content ended early")

    async def _matches(self, name: Name, partial: PartialFile, wanted: Wanted) -> bool:
        """Whether the digest is right. If not, the partial file goes; raises DamagedContent the second time."""
        if partial.digest == wanted.digest:
            return True
        actual = partial.digest
        await self._in_thread(partial.discard)
        await self._drop_partial()
        self._progress.mismatches += 1
        if self._progress.mismatches > 1:
            raise DamagedContent(name, wanted.digest, actual)
        return False

    # ----------------------------------------------------------------------------------------- what is there

    async def _is_there(self, name: Name, target: Path, wanted: Wanted, *, force: bool) -> bool:
        """Whether the target has the content already. Raises TargetTaken when it may not be replaced."""
        if wanted.tag in self._progress.accepted_targets:
            return False
        size = await self._in_thread(size_of_regular, target)
        if size == wanted.size and await self._digest_of(name, target, wanted) == wanted.digest:
            return True
        if size is not None and not force:
            raise TargetTaken(target, replaceable=True)
        self._progress.accepted_targets.add(wanted.tag)
        return False

    async def _digest_of(self, name: Name, path: Path, wanted: Wanted) -> Digest:
        file = await self._in_thread(HashedFile.open, path, wanted.digest.algorithm)
        try:
            await self._hash(name, file, wanted.size)
            return file.digest
        finally:
            await self._in_thread(file.close)

    async def _partial_of(self, name: Name, target: Path, wanted: Wanted) -> PartialFile:
        """The partial file of this content, opened and hashed; kept open from one attempt to the next."""
        if self._partial is not None and self._partial.tag == wanted.tag:
            return self._partial
        await self._drop_partial()
        self._partial = partial = await self._in_thread(
            PartialFile.open_for, target, wanted.tag, wanted.digest.algorithm
        )
        await self._hash(name, partial, await self._in_thread(partial.length))
        return partial

    async def _hash(self, name: Name, file: HashedFile, end: int) -> None:
        while file.offset < end and await self._in_thread(file.hash_some, end):
            self._patience.working()
            self._listener(Comparing(name=str(name), offset=file.offset, size=end))

    async def _drop_partial(self) -> None:
        partial, self._partial = self._partial, None
        if partial is not None:
            await self._in_thread(partial.close)

    async def _in_thread(
        self, call: Callable[_Arguments, _Result], *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> _Result:
        return await asyncio.wrap_future(self._thread.submit(call, *args, **kwargs))


def _put_in_place(target: Path, wanted: Wanted, content: bytes) -> bool:
    """Whether the content is what was wanted: then it is in its place. Blocks. Raises TargetTaken, TargetBusy and
    OSError."""
    partial = PartialFile.open_for(target, wanted.tag, wanted.digest.algorithm)
    try:
        partial.append(content)
        if partial.digest == wanted.digest:
            partial.publish(wanted.modified, replace=False)
            return True
        partial.discard()
        return False
    finally:
        partial.close()


async def _gathered(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Chunks put together for the disk: about a MiB, or what comes in a quarter of a second. Before an end or a break
    comes what there is."""
    loop = asyncio.get_running_loop()
    gathered, due = bytearray(), loop.time() + WRITE_SECONDS
    try:
        async for chunk in chunks:
            gathered += chunk
            if len(gathered) >= WRITE_BYTES or loop.time() >= due:
                yield bytes(gathered)
                gathered, due = bytearray(), loop.time() + WRITE_SECONDS
    except ConnectionBroken:
        if gathered:
            yield bytes(gathered)
        raise
    if gathered:
        yield bytes(gathered)
