"""A source that changes is never spliced: what differs is sent once more, or the upload ends in a clear error."""

import asyncio
import os
from pathlib import Path

import pytest

import client
from client.progress import Ack, Event, Resending
from tests.end_to_end.scene import MIB, Recorder, content, names, sha256, stored
from tests.links import Link
from tests.server import running
from transfer.protocol.errors import Exists
from transfer.settings import Settings

SIZE = 40 * MIB
LEAF = MIB


async def begun(url: str, path: Path, offset: int) -> None:
    """Upload until `offset` is durable, then stop like a cable that is pulled."""
    heard = Recorder()
    async with Link("127.0.0.1", int(url.rpartition(":")[2])) as link:
        link.hold_after(upstream=offset + 8 * MIB)  # else it may complete before it is stopped
        uploading = asyncio.create_task(client.upload(link.url, path, on_event=heard))
        await heard.acked(offset)
        uploading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await uploading


async def test_only_the_leaves_that_differ_are_sent_again(tmp_path: Path) -> None:
    path, heard = tmp_path / "a.bin", Recorder()
    data = bytearray(content(SIZE))
    path.write_bytes(data)
    async with running(Settings(data=tmp_path / "data")) as url:
        await begun(url, path, 16 * MIB)
        data[3 * LEAF + 5] ^= 1
        data[9 * LEAF + 5] ^= 1
        data[10 * LEAF - 1] ^= 1
        path.write_bytes(data)
        await client.upload(url, path, on_event=heard)
        assert await stored(url, "a.bin") == data
    assert heard.complete.resumed_at >= 16 * MIB
    assert heard.complete.sent_bytes == SIZE - heard.complete.resumed_at + 2 * LEAF
    assert sum(event.size for event in heard.of(Resending)) == 2 * LEAF


async def test_a_source_that_grew_is_continued(tmp_path: Path) -> None:
    path, heard = tmp_path / "a.log", Recorder()
    data = content(SIZE + 5 * MIB)
    path.write_bytes(data[:SIZE])
    async with running(Settings(data=tmp_path / "data")) as url:
        await begun(url, path, 16 * MIB)
        path.write_bytes(data)
        await client.upload(url, path, on_event=heard)
        assert await stored(url, "a.log") == data
    assert heard.complete.resumed_at >= 16 * MIB
    assert heard.complete.sent_bytes == len(data) - heard.complete.resumed_at


async def test_a_source_that_shrank_below_the_offset_is_cut(tmp_path: Path) -> None:
    path, heard = tmp_path / "a.bin", Recorder()
    data = content(SIZE)
    path.write_bytes(data)
    async with running(Settings(data=tmp_path / "data")) as url:
        await begun(url, path, 16 * MIB)
        path.write_bytes(data[: 5 * MIB + 77])
        await client.upload(url, path, on_event=heard)
        assert await stored(url, "a.bin") == data[: 5 * MIB + 77]
    assert heard.complete.sent_bytes == 0


async def test_a_change_in_the_partial_leaf_is_found_at_the_end_and_repaired(tmp_path: Path) -> None:
    """The tail has no checksum on the wire before everything is there: the digest tells, and the leaf is repaired."""
    path, heard = tmp_path / "a.bin", Recorder()
    data = bytearray(content(2 * LEAF + LEAF // 2))
    path.write_bytes(data)
    async with running(Settings(data=tmp_path / "data")) as url:

        async def half() -> None:
            async with client.connect(url) as connection:
                await connection.upload(path, on_event=first)

        first = Recorder()
        uploading = asyncio.create_task(half())
        await first.until(lambda event: isinstance(event, Ack))
        uploading.cancel()
        await asyncio.wait([uploading])
        data[1] ^= 1
        data[-1] ^= 1
        path.write_bytes(data)
        await client.upload(url, path, if_exists="replace", on_event=heard)
        assert await stored(url, "a.bin") == data


async def test_a_source_that_changes_while_it_is_read_is_never_published(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(content(SIZE))

    def meddle(event: Event) -> None:
        if isinstance(event, Ack) and event.offset < SIZE:
            with path.open("r+b") as stream:
                stream.write(os.urandom(8))

    async with running(Settings(data=tmp_path / "data")) as url:
        with pytest.raises(client.SourceChanged, match="source changed while it was being read"):
            await client.upload(url, path, on_event=meddle)
        assert await names(url) == []
        async with client.connect(url) as connection:
            assert len(await connection.uploads()) == 1
        await client.upload(url, path)
        assert await stored(url, "a.bin") == path.read_bytes()


async def test_a_source_that_is_cut_while_it_is_read_is_never_published(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(content(SIZE))

    def meddle(event: Event) -> None:
        if isinstance(event, Ack) and path.stat().st_size == SIZE:
            os.truncate(path, SIZE // 2)

    async with running(Settings(data=tmp_path / "data")) as url:
        with pytest.raises(client.SourceChanged):
            await client.upload(url, path, on_event=meddle)
        assert await names(url) == []


async def test_the_same_content_again_is_unchanged_and_sends_nothing(tmp_path: Path) -> None:
    path, heard = tmp_path / "a.bin", Recorder()
    path.write_bytes(content(SIZE))
    async with running(Settings(data=tmp_path / "data")) as url:
        await client.upload(url, path)
        await client.upload(url, path, on_event=heard)
        async with client.connect(url) as connection:
            assert await connection.uploads() == []
    assert heard.complete.unchanged
    assert heard.complete.sent_bytes == 0


@pytest.mark.parametrize("change", [0, 1], ids=["same size", "another size"])
async def test_other_content_under_a_taken_name(tmp_path: Path, change: int) -> None:
    path = tmp_path / "cat.jpg"
    path.write_bytes(content(3 * MIB, 1))
    other = content(3 * MIB + change, 2)
    async with running(Settings(data=tmp_path / "data")) as url:
        await client.upload(url, path)
        path.write_bytes(other)
        with pytest.raises(Exists) as refused:
            await client.upload(url, path)
        assert refused.value.facts["size"] == 3 * MIB
        async with client.connect(url) as connection:
            assert await connection.uploads() == []
        renamed = await client.upload(url, path, if_exists="rename")
        assert str(renamed.name) == "cat (2).jpg"
        replaced = await client.upload(url, path, if_exists="replace")
        assert (str(replaced.name), str(replaced.digest)) == ("cat.jpg", sha256(other))
        assert await names(url) == ["cat (2).jpg", "cat.jpg"]
