"""Whatever call fails, once or for good: a coded error in time, nothing promised falsely, and the upload goes on.

One server lives through all cases of a run; that it answers the next one shows that it is alive.
"""

import asyncio
import errno
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.crash.faults import ERRORS, Call, Faults, Kind, Traced, lacking
from tests.crash.life import CODES, SIZE, Life, Refused
from tests.crash.nursery import NotStarted, Nursery
from tests.crash.plan import Plan
from tests.crash.rules import broken_rules
from tests.server import http_client

PLACES: Final = ("/objects/", "/catalog.db-wal", "/catalog.db-shm", "/catalog.db$", "/data/objects$", "/data$")
"""What a call's path tells of it."""
ANY: Final = Call()
CI_PLACES_OF_WRITES: Final = 12
CI_STARTS: Final = 12
ENOUGH: Final = 10
"""So many wrong cases end a run."""


@dataclass(frozen=True, slots=True)
class Case:
    """The n-th call of a kind in a place fails, or takes half (`error` is None)."""

    call: Call
    nth: int
    error: int | None
    onwards: bool

    @property
    def way(self) -> object:
        return self.call.kind, self.error, self.onwards

    def set(self, faults: Faults) -> None:
        if self.error is None:
            faults.shorten(self.call, nth=self.nth, onwards=self.onwards)
        else:
            faults.fail(self.call, nth=self.nth, error=self.error, onwards=self.onwards)

    def __str__(self) -> str:
        how = "takes half" if self.error is None else errno.errorcode[self.error]
        return f"{self.call}, number {self.nth}{' and on' if self.onwards else ''}: {how}"


def cases_of(calls: Iterable[Traced]) -> list[Case]:
    """Every call × every error × once and for good."""
    seen: Counter[Call] = Counter()
    found = []
    for traced in calls:
        if traced.kind is Kind.SEND:
            continue
        call = Call(traced.kind, next(place for place in PLACES if place.strip("$") in traced.path))
        seen[call] += 1
        errors: tuple[int | None, ...] = (*ERRORS, None) if traced.kind is Kind.WRITE else ERRORS
        found += [Case(call, seen[call], error, onwards) for error in errors for onwards in (False, True)]
    return found


def chosen(cases: Sequence[Case], chance: random.Random) -> list[Case]:
    """Each call in one of its ways, and each way to fail on one call of its kind; of the writes to the catalog, which
    come in long runs, a dozen."""
    by_call: dict[tuple[Call, int], list[Case]] = {}
    by_way: dict[object, list[Case]] = {}
    for case in cases:
        by_call.setdefault((case.call, case.nth), []).append(case)
        by_way.setdefault(case.way, []).append(case)
    catalog_writes = [key for key in by_call if key[0].kind is Kind.WRITE and "catalog" in key[0].part]
    for key in chance.sample(catalog_writes, max(0, len(catalog_writes) - CI_PLACES_OF_WRITES)):
        del by_call[key]
    picked: dict[object, Case] = {}
    further = []
    for ways in by_call.values():
        case = chance.choice([case for case in ways if case.way not in picked] or ways)
        further.append(case)
        picked.setdefault(case.way, case)
    rest = [chance.choice(ways) for way, ways in by_way.items() if way not in picked]
    return sorted({*further, *rest}, key=cases.index)


@pytest.fixture
async def nursery(plan: Plan, tmp_path: Path) -> AsyncIterator[tuple[Faults, Nursery, Path]]:
    """Where servers start, and the folder that is theirs."""
    if lack := lacking():
        plan.missing(lack)
    root = tmp_path / "root"
    root.mkdir()
    with Faults(tmp_path / "faults", root) as faults:
        async with Nursery(faults.environment) as nursery:
            yield faults, nursery, root / "data"


async def is_refused(life: Life) -> bool:
    """Live on. Returns whether that ended with the error that a failing disk is to give."""
    try:
        await life.run()
    except Refused as refusal:
        if refusal.code not in CODES:
            raise
        return True
    return False


async def outcome_of(case: Case, life: Life, faults: Faults) -> str:
    """Live with the fault, then without. How the server took it: refused, survived, or not reached, since commits that
    meet are one, and then there are fewer calls. Raises what must not be."""
    case.set(faults)
    refused = await is_refused(life)
    reached = faults.struck > 0
    faults.clear()
    await life.run()
    if broken := broken_rules(faults.calls()):
        raise AssertionError("; ".join(broken))
    assert reached or not refused, "an error without a cause"
    return "refused" if refused else "survived" if reached else "not_reached"


