"""SIGKILL at any moment: what was acknowledged is there, what is listed is whole, and every upload goes on."""

from pathlib import Path

from tests.crash.forkserver import ForkedServer
from tests.crash.lives import Lives
from tests.crash.plan import Plan

ROW = "SIGKILL"
LIVES_OF_ONE_STORE = 25


async def kill(server: ForkedServer) -> None:
    await server.kill()


async def test_nothing_that_was_acknowledged_is_lost_when_the_server_is_killed(plan: Plan, tmp_path: Path) -> None:
    kills = left = plan.count(in_ci=200, full=1_000)
    with_acked_bytes = 0
    for store in range(-(-kills // LIVES_OF_ONE_STORE)):
        scratch = tmp_path / str(store)
        scratch.mkdir()
        lives = Lives(plan, ROW, plan.chance(ROW, store), scratch / "data", scratch, kill)
        with_acked_bytes += await lives.live(min(left, LIVES_OF_ONE_STORE))
        left -= LIVES_OF_ONE_STORE
    assert with_acked_bytes > kills // 4, "too few kills came between an ack and the end of an upload"
