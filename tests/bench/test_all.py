"""`./run bench` runs one measurement after another, and tells at the end what each came to."""

import json
import subprocess
import sys

import pytest

from bench.__main__ import Outcome, run, summary
from bench.figures import at_least, at_most
from tests.server import CHECKOUT

MISSED = at_most("CPU", 3.9).checked(4.5)
MET = at_least("speed", 1.25).checked(1.3)
GOAL = at_most("CPU, further", 3.3, goal=True).checked(4.5)


def test_targets_are_taken_from_the_line_of_json_and_goals_are_none(capfd: pytest.CaptureFixture[str]) -> None:
    facts = json.dumps({"targets": [check.facts() for check in (MISSED, MET, GOAL)]})
    outcome = run("large", [sys.executable, "-c", f"import sys; print('table'); print({facts!r}); sys.exit(1)"])
    assert (outcome.code, outcome.met, outcome.missed) == (1, 1, ["CPU"])
    assert "table" in capfd.readouterr().out


def test_the_summary_tells_a_failure_from_a_target_that_was_missed() -> None:
    outcomes = [Outcome("a", 9, 1, 1, ["CPU"]), Outcome("b", 1, 3, 0, []), Outcome("c", 2, 0, 2, [])]
    assert [row[-1] for row in summary(outcomes).rows] == ["CPU", "ended with 3", "all is met"]


def test_the_list_has_each_script_with_a_sentence() -> None:
    command = [sys.executable, "run", "bench", "--list"]
    listed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=3) for line in listed.splitlines()]
    scripts = {path.stem for path in (CHECKOUT / "bench").glob("[!_]*.py") if "__main__" in path.read_text()}
    assert {row[2] for row in rows} == scripts
    assert all(len(row) == 4 for row in rows)


@pytest.mark.parametrize(("argument", "code"), [("--help", 0), ("no-such", 2)])
def test_whoever_does_not_know_what_there_is_hears_how_to_ask(argument: str, code: int) -> None:
    """And how to run all, which takes its time and is nothing to happen by the way."""
    command = [sys.executable, "run", "bench", argument]
    ended = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert ended.returncode == code
    assert ("./run bench [--record]" if code == 0 else "./run bench --list") in ended.stdout + ended.stderr
