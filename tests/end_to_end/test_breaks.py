"""Whatever breaks the connection costs only the bytes that were not acknowledged."""

import asyncio
import json
import socket
from pathlib import Path

import pytest

import client
from client.progress import Ready, Waiting
from tests.end_to_end.scene import MIB, Recorder, content, names, sha256, stored
from tests.links import Link, Passage, after
from tests.server import running
from transfer.protocol.limits import WINDOW
from transfer.settings import Settings

SIZE = 3 * MIB + 12_345
HEADER_POSITIONS = (1, 150, 260, 400)
CHUNK_POSITIONS = (1_000, MIB - 1, MIB + 1_000, 2 * MIB + 500, SIZE - 1)
EOF_POSITIONS = (SIZE + 500, SIZE + 600, SIZE + 650, SIZE + 700, SIZE + 800)


@pytest.mark.parametrize("position", [*HEADER_POSITIONS, *CHUNK_POSITIONS, *EOF_POSITIONS])
async def test_a_cut_at_any_byte_on_the_way_to_the_server(tmp_path: Path, position: int) -> None:
    data, heard = content(SIZE, position), Recorder()
    async with running(Settings(data=tmp_path / "data")) as url, Link("127.0.0.1", _port(url)) as link:
        link.cut_after(upstream=position)
        file = await client.upload(link.url, data, name="cut.bin", on_event=heard)
        assert str(file.digest) == sha256(data)
        assert await stored(url, "cut.bin") == data
        assert await names(url) == ["cut.bin"]
        async with client.connect(url) as connection:
            assert await connection.uploads() == []
    if position < SIZE:
        assert heard.of(Waiting)
        assert link.connections == 2


@pytest.mark.parametrize("position", [1, 200, 600, 900, 1_100, 1_300])
async def test_a_cut_at_any_byte_on_the_way_back(tmp_path: Path, position: int) -> None:
    """Among them after `eof` and before `complete`: the client asks again, and learns that it is done."""
    data, heard = content(SIZE, position), Recorder()
    async with running(Settings(data=tmp_path / "data")) as url, Link("127.0.0.1", _port(url)) as link:
        link.cut_after(downstream=position)
        await client.upload(link.url, data, name="cut.bin", on_event=heard)
        assert await stored(url, "cut.bin") == data
        assert await names(url) == ["cut.bin"]


async def test_only_what_was_not_acknowledged_is_sent_again(tmp_path: Path) -> None:
    path, heard = tmp_path / "large.bin", Recorder()
    path.write_bytes(content(96 * MIB))
    async with running(Settings(data=tmp_path / "data")) as url, Link("127.0.0.1", _port(url)) as link:
        link.cut_after(upstream=70 * MIB)
        await client.upload(link.url, path, on_event=heard)
    first, second = heard.of(Ready)
    assert first.offset == 0
    assert second.offset > 70 * MIB - WINDOW - MIB
    assert heard.complete.sent_bytes <= 96 * MIB + WINDOW


async def test_the_offset_never_goes_back_through_many_breaks(tmp_path: Path) -> None:
    path, heard = tmp_path / "large.bin", Recorder()
    path.write_bytes(content(64 * MIB))
    async with running(Settings(data=tmp_path / "data")) as url, Link("127.0.0.1", _port(url)) as link:
        uploading = asyncio.create_task(client.upload(link.url, path, on_event=heard))
        for offset in (8 * MIB, 24 * MIB, 40 * MIB):
            await heard.until(lambda event, wanted=offset: getattr(event, "offset", 0) >= wanted)  # type: ignore[misc]
            link.cut()
        await uploading
        assert await stored(url, "large.bin") == path.read_bytes()
    assert heard.offsets == sorted(heard.offsets)


