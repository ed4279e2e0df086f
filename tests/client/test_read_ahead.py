"""One chunk is read ahead, and fed in order, whoever else hashes the same source."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from client.errors import SourceChanged
from client.read_ahead import ReadAhead
from client.source import Fingerprint, UploadSource, open_source
from transfer.protocol.digest import digest_bytes
from transfer.protocol.leaves import Buffer

CONTENT = b"abcdefghij"


class Fed:
    """A fingerprint that says when bytes at an offset have come."""

    def __init__(self) -> None:
        self.fingerprint = Fingerprint("sha256", leaf_size=1 << 20)
        self._loop = asyncio.get_running_loop()
        self.came = {offset: asyncio.Event() for offset in range(len(CONTENT))}

    def feed(self, offset: int, content: Buffer) -> None:
        self.fingerprint.feed(offset, content)
        self._loop.call_soon_threadsafe(self.came[offset].set)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    return path


async def test_what_follows_is_read_and_fed_before_it_is_asked_for(path: Path) -> None:
    async with open_source(path) as source:
        ahead, fed = ReadAhead(source), Fed()
        assert await ahead.read(0, 4, fed.feed) == b"abcd"
        await fed.came[4].wait()
        assert fed.fingerprint.position == 8
        assert await ahead.read(4, 4, fed.feed) == b"efgh"
        assert await ahead.read(8, 2, fed.feed) == b"ij"
        assert fed.fingerprint.digest == digest_bytes(CONTENT)


async def test_what_was_read_ahead_for_nobody_is_fed_once_it_is_asked_for(path: Path) -> None:
    async with open_source(path) as source:
        ahead, fed = ReadAhead(source), Fed()
        await ahead.read(0, 4, None)
        fed.feed(0, CONTENT[:4])  # as the background does, after a resume
        assert await ahead.read(4, 4, fed.feed) == b"efgh"
        assert await ahead.read(8, 2, fed.feed) == b"ij"
        assert fed.fingerprint.digest == digest_bytes(CONTENT)


async def test_another_place_than_the_next_is_read_anew(path: Path) -> None:
    async with open_source(path) as source:
        ahead = ReadAhead(source)
        assert await ahead.read(0, 4, None) == b"abcd"
        assert await ahead.read(2, 4, None) == b"cdef"
        assert await ahead.read(6, 1, None) == b"g"


async def test_what_was_read_ahead_is_forgotten_once_settled(path: Path) -> None:
    async with open_source(path) as source:
        ahead, fed = ReadAhead(source), Fed()
        await ahead.read(0, 4, fed.feed)
        await ahead.settled()
        assert fed.fingerprint.position == 8  # nobody feeds it any more
        await asyncio.to_thread(path.write_bytes, CONTENT.upper())
        assert await ahead.read(4, 4, None) == b"EFGH"


async def test_an_error_ahead_is_of_the_chunk_that_cannot_be_read(path: Path) -> None:
    async with open_source(path) as source:
        ahead = ReadAhead(source)
        os.truncate(path, 4)
        assert await ahead.read(0, 4, None) == b"abcd"
        with pytest.raises(SourceChanged):
            await ahead.read(4, 4, None)
        await ahead.settled()


async def test_a_stream_is_asked_for_no_more_than_what_is_sent() -> None:
    asked = []

    async def chunks() -> AsyncIterator[bytes]:
        for chunk in (b"abcd", b"efgh"):
            asked.append(chunk)
            yield chunk

    async with open_source(chunks()) as source:
        ahead, fed = ReadAhead(source), Fed()
        assert await ahead.read(0, 4, fed.feed) == b"abcd"
        assert fed.fingerprint.position == 4
        assert asked == [b"abcd"]


@pytest.mark.parametrize("kind", ["file", "bytes", "stream"])
async def test_a_read_that_is_cancelled_ends_only_after_its_bytes_were_fed(path: Path, kind: str) -> None:
    """Else the next connection's read would feed the same fingerprint at the same time."""
    feeding, let_go, fed = asyncio.Event(), threading.Event(), False
    loop = asyncio.get_running_loop()

    def feed(offset: int, content: Buffer) -> None:
        nonlocal fed
        loop.call_soon_threadsafe(feeding.set)
        let_go.wait()
        fed = True

    sources: dict[str, UploadSource] = {"file": path, "bytes": CONTENT, "stream": _stream()}
    async with open_source(sources[kind]) as source:
        reading = asyncio.create_task(source.read(0, 4, feed))
        await feeding.wait()
        reading.cancel()
        loop.call_soon(let_go.set)
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert fed


async def _stream() -> AsyncIterator[bytes]:
    yield CONTENT
