"""What several connections of one lease share is kept between two of them; and nothing is kept from anybody else."""

import asyncio
from pathlib import Path

import pytest

from storage.errors import Fenced, StillWriting
from storage.leaf_runs import MAX_RUNS, LeafRuns
from storage.local import LocalStore
from tests.end_to_end.waiting import stuck_disk
from tests.storage.conformance.asking import ANN, LEAF, ask, begin_and_leave, hold, is_there, leave, made
from transfer.protocol.digest import digest_bytes
from transfer.protocol.leaves import leaf_checksum
from transfer.protocol.ranges import Range


async def test_between_two_of_a_lease_nothing_is_hashed_again(tmp_path: Path) -> None:
    """One who resumes hashes what is there from its beginning."""
    data = made(LEAF)
    async with LocalStore(tmp_path / "data", min_free_bytes=0) as store:
        left = await begin_and_leave(store, ask(size=len(data) + 4), data)
        async with store.resume(left.upload_id, ANN, lease=left.lease) as again:
            assert again.hashed_offset == 0
        async with store.join(left.upload_id, ANN, left.lease, Range(len(data), len(data) + 4)) as one:
            await one.write(len(data), [b"last"])
            await one.sync()
            while one.hashed_offset < len(data) + 4:
                await one.sync()
        async with store.join(left.upload_id, ANN, left.lease) as last:
            assert last.hashed_offset == len(data) + 4
            await last.finish(digest_bytes(data + b"last"))


async def test_what_waits_for_the_next_of_a_lease_is_closed_for_anybody_else_at_once(tmp_path: Path) -> None:
    """A newcomer, somebody who drops it, and the store that is closed: none of them has to wait."""
    async with LocalStore(tmp_path / "data", min_free_bytes=0, take_over_seconds=0.9) as store:
        left = await begin_and_leave(store, ask(size=4), b"ab")
        async with store.join(left.upload_id, ANN, left.lease):
            pass
        async with store.resume(left.upload_id, ANN) as newcomer:
            assert newcomer.lease != left.lease
        async with store.join(left.upload_id, ANN, newcomer.lease):
            pass
        await store.cancel(left.upload_id, ANN)
        other = await begin_and_leave(store, ask("b", size=4), b"ab")
        async with store.join(other.upload_id, ANN, other.lease):
            pass


async def test_who_gets_no_place_leaves_none_that_anybody_would_wait_for(tmp_path: Path) -> None:
    """The write of the one before did not return in time; when it has, the upload is as free as any."""
    async with LocalStore(tmp_path / "data", min_free_bytes=0, take_over_seconds=0.9) as store:
        first, holding = await hold(store.begin(ask(size=4)))
        older, replaced = await hold(store.join(first.upload_id, ANN, first.lease, Range(0, 4)))
        async with stuck_disk(store):
            writing = asyncio.create_task(older.write(0, [b"ab"]))
            await asyncio.sleep(0)
            with pytest.raises(StillWriting):
                await hold(store.join(first.upload_id, ANN, first.lease, Range(0, 2)))
        await writing
        with pytest.raises(Fenced):
            await replaced
        await leave(holding)
        async with store.resume(first.upload_id, ANN) as newcomer:
            await newcomer.write(0, [b"abcd"])
            await newcomer.finish(digest_bytes(b"abcd"))
        assert await is_there(store, "a.bin", b"abcd")


def test_bytes_of_several_runs_have_their_leaves_without_being_read_again() -> None:
    data = made(2 * LEAF)
    runs, found = LeafRuns(LEAF), dict[int, bytes]()
    for at in range(0, LEAF, LEAF // 4):
        for start in (at, LEAF + at):
            run = runs.take(start)
            assert run.position == start
            found |= dict(run.update(data[start : start + LEAF // 4]))
            runs.give_back(run)
    assert found == {0: leaf_checksum(data[:LEAF]), 1: leaf_checksum(data[LEAF:])}


def test_a_run_in_the_midst_of_a_leaf_begins_with_the_next() -> None:
    assert LeafRuns(LEAF).take(LEAF + 1).position == 2 * LEAF


def test_of_too_many_runs_the_oldest_is_forgotten() -> None:
    runs = LeafRuns(LEAF)
    for index in range(MAX_RUNS + 1):
        run = runs.take(index * LEAF)
        list(run.update(b"x"))
        runs.give_back(run)
    assert runs.take(1).position == LEAF
    assert runs.take(LEAF + 1).position == LEAF + 1


def test_bytes_that_are_not_there_any_more_are_in_no_run() -> None:
    runs = LeafRuns(LEAF)
    run = runs.take(0)
    list(run.update(b"x"))
    runs.give_back(run)
    runs.forget(0, LEAF)
    assert runs.take(1).position == LEAF
