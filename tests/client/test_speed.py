"""How much is moved by when: on a clock that only sleeping moves, and by commands whose third piece never comes."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

import client
from client.progress import Ack, Complete
from client.speed import SpeedLimit, slowed
from client.terminal.options import rate_of
from tests.client.command import CONTENT, Towline
from tests.server import running
from transfer.protocol.limits import MIB
from transfer.settings import Settings


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[str]:
    async with running(Settings(data=tmp_path / "data", port=0)) as url:
        yield url


class Clock:
    """Time passes while somebody sleeps, and at no other time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)


@given(st.sampled_from([1.0, 4_096.0, 65_536.0, 8.0 * MIB]), st.lists(st.integers(1, 65_536), min_size=1, max_size=40))
def test_what_is_moved_is_never_ahead_of_the_rate_by_more_than_two_pieces(rate: float, sizes: list[int]) -> None:
    async def check() -> None:
        clock, moved = Clock(), 0
        limit = SpeedLimit(rate, clock.time, clock.sleep)
        for size in sizes:
            for piece in limit.pieces(bytes(size)):
                moved += len(piece)
                assert len(piece) <= limit.piece_of(MIB)
                assert moved <= rate * clock.now * (1 + 1e-9) + 2 * limit.piece_of(MIB)
                await limit.moved(len(piece))
        assert moved == sum(sizes)
        assert moved >= rate * clock.now * (1 - 1e-9)

    _run(check())


def _run(work: object) -> None:
    """Without a loop: nothing here waits for anything real."""
    try:
        work.send(None)  # type: ignore[attr-defined]
    except StopIteration:
        return
    raise AssertionError("it waits")


async def test_the_pieces_are_of_a_quarter_of_a_second() -> None:
    clock = Clock()
    limit = SpeedLimit(40_000, clock.time, clock.sleep)

    async def chunks() -> AsyncIterator[bytes]:
        yield CONTENT[:40_000]
        yield CONTENT[40_000:80_000]

    pieces = [piece async for piece in slowed(chunks(), limit)]
    assert b"".join(pieces) == CONTENT[:80_000]
    assert {len(piece) for piece in pieces} == {10_000}
    assert clock.slept == pytest.approx([0.25] * 7)


async def test_without_a_limit_pieces_are_what_comes() -> None:
    clock = Clock()
    limit = SpeedLimit(None, clock.time, clock.sleep)
    assert list(limit.pieces(CONTENT)) == [CONTENT]
    assert list(limit.pieces(b"")) == []
    await limit.moved(1 << 40)
    assert clock.slept == []


@pytest.mark.parametrize(
    ("text", "rate"),
    [("1", 1), ("500k", 500 * 1024), ("2M", 2 * MIB), ("1.5m", 1.5 * MIB), ("1G", 1024 * MIB), ("0.5K", 512)],
)
def test_rates_are_written_as_for_curl(text: str, rate: float) -> None:
    assert rate_of(text) == rate


@pytest.mark.parametrize("text", ["", "0", "M", "-1", "2MB", "2 M", "1e6", "1.M", "٣", "0.0001K", "inf"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"such as 500K, 2M or 1\.5G"):
        rate_of(text)


# ----------------------------------------------------------------------------------------------------- the real thing


async def test_what_a_connection_moves_goes_by_one_limit(server: str) -> None:
    """The first file takes what was saved up, so that of the second one only one piece is moved, and owed for."""
    acked = asyncio.Event()
    async with client.connect(server, limit_rate=1) as connection:
        await connection.upload(CONTENT[:1_024], name="first")
        second = asyncio.create_task(
            connection.upload(
                CONTENT[:3_000], name="second", on_event=lambda event: acked.set() if isinstance(event, Ack) else None
            )
        )
        await acked.wait()
        second.cancel()
        await asyncio.wait([second])
        assert [upload.offset for upload in await connection.uploads()] == [1_024]


async def test_all_that_is_moved_takes_its_time(server: str, tmp_path: Path) -> None:
    """Small files, a large one, and both on their way back."""
    sizes, clock = {"small": 700_000, "large": 3_000_001}, Clock()
    limit, moved = SpeedLimit(65_536, clock.time, clock.sleep), 0
    async with client.connect(server) as connection:
        connection._speed_limit = limit
        for name, size in sizes.items():
            (tmp_path / name).write_bytes(CONTENT[:size])
            results = [result async for result in connection.upload_many([client.Item(tmp_path / name, name)])]
            assert [type(result) for result in results] == [Complete]
            moved += size
            assert clock.now == pytest.approx((moved - 16_384) / 65_536)
        for name, size in sizes.items():
            copy = await connection.download(name, tmp_path / f"copy of {name}")
            assert copy.read_bytes() == CONTENT[:size]
            moved += size
            assert clock.now == pytest.approx((moved - 16_384) / 65_536)


@pytest.mark.parametrize("path", ["large.bin", "-"])
async def test_a_slow_upload_moves_on_and_ends_at_once_on_ctrl_c(towline: Towline, path: str) -> None:
    towline.write("large.bin")
    arguments = ("upload", path, "--name", "a", "--limit-rate", "1", "--json")
    async with towline.begun(*arguments) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdin.write(CONTENT[:10_000])
        while (line := json.loads(await process.stdout.readline()))["event"] != "ack":
            assert line["event"] in ("connected", "ready")
        assert line["offset"] == 2 * 1_024  # what is saved up at first, and what is owed for
        process.send_signal(signal.SIGINT)
        ended = await towline.end(process, code=130)
    assert ended.the("error")["code"] == "interrupted"
    (unfinished,) = (await towline("uploads", "--json")).objects
    assert unfinished["offset"] == 2 * 1_024


async def test_a_slow_download_ends_at_once_on_ctrl_c(towline: Towline) -> None:
    towline.write("large.bin")
    await towline("upload", "large.bin")
    async with towline.begun("download", "large.bin", "-o", "copy", "--limit-rate", "1", "--json") as process:
        assert process.stdout is not None
        assert json.loads(await process.stdout.readline())["event"] == "receiving"
        process.send_signal(signal.SIGINT)
        await towline.end(process, code=130)
    assert not (towline.folder / "copy").exists()


async def test_a_wrong_rate_is_wrong_usage(towline: Towline) -> None:
    towline.write("a")
    assert "such as 500K, 2M or 1.5G" in (await towline("upload", "a", "--limit-rate", "fast", code=2)).err


@pytest.mark.parametrize("count", ["0", "17", "many"])
async def test_a_wrong_number_of_connections_is_wrong_usage(towline: Towline, count: str) -> None:
    towline.write("a")
    assert "from 1 to 16" in (await towline("upload", "a", "--connections", count, code=2)).err


async def test_a_command_says_how_many_connections_a_file_takes(towline: Towline) -> None:
    (towline.folder / "large.bin").write_bytes(bytes(4 << 20))
    done = await towline("upload", "large.bin", "--connections", "2", "--json")
    events = [json.loads(line) for line in done.out.splitlines()]
    (event,) = [event for event in events if event["event"] == "connections"]
    assert (event["count"], event["name"]) == (2, "large.bin")
