"""Options of the suite, the plan that they make, and the table that is printed at the end."""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.crash.plan import Plan
from tests.crash.power import FILE_SYSTEMS, LoopDisk, lacking
from tests.crash.record import record

PLAN = pytest.StashKey[Plan]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("crash", "the crash suite")
    group.addoption("--full", action="store_true", help="as many cases as docs/durability.md reports")
    group.addoption("--seed", type=int, help="repeat a run; without it every run has a seed of its own")
    group.addoption("--record", action="store_true", help="write what was counted into docs/durability.md")
    group.addoption("--required", action="store_true", help="fail where the machine lacks what a row needs")


def pytest_configure(config: pytest.Config) -> None:
    given: int | None = config.getoption("--seed")
    config.stash[PLAN] = Plan(
        seed=secrets.randbits(32) if given is None else given,
        full=config.getoption("--full"),
        required=config.getoption("--required"),
    )


def pytest_report_header(config: pytest.Config) -> str:
    plan = config.stash[PLAN]
    return f"seed {plan.seed}{', full' if plan.full else ''}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report: pytest.TestReport = yield  # type: ignore[assignment]
    if report.failed:
        plan = item.config.stash[PLAN]
        full = " --full" if plan.full else ""
        report.sections.append(("to repeat it", f"./run crash --seed {plan.seed}{full} '{item.nodeid}'"))
    return report  # type: ignore[return-value]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    plan = config.stash[PLAN]
    if not plan.figures:
        return
    terminalreporter.section(f"what was counted, seed {plan.seed}")
    for row in plan.figures:
        terminalreporter.line(f"{row}: {plan.counted(row)}")
    if config.getoption("--record") and exitstatus == pytest.ExitCode.OK:
        today = datetime.now(UTC).date().isoformat()
        record("what was counted", {row: [plan.counted(row), today, str(plan.seed)] for row in plan.figures})


@pytest.fixture
def plan(request: pytest.FixtureRequest) -> Plan:
    return request.config.stash[PLAN]


@pytest.fixture(params=FILE_SYSTEMS)
def disk(request: pytest.FixtureRequest, plan: Plan, tmp_path: Path) -> Iterator[LoopDisk]:
    """A file system of its own, mounted, whose power can be cut: once for each kind."""
    if lack := lacking(request.param):
        plan.missing(lack)
    with LoopDisk(tmp_path, request.param) as disk:
        yield disk
