"""Small files from disk: read and hashed many at a time, for a hop to a thread costs more than reading one of them."""

import asyncio
import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Final, Protocol

from client.errors import ClientError, SourceChanged
from client.moments import moment_of
from client.progress import Complete, Failed
from client.source import Source, open_file
from transfer.protocol import limits
from transfer.protocol.digest import Digest, digest_bytes
from transfer.protocol.errors import TransferError
from transfer.protocol.messages import FileEntry, UploadHeader

AT_A_TIME: Final = 64
BYTES_AT_A_TIME: Final = limits.FIRST_WINDOW // 4
"""What one hop reads, and about how much of files the client keeps beside those that are on their way."""


@dataclass(frozen=True, slots=True)
class Item:
    """A file to upload, and the name it is to have. `stored` is the file of the same name and size that the server has,
    where that is known: a small one is not sent when the digests are the same."""

    path: Path
    name: str
    stored: FileEntry | None = None


@dataclass(slots=True)
class SmallFile:
    """A whole file in memory; `sent_bytes` counts what went on the wire for it."""

    ref: int
    header: UploadHeader
    content: bytes
    digest: Digest
    sent_bytes: int = 0

    def has(self, digest: Digest) -> bool:
        """Whether that is the digest of its content, by whatever algorithm."""
        return digest == self.digest or digest_bytes(self.content, digest.algorithm) == digest


async def read_small(source: Source, header: UploadHeader) -> SmallFile:
    """Read and hash a source of at most `limits.SMALL_FILE_BYTES`. Raises SourceChanged, OSError."""
    assert source.size is not None
    content = await source.read(0, source.size) if source.size else b""
    await source.check()
    if len(content) != source.size:
        raise SourceChanged(source.name)
    alone = header.model_copy(update={"offset": 0, "ref": 1})
    return SmallFile(1, alone, content, digest_bytes(content, header.digest_algorithm))


class HeaderOf(Protocol):
    """Makes the header of a file with this name. Raises InvalidName."""

    def __call__(self, name: str, **fields: object) -> UploadHeader: ...


class SmallFileReader:
    """Reads those of the items that are small. What else there is among them is in `large`, `unchanged` and `failed`
    until it is forgotten; all is there once they were all read."""

    def __init__(self, items: AsyncIterable[Item] | Iterable[Item], header_of: HeaderOf) -> None:
        self._items = items
        self._header_of = header_of
        self._refs = count(1)
        self.large: list[Item] = []
        self.unchanged: list[Complete] = []
        self.failed: list[Failed] = []

    def forget(self) -> None:
        """Somebody has taken what was found so far."""
        for found in (self.large, self.unchanged, self.failed):
            found.clear()

    async def files(self) -> AsyncIterator[list[SmallFile]]:
        """A few of them at a time; none, where a while was spent on others."""
        async for items in _groups(self._items):
            following = iter(items)
            while files := await asyncio.to_thread(self._read_some, following):
                yield files
            yield []

    def _read_some(self, items: Iterator[Item]) -> list[SmallFile]:
        files: list[SmallFile] = []
        size = 0
        for item in items:
            try:
                file = self._read(item)
            except (ClientError, TransferError, OSError) as error:
                self.failed.append(Failed(name=item.name, error=error))
                continue
            if file is None:
                self.large.append(item)
                continue
            if item.stored is not None and file.has(item.stored.digest):
                self.unchanged.append(unchanged(item.name, item.stored))
                continue
            files.append(file)
            if (size := size + len(file.content)) >= BYTES_AT_A_TIME:
                break
        return files

    def _read(self, item: Item) -> SmallFile | None:
        """None for one that is not small. Raises ClientError, InvalidName, OSError."""
        descriptor = open_file(item.path)
        try:
            before = os.fstat(descriptor)
            if before.st_size > limits.SMALL_FILE_BYTES:
                return None
            ref, modified = next(self._refs), moment_of(before.st_mtime_ns)
            header = self._header_of(item.name, size=before.st_size, offset=0, modified=modified, ref=ref)
            content = os.pread(descriptor, before.st_size, 0)
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if (after.st_size, after.st_mtime_ns) != (len(content), before.st_mtime_ns):
            raise SourceChanged(str(item.path))
        return SmallFile(ref, header, content, digest_bytes(content, header.digest_algorithm))


def unchanged(name: str, stored: FileEntry) -> Complete:
    """The event of a file that the server has already, with the same content."""
    return Complete(name=name, file=stored, sent_bytes=0, unchanged=True, resumed_at=0)


async def _groups(items: AsyncIterable[Item] | Iterable[Item]) -> AsyncIterator[list[Item]]:
    """What is to be read together: nothing waits for an item that is still to come."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield [item]
        return
    following = iter(items)
    while group := list(islice(following, AT_A_TIME)):
        yield group