async def test_another_process_goes_on_where_the_first_was_cut(tmp_path: Path) -> None:
    """Nothing is kept on the client's disk: the same call again continues."""
    path, first, second = tmp_path / "large.bin", Recorder(), Recorder()
    path.write_bytes(content(48 * MIB))
    async with running(Settings(data=tmp_path / "data")) as url:
        uploading = asyncio.create_task(client.upload(url, path, on_event=first))
        await first.acked(16 * MIB)
        uploading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await uploading
        await client.upload(url, path, on_event=second)
        assert await stored(url, "large.bin") == path.read_bytes()
    (resumed_at,) = second.offsets
    assert resumed_at >= 16 * MIB
    assert second.complete.sent_bytes == 48 * MIB - resumed_at
    assert second.complete.resumed_at == resumed_at


async def test_a_frozen_connection_is_taken_over_by_the_same_command(tmp_path: Path) -> None:
    """Half-open: the server still believes in the old connection when the newcomer comes."""
    path, first, second = tmp_path / "large.bin", Recorder(), Recorder()
    path.write_bytes(content(48 * MIB))
    async with running(Settings(data=tmp_path / "data")) as url, Link("127.0.0.1", _port(url)) as link:
        stuck = asyncio.create_task(client.upload(link.url, path, on_event=first))
        await first.acked(8 * MIB)
        link.freeze()
        await client.upload(url, path, on_event=second)
        assert await stored(url, "large.bin") == path.read_bytes()
        link.cut()
        stuck.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stuck
    assert second.complete.resumed_at >= 8 * MIB


@pytest.mark.parametrize("reads_on", [True, False])
async def test_a_connection_that_the_server_ends_is_left_in_the_middle_of_a_chunk(
    tmp_path: Path, reads_on: bool
) -> None:
    data, heard, held = content(64 * MIB), Recorder(), list[Passage]()

    def hold(passage: Passage) -> None:
        passage.hold()
        held.append(passage)

    async with (
        running(Settings(data=tmp_path / "data", window=len(data))) as url,
        Link("127.0.0.1", _port(url)) as link,
    ):
        link.upstream.fault = after(8 * MIB, hold)
        uploading = asyncio.create_task(client.upload(link.url, data, name="ended.bin", on_event=heard))
        await heard.acked(7 * MIB)
        held[0].back.half_close()
        if reads_on:
            link.thaw()
        async with asyncio.timeout(20):
            await uploading
        assert link.connections == 2
        assert await stored(url, "ended.bin") == data


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system does not tell of stalled networks")
async def test_a_network_that_takes_nothing_any_more_is_noticed_in_the_middle_of_a_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.wire.STALL_SECONDS", 0.5)
    data, heard = content(64 * MIB), Recorder()
    async with running(Settings(data=tmp_path / "data")) as url, Link("127.0.0.1", _port(url)) as link:
        link.hold_after(upstream=8 * MIB)
        async with asyncio.timeout(60):
            await client.upload(link.url, data, name="held.bin", on_event=heard)
        assert heard.of(Waiting)
        assert await stored(url, "held.bin") == data


async def test_the_client_gives_up_and_says_how_to_go_on(tmp_path: Path) -> None:
    async with running(Settings(data=tmp_path / "data")) as url, Link("127.0.0.1", _port(url)) as link:
        link.refusing = True
        with pytest.raises(client.GaveUp, match="run the same command to go on"):
            async with client.connect(link.url, give_up_after=0.3) as connection:
                await connection.upload(b"never", name="never.bin")


async def test_metadata_of_the_header_is_kept(tmp_path: Path) -> None:
    async with running(Settings(data=tmp_path / "data")) as url, client.connect(url) as connection:
        file = await connection.upload(
            b"{}",
            name="a.json",
            content_type="application/json",
            metadata={"camera": "X100"},
            digest_algorithm="blake3",
        )
        assert (file.content_type, file.metadata) == ("application/json", {"camera": "X100"})
        assert str(file.digest).startswith("blake3:")
        assert json.loads(await stored(url, "a.json")) == {}


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])
