"""Where an upload's bytes come from: a path, bytes, or a stream; and what is known of them so far.

A *seekable* source has a size and can be read anywhere; of a stream only what the server has not acknowledged is kept.
"""

import asyncio
import os
import stat
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, ParamSpec, Protocol, TypeVar

from client.errors import ClientError, SourceChanged
from client.moments import moment_of
from transfer.protocol.digest import Digest, digest_of, new_hasher
from transfer.protocol.leaves import Buffer, LeafHasher

UploadSource = str | os.PathLike[str] | bytes | BinaryIO | AsyncIterable[bytes]
Feed = Callable[[int, Buffer], None]
"""Takes bytes and the offset at which they are."""
P = ParamSpec("P")
T = TypeVar("T")
READ_BYTES: Final = 1 << 20


class Source(Protocol):
    """`read` gives at most `size` bytes at `offset`, and nothing at the end; it may raise OSError, SourceChanged. What
    it gives it also gives to `feed`, in a thread: in that which has read it, where there is one, since another hop
    costs as much as hashing 100 KiB."""

    name: str
    size: int | None
    modified: datetime | None
    seekable: bool

    async def read(self, offset: int, size: int, feed: Feed | None = None) -> bytes: ...

    def acknowledged(self, offset: int) -> None:
        """Bytes below `offset` are not needed again."""
        ...

    async def check(self) -> None:
        """Raises SourceChanged when the source is not what it was when it was opened."""
        ...


def open_file(path: Path) -> int:
    """A descriptor of a regular file. Raises OSError, and ClientError for a pipe or a device: those have no size that
    could be trusted, and one that took a file's place since it was listed would be waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise ClientError(f"{path} is not a regular file: open what can be read from it, and upload that as a stream")


class FileSource:
    """A regular file, as it is when it is opened."""

    seekable = True

    def __init__(self, path: Path, descriptor: int) -> None:
        self.name = path.name
        self._path = path
        self._descriptor = descriptor
        status = os.fstat(descriptor)
        self._identity = (status.st_size, status.st_mtime_ns)
        self.size: int | None = status.st_size
        self.modified = moment_of(status.st_mtime_ns)

    async def read(self, offset: int, size: int, feed: Feed | None = None) -> bytes:
        return await _to_its_end(self._read_now, offset, size, feed)

    def _read_now(self, offset: int, size: int, feed: Feed | None) -> bytes:
        content = os.pread(self._descriptor, size, offset)
        if not content and self.size is not None and offset < self.size:
            raise SourceChanged(str(self._path))
        if feed is not None:
            feed(offset, content)
        return content

    def acknowledged(self, offset: int) -> None:
        """The file keeps its bytes."""

    async def check(self) -> None:
        status = await asyncio.to_thread(os.fstat, self._descriptor)
        if (status.st_size, status.st_mtime_ns) != self._identity:
            raise SourceChanged(str(self._path))


class BytesSource:
    """Content that is in memory."""

    seekable = True

    def __init__(self, content: bytes) -> None:
        self.name = "bytes"
        self.modified: datetime | None = None
        self._content = content
        self.size: int | None = len(content)

    async def read(self, offset: int, size: int, feed: Feed | None = None) -> bytes:
        return await fed(offset, self._content[offset : offset + size], feed)

    def acknowledged(self, offset: int) -> None:
        """It stays in memory."""

    async def check(self) -> None:
        """Bytes cannot change."""


class StreamSource:
    """What can be read once, in order; its size shows at its end."""

    seekable = False

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self.name = "stream"
        self.size: int | None = None
        self.modified: datetime | None = None
        self._chunks = chunks
        self._kept: deque[bytes] = deque()
        self._start = self._end = 0
        self._rest = b""
        self._pending: asyncio.Task[bytes | None] | None = None

    async def read(self, offset: int, size: int, feed: Feed | None = None) -> bytes:
        if offset < self._start:
            raise ClientError(f"the stream's bytes at {offset} are gone: pipe it in again to go on")
        assert offset <= self._end, "what follows in the stream would be taken for what is further on"
        if offset < self._end:
            return await fed(offset, self._again(offset, size), feed)
        while not self._rest:
            following = await self._following()
            if following is None:
                return b""
            self._rest = following
        content, self._rest = self._rest[:size], self._rest[size:]
        self._kept.append(content)
        self._end += len(content)
        return await fed(offset, content, feed)

    async def _following(self) -> bytes | None:
        """The next chunk; None at the end. Cancelling it leaves the chunk to the next call."""
        if self._pending is None:
            self._pending = asyncio.create_task(self._read())
        chunk = await asyncio.shield(self._pending)
        if chunk is not None:
            self._pending = None
        return chunk

    async def _read(self) -> bytes | None:
        return await anext(self._chunks, None)

    async def close(self) -> None:
        """Give up a chunk that nobody waits for any more."""
        if self._pending is not None and not self._pending.done():
            self._pending.cancel()
            await asyncio.wait([self._pending])

    def _again(self, offset: int, size: int) -> bytes:
        at = self._start
        for content in self._kept:
            if offset < at + len(content):
                return content[offset - at : offset - at + size]
            at += len(content)
        raise AssertionError(offset)

    def acknowledged(self, offset: int) -> None:
        while self._kept and self._start + len(self._kept[0]) <= offset:
            self._start += len(self._kept.popleft())

    async def check(self) -> None:
        """A stream is what comes."""


async def fed(offset: int, content: bytes, feed: Feed | None) -> bytes:
    """Feed the bytes at an offset, if somebody wants them, and return them."""
    if feed is not None:
        await _to_its_end(feed, offset, content)
    return content


async def _to_its_end(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call it in a thread. Who is cancelled meanwhile ends after it has: a thread cannot be cancelled, and the next
    connection of an upload must not feed what it still feeds."""
    working = asyncio.get_running_loop().run_in_executor(None, partial(function, *args, **kwargs))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        raise


