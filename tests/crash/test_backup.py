"""`towline backup` killed at any moment, and of a server that is killed under load: whole and right, or not there."""

import asyncio
import os
import random
import shutil
from functools import partial
from pathlib import Path

from storage.backup import UNFINISHED, back_up
from storage.local import LocalStore
from storage.progress import Silent
from storage.store import FileQuery, UploadRequest
from storage.verification import Verification
from tests.crash.load import Known, Load
from tests.crash.plan import Plan
from tests.crash.power import LoopDisk
from tests.crash.victim import killed_after, time_of
from tests.end_to_end.scene import MIB
from tests.server import ServerProcess
from transfer.access.principal import ANONYMOUS
from transfer.protocol.digest import digest_bytes
from transfer.protocol.names import Name

KILLS_AT_ONCE = 4
"""At most, of one backup."""


async def made(data: Path, chance: random.Random) -> Known:
    """A store of large, small and unfinished contents. Returns its files."""
    contents = [chance.randbytes(chance.randint(1, 3 * MIB)) for _ in range(6)]
    contents += [chance.randbytes(chance.randint(0, 2_000)) for _ in range(60)]
    async with LocalStore(data, min_free_bytes=0) as store:
        for number, content in enumerate(contents):
            request = UploadRequest(name=Name(f"{number}"), size=len(content), owner=ANONYMOUS.subject)
            await store.put(request, content, digest_bytes(content))
        for number in range(3):
            request = UploadRequest(name=Name(f"half-{number}"), size=4 * MIB, owner=ANONYMOUS.subject)
            async with store.begin(request) as writer:
                await writer.write(0, [chance.randbytes(2 * MIB + 1_000)])
                await writer.sync()
    return {str(number): digest_bytes(content) for number, content in enumerate(contents)}


def run(data: Path, target: Path, *, copying: bool = False) -> None:
    """Make a backup; when `copying` as if it went to another file system."""
    if copying:
        os.link = _no_link  # only in a fork
    back_up(data, target, Silent())


def _no_link(*_: object, **__: object) -> None:
    raise OSError("another file system")


def damaged(data: Path) -> list[str]:
    with Verification(data) as verification:
        verification.check_catalog()
        return [str(content.name) for content in verification.contents() if content.damage is not None]


async def listed(data: Path) -> Known:
    """What a server that is started on it would list."""
    async with LocalStore(data, min_free_bytes=0) as store:
        return {file.name.value: file.digest for file in (await store.list_files(FileQuery())).files}


async def test_a_backup_that_is_killed_is_not_there_and_goes_on(plan: Plan, tmp_path: Path) -> None:
    data = tmp_path / "data"
    known = await made(data, plan.chance("backup"))
    seconds = {way: time_of(partial(run, data, tmp_path / f"{way}", copying=way)) for way in (True, False)}
    kills = case = 0
    while kills < plan.count(16, 120):
        case += 1
        chance, target = plan.chance("backup", case), tmp_path / f"backup-{case}"
        for _ in range(chance.randint(1, KILLS_AT_ONCE)):
            way = chance.random() < 0.5
            moment = chance.uniform(0, 0.9 * seconds[way])
            killed = killed_after(moment, partial(run, data, target, copying=way))
            kills += killed
            assert killed or target.exists(), case
            if target.exists():
                break
        if not target.exists():
            run(data, target)
        assert damaged(target) == [], case
        assert await listed(target) == known, case
        assert not target.with_name(target.name + UNFINISHED).exists(), case
        shutil.rmtree(target)
        plan.report("backup", backups=1)
    assert damaged(data) == []
    assert await listed(data) == known
    plan.report("backup", killed=kills)


async def test_a_backup_that_said_it_is_done_survives_a_power_cut(plan: Plan, disk: LoopDisk) -> None:
    for case in range(plan.count(3, 20)):
        chance, data, target = plan.chance("backup", disk.kind, case), disk.path / "data", disk.path / "backup"
        known = await made(data, chance)
        copying = chance.random() < 0.5
        assert not killed_after(120, partial(run, data, target, copying=copying))
        disk.cut()
        disk.restore()
        assert damaged(target) == [], case
        assert await listed(target) == known, case
        for folder in (data, target):
            shutil.rmtree(folder)
        plan.report("backup", power_cuts=1)


async def test_a_backup_of_a_server_that_is_killed_under_load_is_whole(plan: Plan, tmp_path: Path) -> None:
    chance = plan.chance("backup under load")
    async with ServerProcess(tmp_path / "data") as server:
        load = Load(server.url, tmp_path, chance)
        async with load.running():
            for case in range(plan.count(10, 100)):
                await load.until_kept(len(load.kept) + chance.randint(1, 6))
                known, target = dict(load.kept), tmp_path / "backup"
                making = asyncio.create_task(asyncio.to_thread(run, tmp_path / "data", target))
                await asyncio.wait([making], timeout=chance.uniform(0, 0.3))  # the moment of the kill
                await server.kill()
                await making
                await server.restart()
                assert damaged(target) == [], case
                found = await listed(target)
                assert {name: found.get(name) for name in known} == known, case
                assert {str(digest) for digest in found.values()} <= load.contents, case
                shutil.rmtree(target)
                plan.report("backup", servers_killed=1, files_in_them=len(found))
