"""The power fails right before or right after any call of an upload's life, from the first start on.

Whatever the moment: the next start recovers by itself, what was acknowledged is there, the upload goes on to its end,
and no file is listed that is not whole.
"""

import shutil
import signal
from pathlib import Path
from typing import Final, get_args

import httpx2
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.crash.faults import Call, Faults, When, lacking
from tests.crash.life import SIZE, Life, Refused
from tests.crash.nursery import FaultyServer, NotStarted, Nursery
from tests.crash.plan import Plan
from tests.crash.power import LoopDisk
from tests.server import http_client

ANY: Final = Call()
CI_CASES: Final = 24
GONE: Final = (OSError, EOFError, ConnectionClosed, InvalidHandshake, httpx2.HTTPError)
"""How a client sees that the server crashed."""


async def whole_life(servers: Nursery, data: Path, life: Life) -> int:
    """From the start of a server to its end, and its exit code."""
    server = await servers.start(data)
    life.url = server.url
    await life.run()
    return await server.stop()


async def listed(server: FaultyServer) -> dict[str, int]:
    async with http_client(server.url) as http:
        answer = (await http.get("/files")).json()
        return {file["name"]: file["size"] for file in answer["files"]}


async def crash(faults: Faults, servers: Nursery, data: Path, life: Life) -> None:
    """Live until the crash comes."""
    try:
        code = await whole_life(servers, data, life)
    except NotStarted as ended:
        code = ended.code
    except GONE:
        code = await servers.ended()
    except Refused:  # between the cut and the kill another thread heard of the cut
        assert faults.struck
        code = await servers.ended()
    assert code == (-signal.SIGKILL if faults.struck else 0)


async def recover(servers: Nursery, data: Path, life: Life) -> None:
    """The first start afterwards, and the rest of the life."""
    server = await servers.start(data)
    life.url = server.url
    sizes = {life.name: {len(life.content), len(life.small)}, f"{life.name}-small": {len(life.small)}}
    found = await listed(server)
    assert all(size in sizes.get(name, set()) for name, size in found.items()), f"the listing has {found}"
    if life.completed and "delete" not in life.done and life.name not in found:
        assert "put" in life.done, "a complete file is not listed"  # it was being deleted
    await life.run()
    assert not await listed(server)
    assert await server.stop() == 0
    assert "is not on the disk" not in servers.logged()
    assert "Traceback" not in servers.logged()


async def test_a_power_cut_at_any_call_costs_nothing_that_was_promised(
    plan: Plan, disk: LoopDisk, tmp_path: Path
) -> None:
    if lack := lacking():
        plan.missing(lack)
    content = plan.chance("content").randbytes(SIZE)
    with Faults(tmp_path / "faults", disk.path) as faults:
        async with Nursery(faults.environment) as servers:
            assert await whole_life(servers, disk.path / "clean", Life("", "clean", content)) == 0
            count = sum(not call.is_message for call in faults.calls())
            cases: list[tuple[int, When]] = [(nth + 1, when) for nth in range(count) for when in get_args(When)]
            if not plan.full:
                cases = spread(plan, disk, cases)
            cut = 0
            for nth, when in cases:
                data, life = disk.path / f"{when}-{nth}", Life("", "crashed", content)
                faults.crash(ANY, when, nth=nth)
                try:
                    await crash(faults, servers, data, life)
                    cut += faults.struck
                    faults.clear()
                    disk.restore()
                    await recover(servers, data, life)
                    shutil.rmtree(data)
                except Exception as failed:
                    failed.add_note(f"the power failed {when} call {nth} of {count}, after {life.done}")
                    raise
    assert cut >= len(cases) * 9 // 10, "commits that meet are one, but seldom"
    plan.report("crash at every call", **{disk.kind: len(cases)}, cut=cut)


def spread(plan: Plan, disk: LoopDisk, cases: list[tuple[int, When]]) -> list[tuple[int, When]]:
    """Some of the cases, one of each stretch of the life."""
    chance = plan.chance("crash", disk.kind)
    step = len(cases) / CI_CASES
    return [cases[int((number + chance.random()) * step)] for number in range(CI_CASES)]