async def _read_in_thread(stream: BinaryIO) -> AsyncIterator[bytes]:
    read = getattr(stream, "read1", stream.read)
    while content := await asyncio.to_thread(read, READ_BYTES):
        yield content


@asynccontextmanager
async def open_source(source: UploadSource) -> AsyncIterator[Source]:
    """Open what a caller passed. Raises OSError for a path that cannot be read, ClientError for one that is no file."""
    if isinstance(source, bytes):
        yield BytesSource(source)
    elif isinstance(source, str | os.PathLike):
        path = Path(source)
        descriptor = await asyncio.to_thread(open_file, path)
        try:
            yield FileSource(path, descriptor)
        finally:
            os.close(descriptor)
    else:
        stream = StreamSource(aiter(source) if isinstance(source, AsyncIterable) else _read_in_thread(source))
        try:
            yield stream
        finally:
            await stream.close()


class Fingerprint:
    """The running digest and the leaves of a source, as far as it was read in order."""

    def __init__(self, algorithm: str, leaf_size: int) -> None:
        self.algorithm = algorithm
        self.leaf_size = leaf_size
        self.position = 0
        self.leaves: list[bytes] = []
        self._hasher = new_hasher(algorithm)
        self._leaf_hasher = LeafHasher(leaf_size)

    def feed(self, offset: int, content: Buffer) -> None:
        """Take what is new of these bytes; bytes beyond a gap are none of its business."""
        view = memoryview(content)[max(0, self.position - offset) :]
        if offset > self.position or not view:
            return
        self._hasher.update(view)
        self.leaves += [checksum for _, checksum in self._leaf_hasher.update(view)]
        self.position += len(view)

    @property
    def all_leaves(self) -> list[bytes]:
        """The leaves with the tail, once everything was fed."""
        tail = self._leaf_hasher.tail
        return [*self.leaves, tail.checksum] if tail.length else self.leaves

    @property
    def digest(self) -> Digest:
        return digest_of(self._hasher, self.algorithm)
