"""While a disk call of the holder hangs, nobody is let in; after `ready` nothing of the old holder is written.

The holder goes, or is taken over, in the midst of a call that has not returned: of a write, a sync, a commit, the
hashing after a resume, or the sealing of a finished file.
"""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.crash.plan import Plan
from tests.crash.watch import Watch
from tests.end_to_end.conftest import PATIENCE, Json, Log, Peer, Service, chunks, digest, eof, header
from tests.server import serving_apart
from transfer.app import create_app
from transfer.settings import Settings

SIZE: Final = (5 << 19) + 77
"""Two leaves and a half."""
DURABLE: Final = 1 << 21
OLD, NEW = random.Random("old").randbytes(SIZE), random.Random("new").randbytes(SIZE)
MOMENTS: Final = ("write", "written", "sync", "synced", "commit", "hash", "seal", "sealed")
WAYS: Final = ("abort", "close", "stay")


@dataclass(frozen=True, slots=True)
class Case:
    """One holder, one newcomer, and a call that hangs between them."""

    name: str
    moment: str
    way: str
    by: str
    """What the newcomer knows: the name, the upload's id, or its lease as well."""
    seconds: float
    """How much later the disk answers."""


def chosen(number: int, chance: random.Random) -> Case:
    moment = MOMENTS[number % len(MOMENTS)]
    by = chance.choice(("name", "id", "lease"))
    return Case(f"{number}.bin", moment, chance.choice(WAYS), by, chance.random() * 0.02)


@asynccontextmanager
async def watched_service(data: Path, take_over_seconds: float) -> AsyncIterator[tuple[Service, Watch]]:
    settings = Settings(data=data, min_free_bytes=0, take_over_seconds=take_over_seconds)
    app, log = create_app(settings), Log()
    with Watch(data) as watch:
        async with serving_apart(app, settings) as (url, server):
            service = Service(url, data, log, app.state.store, server)
            yield service, watch
        assert service.strays() == []


@contextmanager
def locked(catalog: Path) -> Iterator[None]:
    """Somebody else has the catalog: no commit succeeds, but all may read."""
    with closing(sqlite3.connect(catalog, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


async def begin(case: Case, old: Peer) -> Json:
    """The holder's upload, with a beginning that is durable."""
    ready = await old.leave_unfinished(case.name, SIZE, OLD[:DURABLE])
    return await old.begin(case.name, SIZE, upload_id=ready["upload_id"], lease=ready["lease"])


@asynccontextmanager
async def hanging(case: Case, service: Service, watch: Watch, old: Peer) -> AsyncIterator[Json]:
    """The holder's `ready`, while a call of its upload hangs; the call returns when this is left."""
    if case.moment == "hash":
        first = await old.leave_unfinished(case.name, SIZE, OLD[:DURABLE])
        with watch.holding("pread", 0) as held:
            ready = await old.begin(case.name, SIZE, upload_id=first["upload_id"], lease=first["lease"])
            await held.reached.wait()
            yield ready
        return
    ready = await begin(case, old)
    name = {"write": "pwritev", "sync": "fdatasync", "commit": "fdatasync", "seal": "fchmod", "sealed": "fsync"}
    called = name.get(case.moment) or {"written": "pwritev", "synced": "fdatasync"}[case.moment]
    with watch.holding(called, when_done=case.moment in ("written", "synced", "sealed", "commit")) as held:
        frames = [*chunks(OLD[DURABLE:])]
        await old.send(*frames, *([] if case.moment in ("write", "written") else [eof(OLD)]))
        await held.reached.wait()
        if case.moment != "commit":
            yield ready
            return
        with locked(service.data / "catalog.db"):
            held.release()
            yield ready


async def go(old: Peer, way: str) -> None:
    if way == "abort":
        old.connection.transport.abort()
    elif way == "close":
        await old.connection.close()


async def answered(case: Case, newcomer: Peer, ready: Json) -> Json:
    known = {"name": {}, "id": {"upload_id": ready["upload_id"]}}
    fields = known.get(case.by, {"upload_id": ready["upload_id"], "lease": ready["lease"]})
    await newcomer.send(header(case.name, SIZE, **fields))
    return await newcomer.receive()


async def run_case(case: Case, service: Service, watch: Watch, *, busy: bool) -> None:
    async with service.connected() as old, service.connected() as newcomer:
        async with hanging(case, service, watch, old) as ready:
            await go(old, case.way)
            asking = asyncio.create_task(answered(case, newcomer, ready))
            if busy and case.moment != "commit":
                assert (await asking)["code"] == "busy"
            else:
                await asyncio.wait([asking], timeout=case.seconds)
                assert not asking.done(), f"while a call hung, it heard {asking.result()}"
        answer = await asking
        while answer.get("code") == "busy":
            answer = await answered(case, newcomer, ready)
        let_in = watch.now()
        await complete(case, service, newcomer, answer, ready)
        assert watch.written_since(let_in, OLD) == []
        if case.way == "stay":
            await assert_told(old, answer)


async def complete(case: Case, service: Service, newcomer: Peer, answer: Json, first: Json) -> None:
    """Whoever is let in completes it with bytes of their own; where the old holder had completed it, it is."""
    whole = OLD
    if answer["type"] == "ready" and answer["upload_id"] == first["upload_id"]:
        assert answer["offset"] >= DURABLE
        assert "missing" not in answer
        whole = OLD[: answer["offset"]] + NEW[answer["offset"] :]
        assert (await newcomer.complete(whole, answer))["file"]["digest"] == digest(whole)
    elif answer["type"] == "ready":  # a new upload: the name was published between looking and asking
        await newcomer.send({"type": "cancel"})
        await newcomer.hear("cancelled")
    else:
        assert answer["type"] == "complete", answer
    assert await service.stored(case.name) == whole


async def assert_told(old: Peer, answer: Json) -> None:
    """Who stayed hears that it was superseded, or that it was first."""
    last = await old.receive()
    while last["type"] in ("ack", "verifying"):
        last = await old.receive()
    if last["type"] == "error":
        assert last["code"] == "superseded"
        assert await old.closed() == 4409
    else:
        assert last["type"] == "complete"


@pytest.mark.parametrize("busy", [False, True])
async def test_nothing_is_written_after_the_lease_moved_on(plan: Plan, tmp_path: Path, busy: bool) -> None:
    """One who can wait is let in when the call has returned; one who cannot hears `busy`, and comes again."""
    async with watched_service(tmp_path / "data", 0.05 if busy else PATIENCE) as (service, watch):
        for number in range(plan.count(100, 500)):
            case = chosen(number, plan.chance("delayed writes", busy, number))
            watch.calls.clear()
            try:
                async with asyncio.timeout(PATIENCE):
                    await run_case(case, service, watch, busy=busy)
            except BaseException as failure:
                failure.add_note(f"{case}")
                raise
            plan.report("delayed writes", **{case.moment: 1})