async def test_a_call_that_fails_costs_an_error_and_nothing_else(
    plan: Plan, nursery: tuple[Faults, Nursery, Path]
) -> None:
    faults, servers, data = nursery
    server = await servers.start(data)
    content = plan.chance("content").randbytes(SIZE)
    faults.calls()
    await Life(server.url, "clean", content).run()
    cases = cases_of(faults.calls())
    if not plan.full:
        cases = chosen(cases, plan.chance("failing calls"))
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    for number, case in enumerate(cases):
        try:
            outcomes[await outcome_of(case, Life(server.url, f"case-{number}", content), faults)] += 1
        except (AssertionError, OSError, Refused) as failed:
            wrong.append(f"{case}: {type(failed).__name__} {failed}")
            faults.clear()
            faults.calls()
            if len(wrong) == ENOUGH:
                break
    plan.report("failing calls", cases=len(cases), wrong=len(wrong), **outcomes)
    assert await server.stop() == 0
    assert not wrong, "\n" + "\n".join(wrong)
    assert "Traceback" not in servers.logged()
    assert outcomes["not_reached"] <= len(cases) // 10


async def calls_of_a_start(faults: Faults, servers: Nursery, data: Path) -> int:
    """How many calls it takes to start on `data`, which may be there already."""
    faults.calls()
    server = await servers.start(data)
    count = len(faults.calls())
    assert await server.stop() == 0
    return count


async def start_is_refused(faults: Faults, servers: Nursery, data: Path) -> bool:
    """Start, and stop what started. Returns whether it was refused, with a sentence."""
    code = None
    try:
        server = await servers.start(data)
    except NotStarted as ended:
        code = ended.code
    else:
        faults.clear()
        assert await server.stop() == 0
    said = servers.logged().splitlines()[-1:]
    assert code is None or (code == 1 and said[0].startswith("towline: ")), (code, said)
    return code is not None


@pytest.mark.parametrize("first", [True, False], ids=["first start", "later start"])
async def test_a_start_that_fails_says_why_and_the_next_one_works(
    plan: Plan, nursery: tuple[Faults, Nursery, Path], *, first: bool
) -> None:
    faults, servers, data = nursery
    store = data.with_name("store")
    if not first:
        await calls_of_a_start(faults, servers, store)
    count = await calls_of_a_start(faults, servers, data if first else store)
    cases = [
        Case(ANY, nth + 1, error, onwards) for nth in range(count) for error in ERRORS for onwards in (True, False)
    ]
    chance = plan.chance("starts", first)
    refused = 0
    for number, case in enumerate(cases if plan.full else chance.sample(cases, min(len(cases), CI_STARTS))):
        place = data.with_name(f"data-{number}") if first else store
        place.mkdir(exist_ok=True)
        case.set(faults)
        refused += await start_is_refused(faults, servers, place)
        faults.clear()
        server = await servers.start(place)
        assert await server.stop() == 0, case
        assert "Traceback" not in servers.logged(), case
    plan.report("failing starts", cases=number + 1, refused=refused)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: errno.errorcode[error])
async def test_a_server_stops_in_order_while_its_disk_fails(nursery: tuple[Faults, Nursery, Path], error: int) -> None:
    faults, servers, data = nursery
    server = await servers.start(data)
    faults.fail(ANY, error=error, onwards=True)
    assert await server.stop() == 0
    assert "Traceback" not in servers.logged()


async def test_an_object_that_a_row_may_name_is_kept(plan: Plan, nursery: tuple[Faults, Nursery, Path]) -> None:
    """The frames of a commit whose sync failed are in the log all the same, and a crash may find them valid."""
    faults, servers, data = nursery
    server = await servers.start(data)
    life = Life(server.url, "unknown", plan.chance("unknown").randbytes(SIZE))
    faults.fail(Call(Kind.FDATASYNC, "/catalog.db-wal"), error=errno.EIO, onwards=True, nth=1)
    assert await is_refused(life)
    await server.stop(signal.SIGKILL)
    faults.clear()
    server = await servers.start(data)
    assert "is not on the disk" not in servers.logged()
    life.url = server.url
    await life.run()


async def test_the_catalog_is_repaired_without_being_asked(nursery: tuple[Faults, Nursery, Path], plan: Plan) -> None:
    faults, servers, data = nursery
    server = await servers.start(data)
    faults.fail(Call(Kind.FDATASYNC, "/catalog.db-wal"), error=errno.EIO, onwards=True)
    life = Life(server.url, "repaired", plan.chance("repaired").randbytes(SIZE))
    assert await is_refused(life)
    async with http_client(server.url) as http:
        assert (await http.get("/health/ready")).status_code == 503
        assert (await http.get("/files")).status_code == 200, "reading goes on"
        repaired = asyncio.create_task(servers.until_logged("the catalog can be written again"))
        faults.clear()
        await asyncio.wait_for(repaired, 5.0)
        assert (await http.get("/health/ready")).status_code == 200
