"""The sums that triggers keep are those of the rows, whatever happens to these; what is refused leaves nothing."""

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

from storage.backup import back_up
from storage.connecting import connected, open_beside
from storage.errors import QuotaExceeded
from storage.local import LocalStore
from storage.progress import Silent
from storage.salvage import salvage
from storage.schema import files, uploads, usage
from tests.storage.conformance.asking import ANN, BOB, ManualClock, ask, begin_and_leave, give, put, upload
from transfer.protocol.names import Name
from transfer.protocol.ranges import Range

LINK = "11a2"


def kept(data: Path) -> dict[tuple[str, str], int]:
    with connected(open_beside(data / "catalog.db")) as connection:
        rows = connection.execute(sa.select(usage).where(usage.c.bytes != 0)).all()
    return {(row.kind, row.name): row.bytes for row in rows}


def summed(data: Path) -> dict[tuple[str, str], int]:
    sums: dict[tuple[str, str], int] = {}
    with connected(open_beside(data / "catalog.db")) as connection:
        stored = connection.execute(sa.select(files.c.owner, files.c.via, files.c.size)).all()
        reserved = connection.execute(sa.select(uploads.c.subject, uploads.c.via, uploads.c.reserved)).all()
    for subject, via, size in [*stored, *reserved]:
        for key in [("subject", subject), ("via", via)]:
            if key[1] is not None and size:
                sums[key] = sums.get(key, 0) + size
    return sums


async def live(store: LocalStore, data: Path, clock: ManualClock) -> None:
    """Do everything that changes rows."""
    visitor = ask("visited.bin", 20, owner="request:1:2", subject=ANN, via=LINK)
    await give(store, visitor, bytes(20), "small")
    await put(store, "a.bin", bytes(7))
    await put(store, "a.bin", bytes(5), if_exists="replace")
    await put(store, "b.bin", bytes(3))
    await store.rename(Name.parse("b.bin"), Name.parse("c.bin"))
    await store.delete(Name.parse("c.bin"))
    await upload(store, ask("d.bin", None, owner=BOB), bytes(11))
    stream = await begin_and_leave(store, ask("e.bin", None, via=LINK), bytes(13))
    async with store.resume(stream.upload_id, ANN) as writer:
        await writer.write(13, [bytes(17)])
        await writer.sync()
        await writer.forget(Range(0, 20))
    assert kept(data) == summed(data)
    async with store.resume(stream.upload_id, ANN, ask("e.bin", 40, subject=BOB)):
        assert kept(data) == summed(data)
    await begin_and_leave(store, ask("silent.bin", 1_000))
    clock.advance(3_000)
    async with store.begin(ask("f.bin", 19)) as writer:
        await writer.cancel()
    assert await store.expire() > 0


async def test_the_sums_are_those_of_the_rows(tmp_path: Path) -> None:
    data, clock = tmp_path / "data", ManualClock()
    async with LocalStore(data, min_free_bytes=0, clock=clock, pending_expiry=1_000) as store:
        await live(store, data, clock)
        await begin_and_leave(store, ask("left.bin", None), bytes(23))
        await begin_and_leave(store, ask("lost.bin", 29), bytes(29))
    (lost,) = [path for path in (data / "objects").rglob("*") if path.is_file() and path.stat().st_size == 29]
    lost.unlink()
    async with LocalStore(data, min_free_bytes=0, clock=clock) as store:
        assert await store.usage(ANN) == 20 + 5 + 23
        assert kept(data) == summed(data)
        back_up(data, tmp_path / "backup", Silent())
    assert kept(tmp_path / "backup") == summed(tmp_path / "backup")
    (data / "catalog.db").unlink()
    salvage(data, ANN, Silent())
    assert kept(data) == summed(data) == {("subject", ANN): 20 + 5 + 11}


@pytest.mark.parametrize("size", [6, 100_000])
async def test_what_a_quota_refuses_leaves_no_object(tmp_path: Path, size: int) -> None:
    async with LocalStore(tmp_path, min_free_bytes=0) as store:
        request = ask("a.bin", size, quota=5)
        with pytest.raises(QuotaExceeded):
            await give(store, request, bytes(size), "small")
        with pytest.raises(QuotaExceeded):
            await give(store, request, bytes(size), "sized")
    assert [path for path in (tmp_path / "objects").rglob("*") if path.is_file()] == []


async def test_two_stores_of_files_at_once_are_counted_one_after_the_other(tmp_path: Path) -> None:
    """Small files and uploads are written by different ways to the same catalog."""
    async with LocalStore(tmp_path, min_free_bytes=0) as store:
        outcomes = await asyncio.gather(
            *(give(store, ask(f"{how}.bin", 6, quota=10), bytes(6), how) for how in ("small", "sized", "stream")),
            return_exceptions=True,
        )
        assert sorted(isinstance(outcome, QuotaExceeded) for outcome in outcomes) == [False, True, True]
        assert await store.usage(ANN) == 6
