"""Many small files: pipelined, published in batches, each whole or not at all."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import client
from client.progress import Complete, Failed, Ready
from tests.end_to_end.conftest import PATIENCE, Peer, small
from tests.end_to_end.scene import content, names, stored
from tests.links import Link
from tests.server import running
from transfer import window
from transfer.protocol.errors import Exists, InvalidName
from transfer.protocol.limits import SMALL_FILE_BYTES
from transfer.settings import Settings

COUNT = 1_000


def many(folder: Path, count: int) -> list[client.Item]:
    folder.mkdir()
    items = []
    for number in range(count):
        path = folder / f"{number:04}.bin"
        path.write_bytes(content(number % 5_000, number))
        items.append(client.Item(path, f"many/{path.name}"))
    return items


async def upload_all(url: str, items: list[client.Item]) -> list[Complete | Failed]:
    async with client.connect(url) as connection:
        return [result async for result in connection.upload_many(items)]


async def test_a_thousand_small_files_on_one_connection(tmp_path: Path) -> None:
    items = many(tmp_path / "many", COUNT)
    async with running(Settings(data=tmp_path / "data")) as url, Link("127.0.0.1", _port(url)) as link:
        results = await upload_all(link.url, items)
        assert link.connections == 1
        assert all(isinstance(result, Complete) and not result.unchanged for result in results)
        assert await names(url) == sorted(item.name for item in items)
        for item in items[:: COUNT // 20]:
            assert await stored(url, item.name) == item.path.read_bytes()


async def test_a_small_file_alone_goes_whole_and_at_once_on_a_connection_that_stays(tmp_path: Path) -> None:
    (tmp_path / "alone").write_bytes(content(4_096))
    events: list[client.Event] = []
    async with (
        running(Settings(data=tmp_path / "data")) as url,
        Link("127.0.0.1", _port(url)) as link,
        client.connect(link.url) as connection,
    ):
        files = [await connection.upload(tmp_path / "alone", on_event=events.append) for _ in range(2)]
        with pytest.raises(Exists):
            await connection.upload(b"other", name="alone", on_event=events.append)
        await connection.upload(b"", name="empty", on_event=events.append)
        assert link.connections == 1
        assert files[0] == files[1]
        assert await stored(url, "alone") == content(4_096)
    assert not any(isinstance(event, Ready) for event in events)
    assert [event.unchanged for event in events if isinstance(event, Complete)] == [False, True, False]


async def test_the_same_files_again_are_unchanged(tmp_path: Path) -> None:
    items = many(tmp_path / "many", 300)
    async with running(Settings(data=tmp_path / "data")) as url:
        await upload_all(url, items)
        results = await upload_all(url, items)
        assert all(isinstance(result, Complete) and result.unchanged for result in results)


async def test_a_cut_among_small_files_loses_and_doubles_none(tmp_path: Path) -> None:
    items = many(tmp_path / "many", 300)
    for position in (1_000, 60_000, 110_000):
        async with (
            running(Settings(data=tmp_path / f"data{position}")) as url,
            Link("127.0.0.1", _port(url)) as link,
        ):
            link.cut_after(upstream=position)
            results = await upload_all(link.url, items)
            assert link.connections == 2
            assert sorted(result.name for result in results) == [item.name for item in items]
            assert await names(url) == [item.name for item in items]


async def test_one_that_is_refused_does_not_stop_the_others(tmp_path: Path) -> None:
    items = many(tmp_path / "many", 20)
    gone = client.Item(tmp_path / "many" / "gone.bin", "many/gone.bin")
    bad = client.Item(items[3].path, "many/../0003.bin")
    async with running(Settings(data=tmp_path / "data")) as url:
        await client.upload(url, b"something else", name="many/0007.bin")
        results = await upload_all(url, [*items[:5], gone, bad, *items[5:]])
        failed = {result.name: result.error for result in results if isinstance(result, Failed)}
        assert isinstance(failed.pop("many/0007.bin"), Exists)
        assert isinstance(failed.pop("many/gone.bin"), FileNotFoundError)
        assert isinstance(failed.pop("many/../0003.bin"), InvalidName)
        assert failed == {}
        assert await names(url) == [item.name for item in items]


async def test_small_and_large_files_together(tmp_path: Path) -> None:
    items = many(tmp_path / "many", 10)
    large = tmp_path / "large.bin"
    large.write_bytes(content(5_000_000))
    async with running(Settings(data=tmp_path / "data")) as url:
        results = await upload_all(url, [client.Item(large, "large.bin"), *items])
        assert all(isinstance(result, Complete) for result in results)
        assert await stored(url, "large.bin") == large.read_bytes()
        assert len(await names(url)) == 11


async def test_connections_that_were_asked_for_are_shared_by_the_files_on_their_way(tmp_path: Path) -> None:
    items = [client.Item(tmp_path / name, name) for name in ("one", "two")]
    for item in items:
        item.path.write_bytes(content(24 << 20))
    async with (
        running(Settings(data=tmp_path / "data")) as url,
        Link("127.0.0.1", _port(url)) as link,
        client.connect(link.url, connections=2) as connection,
    ):
        assert len([result async for result in connection.upload_many(items)]) == 2
        assert link.connections == 2


async def test_a_large_file_is_sent_while_others_are_still_looked_for(tmp_path: Path) -> None:
    (large := tmp_path / "large.bin").write_bytes(content(2_000_000))
    (small := tmp_path / "small.bin").write_bytes(b"small")
    complete = asyncio.Event()

    async def found() -> AsyncIterator[client.Item]:
        yield client.Item(large, "large.bin")
        async with asyncio.timeout(PATIENCE):
            await complete.wait()
        yield client.Item(small, "small.bin")

    async with running(Settings(data=tmp_path / "data")) as url, client.connect(url) as connection:
        async for result in connection.upload_many(found()):
            assert isinstance(result, Complete)
            complete.set()


async def test_the_largest_small_file_does_not_wait_for_room_that_itself_takes(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one before has just been taken from the server's memory, so that the disk is known to keep up."""
    monkeypatch.setattr(window, "STUCK_SECONDS", float("inf"))
    for number in range(2):
        await peer.send(*small(f"{number}.bin", content(SMALL_FILE_BYTES)))
        await peer.hear("complete")


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])
