"""Runs one measurement after another, and says at the end what each came to.

python -m bench [--record] NAME …       as `./run bench` does, with all of them

Those that take long take fewer rounds here than by themselves, so that all of them take less than a quarter of an hour.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from bench.figures import Table, at_most

ALL_OF_THEM: Final = at_most("all of them", 15, "min")
FEWER_ROUNDS: Final = {
    "attack": ["--rounds", "1"],
    "cut": ["--rounds", "5"],
    "far": ["--rounds", "1"],
    "large": ["--rounds", "3"],
    "resume": ["--rounds", "3"],
    "sizes": ["--rounds", "2"],
    "small": ["--rounds", "2"],
}


class Outcome(NamedTuple):
    """What one measurement came to."""

    name: str
    seconds: float
    code: int
    met: int
    missed: Sequence[str]

    def words(self) -> str:
        if self.code and not self.missed:
            return f"ended with {self.code}"
        return ", ".join(self.missed) or "all is met"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="./run bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--record", action="store_true", help="keep everything in bench/results/ and bench/README.md")
    parser.add_argument("names", nargs="+", metavar="NAME")
    options = parser.parse_args(arguments)
    more, began = ["--record"] if options.record else [], time.monotonic()
    outcomes = [
        run(name, [sys.executable, "-m", f"bench.{name}", *FEWER_ROUNDS.get(name, ()), *more]) for name in options.names
    ]
    took = ALL_OF_THEM.checked((time.monotonic() - began) / 60)
    print(f"\n{summary(outcomes).text()}\n{took.target.what} took {took.value:.1f} min, limit {took.target.limit} min")
    return int(took.missed or any(outcome.code for outcome in outcomes))


def run(name: str, command: Sequence[str]) -> Outcome:
    """Run a measurement, show what it prints, and take the targets from its line of JSON."""
    print(f"\n== {name}", flush=True)
    began, last = time.monotonic(), "{}"
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line if line.startswith("{") else last
    missed, met = targets_of(last)
    return Outcome(name, time.monotonic() - began, process.returncode, met, missed)


def targets_of(line: str) -> tuple[list[str], int]:
    """Of a measurement's line of JSON: which targets were missed, and how many were met. Goals are neither."""
    targets = [target for target in json.loads(line).get("targets", []) if not target["goal"]]
    missed = [target["what"] for target in targets if not target["met"]]
    return missed, len(targets) - len(missed)


def summary(outcomes: Sequence[Outcome]) -> Table:
    rows = [[outcome.name, f"{outcome.seconds:.0f} s", str(outcome.met), outcome.words()] for outcome in outcomes]
    return Table.of(["", "took", "targets met", "missed"], rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
