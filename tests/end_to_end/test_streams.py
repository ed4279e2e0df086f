"""Streams, and contents of every size that is an edge."""

import asyncio
import io
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import client
from tests.end_to_end.scene import MIB, Recorder, content, names, sha256, stored
from tests.links import Link
from tests.server import running
from transfer.protocol.leaves import MIN_LEAF_SIZE, STREAM_LEAF_SIZE
from transfer.settings import Settings

NAMES = [
    "просто файл.txt",
    "写真/二〇二六/猫.jpg",
    "ملفات/صورة.png",
    "कागज़/चित्र.png",
    "ελληνικά/Ωμέγα.txt",
    "emoji/🐈.gif",
    "e\u0301te\u0301.txt",
    "100% #1? &c;=+ [x] 'q' \"d\".txt",
    "a" * 255,
]


async def pieces(data: bytes, size: int = 300_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize(
    "size", [0, 1, MIN_LEAF_SIZE - 1, MIN_LEAF_SIZE, MIN_LEAF_SIZE + 1, 2 * MIN_LEAF_SIZE, 5 * MIN_LEAF_SIZE + 1]
)
async def test_a_file_of_every_edge_size(tmp_path: Path, size: int) -> None:
    path, data = tmp_path / "edge.bin", content(size)
    path.write_bytes(data)
    async with running(Settings(data=tmp_path / "data")) as url:
        file = await client.upload(url, path)
        assert (file.size, str(file.digest)) == (size, sha256(data))
        assert await stored(url, "edge.bin") == data


@pytest.mark.parametrize("size", [0, 1, STREAM_LEAF_SIZE, STREAM_LEAF_SIZE + 1])
async def test_a_stream_of_unknown_size(tmp_path: Path, size: int) -> None:
    data = content(size)
    async with running(Settings(data=tmp_path / "data")) as url:
        file = await client.upload(url, pieces(data), name="stream.bin")
        assert (file.size, str(file.digest)) == (size, sha256(data))


async def test_a_plain_binary_stream(tmp_path: Path) -> None:
    data = content(3 * MIB)
    async with running(Settings(data=tmp_path / "data")) as url:
        await client.upload(url, io.BytesIO(data), name="plain.bin")
        assert await stored(url, "plain.bin") == data


async def test_a_stream_survives_cuts_from_what_it_keeps(tmp_path: Path) -> None:
    data, heard = content(50 * MIB), Recorder()
    async with running(Settings(data=tmp_path / "data")) as url, Link("127.0.0.1", int(url.rpartition(":")[2])) as link:
        link.cut_after(upstream=30 * MIB)
        await client.upload(link.url, pieces(data), name="stream.bin", on_event=heard)
        assert await stored(url, "stream.bin") == data
    assert len(heard.offsets) == 2


async def stuck_after(data: bytes) -> AsyncIterator[bytes]:
    async for piece in pieces(data):
        yield piece
    await asyncio.Event().wait()


async def interrupted(url: str, data: bytes) -> None:
    """Pipe `data` in, and stop when all of it is durable."""
    heard = Recorder()
    piping = asyncio.create_task(client.upload(url, stuck_after(data), name="piped", on_event=heard))
    await heard.acked(len(data))
    piping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await piping


async def test_a_stream_piped_in_again_goes_on_after_its_last_whole_leaf(tmp_path: Path) -> None:
    data, heard = content(70 * MIB), Recorder()
    async with running(Settings(data=tmp_path / "data")) as url:
        await interrupted(url, data[: 40 * MIB])
        await client.upload(url, pieces(data), name="piped", on_event=heard)
        assert await stored(url, "piped") == data
    assert heard.complete.sent_bytes == 70 * MIB - 32 * MIB


async def test_a_stream_piped_in_again_with_a_difference_is_sent_from_there(tmp_path: Path) -> None:
    data, heard = bytearray(content(60 * MIB)), Recorder()
    async with running(Settings(data=tmp_path / "data")) as url:
        await interrupted(url, bytes(data[: 48 * MIB]))
        data[20 * MIB] ^= 1
        await client.upload(url, pieces(bytes(data)), name="piped", on_event=heard)
        assert await stored(url, "piped") == data
    assert heard.complete.sent_bytes == 60 * MIB - 16 * MIB


async def test_a_break_while_a_stream_that_is_piped_in_again_is_compared(tmp_path: Path) -> None:
    data, heard = content(20 * MIB), Recorder()

    async def broken_on_the_way() -> AsyncIterator[bytes]:
        read = 0
        async for piece in pieces(data):
            yield piece
            read += len(piece)
            if read == 9_000_000:
                link.cut()
                await link.until(lambda link: link.connections == 2)

    async with running(Settings(data=tmp_path / "data")) as url, Link("127.0.0.1", int(url.rpartition(":")[2])) as link:
        await interrupted(url, data[: 17 * MIB])
        await client.upload(link.url, broken_on_the_way(), name="piped", on_event=heard)
        assert await stored(url, "piped") == data
    assert heard.complete.sent_bytes == 20 * MIB - 16 * MIB


async def test_a_stream_that_is_there_already_may_be_interrupted_and_piped_in_again(tmp_path: Path) -> None:
    data, heard = content(20 * MIB), Recorder()
    async with running(Settings(data=tmp_path / "data")) as url:
        await client.upload(url, pieces(data), name="piped")
        await interrupted(url, data)
        await client.upload(url, pieces(data), name="piped", on_event=heard)
        assert await stored(url, "piped") == data
    assert heard.complete.unchanged


async def test_a_shorter_stream_piped_in_again_cuts_what_was_there(tmp_path: Path) -> None:
    data = content(48 * MIB)
    async with running(Settings(data=tmp_path / "data")) as url:
        await interrupted(url, data)
        await client.upload(url, pieces(data[: 20 * MIB]), name="piped")
        assert await stored(url, "piped") == data[: 20 * MIB]


async def test_a_sparse_file_of_5_gib(tmp_path: Path) -> None:
    path = tmp_path / "sparse.img"
    with path.open("wb") as stream:
        stream.truncate(5 << 30)
        stream.seek(3 << 30)
        stream.write(b"an island")
    async with running(Settings(data=tmp_path / "data")) as url:
        file = await client.upload(url, path)
        assert (file.size, str(file.digest)) == (5 << 30, sha256(path))
    shutil.rmtree(tmp_path / "data")  # temporary folders are kept for a while; 5 GiB need not be


@pytest.mark.parametrize("name", NAMES)
async def test_names_in_many_scripts(tmp_path: Path, name: str) -> None:
    async with running(Settings(data=tmp_path / "data")) as url, client.connect(url) as connection:
        file = await connection.upload(b"content", name=name)
        assert await names(url) == [str(file.name)]
        target = await connection.download(name, tmp_path / "back")
        assert target.read_bytes() == b"content"
        await connection.delete(name)
        assert await names(url) == []
