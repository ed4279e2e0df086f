"""What is promised was durable before: the order of a server's calls, as they really were made.

ext4 and XFS make a new entry durable along with its file, so no cut of the power shows a folder that was not synced:
only this does.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.crash.faults import Faults, Kind, Traced, lacking
from tests.crash.life import SIZE, Life, line, sha256
from tests.crash.nursery import FaultyServer, Nursery
from tests.crash.plan import Plan
from tests.crash.rules import OBJECTS, Trace, broken_rules, hasty_completes

SMALL_FILES = 12


@pytest.fixture
async def traced(plan: Plan, tmp_path: Path) -> AsyncIterator[tuple[Faults, FaultyServer]]:
    """A server at its first start, and its trace."""
    if lack := lacking():
        plan.missing(lack)
    root = tmp_path / "root"
    root.mkdir()
    with Faults(tmp_path / "faults", root) as faults:
        async with Nursery(faults.environment) as nursery:
            yield faults, await nursery.start(root / "data")


def synced_after(calls: list[Traced], path: str, earlier: Traced) -> bool:
    return any(
        call.path == path and call.kind is Kind.FSYNC and not call.errno and call.began > earlier.ended
        for call in calls
    )


async def test_the_first_start_makes_every_folder_durable(traced: tuple[Faults, FaultyServer]) -> None:
    faults, _ = traced
    calls = faults.calls()
    made = [call for call in calls if call.kind is Kind.MKDIR and not call.errno]
    assert {"/data", "/data/objects", "/data/objects/0", "/data/quarantine"} <= {call.path for call in made}
    for folder in made:
        assert synced_after(calls, folder.path.rpartition("/")[0] or "/", folder), folder
    (named,) = [call for call in calls if call.kind is Kind.RENAME]
    assert synced_after(calls, "/data", named)
    content = [call for call in calls if call.path == "/data/store.json.new" and call.began < named.began]
    assert [call.kind for call in content] == [Kind.OPEN, Kind.WRITE, Kind.FSYNC]


async def test_an_upload_is_durable_before_each_answer(plan: Plan, traced: tuple[Faults, FaultyServer]) -> None:
    faults, server = traced
    faults.calls()
    await Life(server.url, "whole", plan.chance("order").randbytes(SIZE)).run()
    await server.stop()
    calls = faults.calls()
    assert not broken_rules(calls)
    kinds = [answer.kind for answer in Trace(calls).answers]
    assert kinds.count("ready") == 2
    assert kinds.count("ack") >= 2
    assert kinds.count("complete") == 3
    plan.report("order of writing", calls=len(calls), answers=len(kinds))


async def test_small_files_are_durable_before_they_are_complete(
    plan: Plan, traced: tuple[Faults, FaultyServer]
) -> None:
    faults, server = traced
    faults.calls()
    content = plan.chance("small").randbytes(20_000)
    async with line(server.url) as to:
        for number in range(SMALL_FILES):
            await to.send(type="upload", name=f"small-{number}", size=len(content), offset=0)
            await to.send_frame(content)
            await to.send(type="eof", digest=sha256(content))
        for _ in range(SMALL_FILES):
            assert (await to.receive())["type"] == "complete"
    await server.stop()
    calls = faults.calls()
    assert len(Trace(calls).created()) == SMALL_FILES
    assert not hasty_completes(calls)
    assert not any(call.kind is Kind.FDATASYNC and OBJECTS in call.path for call in calls), "one sync is for all"


async def test_nothing_is_unlinked_before_its_commit_and_every_removal_is_synced(
    plan: Plan, traced: tuple[Faults, FaultyServer]
) -> None:
    faults, server = traced
    life = Life(server.url, "unlinked", plan.chance("unlinked").randbytes(SIZE))
    await life.begin()
    await life.finish()
    asked = [faults.now]
    await life.replace()
    asked.append(faults.now)
    await life.delete()
    await server.stop()
    trace = Trace(faults.calls())
    unlinked = [call for call in trace.good if call.kind is Kind.UNLINK and OBJECTS in call.path]
    assert len(unlinked) == 2
    for moment, call in zip(asked, unlinked, strict=True):
        assert trace.committed(moment, call.began), f"{call} came before the commit"
        assert synced_after(trace.good, call.path.rpartition("/")[0], call), f"{call} may be undone"
