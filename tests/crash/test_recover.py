"""`towline recover` killed at any moment, again and again: no content is lost, and in the end the server has them."""

import hashlib
import itertools
import random
import shutil
from collections import Counter
from functools import partial
from pathlib import Path

from storage.errors import StoreRefused
from storage.local import LocalStore
from storage.progress import Silent
from storage.salvage import salvage
from storage.store import FileQuery, UploadRequest
from storage.verification import Verification
from tests.crash.plan import Plan
from tests.crash.power import LoopDisk
from tests.crash.victim import killed_after, killed_before_change, time_of
from tests.end_to_end.scene import MIB
from transfer.access.principal import ANONYMOUS
from transfer.protocol.digest import digest_bytes
from transfer.protocol.names import Name

KILLS_AT_ONCE = 6
"""At most, of one recovery."""


async def made(data: Path, chance: random.Random) -> Counter[str]:
    """A store of some large, many small and two unfinished contents, without its catalog. Returns the digests."""
    contents = [chance.randbytes(chance.randint(1, 2 * MIB)) for _ in range(6)]
    contents += [chance.randbytes(chance.randint(0, 2_000)) for _ in range(150)]
    async with LocalStore(data, min_free_bytes=0) as store:
        for number, content in enumerate([*contents, contents[0]]):
            request = UploadRequest(name=Name(f"{number}"), size=len(content), owner=ANONYMOUS.subject)
            await store.put(request, content, digest_bytes(content))
        for number in range(2):
            request = UploadRequest(name=Name(f"half-{number}"), size=MIB, owner=ANONYMOUS.subject)
            async with store.begin(request) as writer:
                await writer.write(0, [chance.randbytes(MIB // 2)])
                await writer.sync()
    return digests(data)


def digests(data: Path) -> Counter[str]:
    """Of everything that lies there."""
    objects = [*(data / "objects").glob("?/*"), *(path for path in (data / "quarantine").glob("*") if path.is_file())]
    return Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path in objects)


def lose_catalog(data: Path, chance: random.Random) -> None:
    for path in data.glob("catalog.db*"):
        path.unlink()
    if chance.random() < 0.5:
        (data / "catalog.db").write_bytes(chance.randbytes(5_000))
    if chance.random() < 0.3:
        (data / "store.json").unlink()


def recover(data: Path) -> None:
    salvage(data, ANONYMOUS.subject, Silent())


def started(data: Path) -> bool:
    """Whether a server would start on it."""
    try:
        with Verification(data):
            return True
    except StoreRefused:
        return False


async def names(data: Path) -> list[str]:
    async with LocalStore(data, min_free_bytes=0) as store:
        return [file.name.value for file in (await store.list_files(FileQuery())).files]


def expected_names(data: Path) -> list[str]:
    published = (path for path in (data / "objects").glob("?/*") if not path.stat().st_mode & 0o200)
    return sorted({f"recovered/sha256-{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in published})


async def test_a_recovery_that_is_killed_loses_nothing_and_goes_on(plan: Plan, tmp_path: Path) -> None:
    pristine = tmp_path / "pristine"
    before = await made(pristine, plan.chance("recover"))
    expected = expected_names(pristine)
    kills, case, seconds = 0, 0, 0.0
    while kills < plan.count(16, 120):
        case += 1
        chance, data = plan.chance("recover", case), tmp_path / str(case)
        shutil.copytree(pristine, data)
        lose_catalog(data, chance)
        seconds = seconds or time_of(partial(recover, data))
        for _ in range(chance.randint(1, KILLS_AT_ONCE)):
            if started(data):
                break
            kills += killed_after(chance.uniform(0, 0.8 * seconds), partial(recover, data))
            assert digests(data) == before, case
        if not started(data):
            recover(data)
        assert await names(data) == expected, case
        assert digests(data) == before, case
        with Verification(data) as verification:
            assert [content for content in verification.contents() if content.damage] == [], case
        shutil.rmtree(data)
        plan.report("recover", recoveries=1)
    plan.report("recover", killed=kills)


async def test_a_recovery_may_be_killed_before_each_change_that_it_makes(plan: Plan, tmp_path: Path) -> None:
    chance, pristine = plan.chance("recover, step by step"), tmp_path / "pristine"
    before = await made(pristine, chance)
    expected = expected_names(pristine)
    (pristine / "catalog.db").write_bytes(chance.randbytes(5_000))
    for number in itertools.count():
        data = tmp_path / str(number)
        shutil.copytree(pristine, data)
        killed = killed_before_change(number, partial(recover, data))
        if not started(data):
            assert killed
            recover(data)
        assert await names(data) == expected, number
        assert digests(data) == before, number
        assert (data / "quarantine" / "catalog-1" / "catalog.db").stat().st_size == 5_000, number
        if not killed:
            break
        shutil.rmtree(data)
        plan.report("recover", killed_before_a_change=1)


async def test_a_recovery_that_said_it_is_done_survives_a_power_cut(plan: Plan, disk: LoopDisk) -> None:
    for case in range(plan.count(3, 20)):
        chance, data = plan.chance("recover", disk.kind, case), disk.path / str(case)
        before = await made(data, chance)
        expected = expected_names(data)
        lose_catalog(data, chance)
        recover(data)
        disk.cut()
        disk.restore()
        assert await names(data) == expected, case
        assert digests(data) == before, case
        shutil.rmtree(data)
        plan.report("recover", power_cuts=1)
