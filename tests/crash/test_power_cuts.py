"""Power cuts at any moment, on ext4 and XFS: what was acknowledged is on the disk, and so is all that says so.

The server is killed first and the power is cut at once: at a real cut the processor stops too. With the server still
running, both file systems answer an fdatasync(2) that is under way with success now and then although nothing of it
was kept (64 of 80 cuts, four threads, no line of Towline): no promise can be checked against that.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.local import LocalStore
from tests.crash.conftest import PLAN
from tests.crash.forkserver import ForkedProcess, ForkedServer
from tests.crash.lives import Lives, Strike, first_starts
from tests.crash.plan import Plan
from tests.crash.power import FILE_SYSTEMS, LoopDisk, lacking
from tests.storage.conformance.asking import ask, upload

CUTS_OF_ONE_STORE = 20
DISK_BYTES = 1 << 30
"""Room for what eight uploads reserve at a time."""
SQLITE_LOG_BYTES = 1000 * 4096
"""Beyond this its log is copied into the database and begun anew."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """60 cuts of each file system in each CI run, 500 in a full one."""
    if "store" in metafunc.fixturenames:
        metafunc.parametrize("store", range(metafunc.config.stash[PLAN].count(in_ci=3, full=25)))


@pytest.fixture(params=FILE_SYSTEMS)
def disk(request: pytest.FixtureRequest, plan: Plan, tmp_path: Path) -> Iterator[LoopDisk]:
    if lack := lacking(request.param):
        plan.missing(lack)
    with LoopDisk(tmp_path, request.param, DISK_BYTES) as disk:
        yield disk


@pytest.fixture
def cut(disk: LoopDisk) -> Strike:
    async def cut(server: ForkedServer) -> None:
        await server.kill()
        disk.cut()
        await asyncio.to_thread(disk.restore)

    return cut


async def test_nothing_that_was_acknowledged_is_lost_when_the_power_is_cut(
    plan: Plan, disk: LoopDisk, cut: Strike, tmp_path: Path, store: int
) -> None:
    row = f"power cut, {disk.kind}"
    lives = Lives(plan, row, plan.chance(row, store), disk.path / "data", tmp_path, cut)
    await lives.live(CUTS_OF_ONE_STORE)


async def test_a_first_start_whose_power_is_cut_is_done_again(
    plan: Plan, disk: LoopDisk, cut: Strike, tmp_path: Path
) -> None:
    await first_starts(plan, f"power cut, {disk.kind}", disk.path, tmp_path, cut)


async def test_a_deleted_file_does_not_come_back_as_something_unknown(disk: LoopDisk, tmp_path: Path) -> None:
    data = disk.path / "data"
    process = ForkedProcess(publish_and_delete, data, log=tmp_path / "log")
    await process.says("deleted")
    process.kill()
    await process.ended()
    disk.cut()
    disk.restore()
    async with LocalStore(data, min_free_bytes=0):
        assert list((data / "quarantine").iterdir()) == []
        assert [path for path in (data / "objects").rglob("*") if path.is_file()] == []


def publish_and_delete(data: Path) -> None:
    """Again and again, until the catalog has begun to overwrite its log: as long as that grows, its sync keeps
    whatever else was done to the file system before."""

    async def work() -> None:
        async with LocalStore(data, min_free_bytes=0) as store:
            begun_anew = 0
            while begun_anew < 2:
                begun_anew += (data / "catalog.db-wal").stat().st_size >= SQLITE_LOG_BYTES
                await upload(store, ask("a", 1), b"a")
                await store.delete(ask("a").name)
                await store._finish_background()  # its content too
            print("deleted", flush=True)
            await asyncio.Event().wait()

    asyncio.run(work())
