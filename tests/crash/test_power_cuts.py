"""Power cuts at any moment, on ext4 and XFS: what was acknowledged is on the disk, and so is all that says so.

The server is killed first and the power is cut at once: at a real cut the processor stops too. With the server still
running, both file systems answer an fdatasync(2) that is under way with success now and then although nothing of it
was kept (64 of 80 cuts, four threads, no line of Towline): no promise can be checked against that.
"""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.forkserver import ForkedServer
from tests.crash.lives import Lives
from tests.crash.plan import Plan
from tests.crash.power import FILE_SYSTEMS, LoopDisk, lacking

LIVES_OF_ONE_STORE = 20
DISK_BYTES = 1 << 30
"""Room for what eight uploads reserve at a time."""


@pytest.fixture(params=FILE_SYSTEMS)
def disk(request: pytest.FixtureRequest, plan: Plan, tmp_path: Path) -> Iterator[LoopDisk]:
    if lack := lacking(request.param):
        plan.missing(lack)
    with LoopDisk(tmp_path, request.param, DISK_BYTES) as disk:
        yield disk


async def test_nothing_that_was_acknowledged_is_lost_when_the_power_is_cut(
    plan: Plan, disk: LoopDisk, tmp_path: Path
) -> None:
    async def cut(server: ForkedServer) -> None:
        await server.kill()
        disk.cut()
        await asyncio.to_thread(disk.restore)

    row = f"power cut, {disk.kind}"
    cuts = left = plan.count(in_ci=60, full=500)
    with_acked_bytes = 0
    for store in range(-(-cuts // LIVES_OF_ONE_STORE)):
        scratch, data = tmp_path / str(store), disk.path / str(store)
        scratch.mkdir()
        lives = Lives(plan, row, plan.chance(row, store), data, scratch, cut)
        with_acked_bytes += await lives.live(min(left, LIVES_OF_ONE_STORE))
        shutil.rmtree(data)
        left -= LIVES_OF_ONE_STORE
    assert with_acked_bytes > cuts // 4, "too few cuts came between an ack and the end of an upload"
