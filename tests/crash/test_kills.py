"""SIGKILL at any moment: what was acknowledged is there, what is listed is whole, and every upload goes on."""

from pathlib import Path

import pytest

from tests.crash.conftest import PLAN
from tests.crash.forkserver import ForkedServer
from tests.crash.lives import Lives, first_starts
from tests.crash.plan import Plan

ROW = "SIGKILL"
KILLS_OF_ONE_STORE = 25


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """200 kills in each CI run, 1,000 in a full one."""
    if "store" in metafunc.fixturenames:
        metafunc.parametrize("store", range(metafunc.config.stash[PLAN].count(in_ci=8, full=40)))


async def kill(server: ForkedServer) -> None:
    await server.kill()


async def test_nothing_that_was_acknowledged_is_lost_when_the_server_is_killed(
    plan: Plan, tmp_path: Path, store: int
) -> None:
    lives = Lives(plan, ROW, plan.chance(ROW, store), tmp_path / "data", tmp_path, kill)
    await lives.live(KILLS_OF_ONE_STORE)


async def test_a_first_start_that_is_killed_is_done_again(plan: Plan, tmp_path: Path) -> None:
    await first_starts(plan, ROW, tmp_path, tmp_path, kill)
