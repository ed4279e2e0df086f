"""Asks whether an advisory is known for what requirements.lock names.

    ./run audit

Exit codes: 0 none is known, 1 at least one is, 75 the advisories could not be reached: nothing was learned.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from tests.packages import NotInstalled, installed
from tests.server import CHECKOUT

REQUIREMENTS: Final = Path(__file__).with_name("requirements.txt")
LOCK: Final = CHECKOUT / "requirements.lock"
NOT_REACHED: Final = 75


@dataclass(frozen=True, slots=True)
class Report:
    """What pip-audit said: packages with their advisories, how many have none, and how many it knows nothing of."""

    advisories: dict[str, list[str]]
    clean: int
    unknown: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError, KeyError for what is no report."""
        packages = json.loads(text)["dependencies"]
        audited = [package for package in packages if "skip_reason" not in package]
        advisories = {
            f"{package['name']} {package['version']}": [found["id"] for found in package["vulns"]]
            for package in audited
            if package["vulns"]
        }
        return cls(advisories, len(audited) - len(advisories), len(packages) - len(audited))

    @property
    def exit_code(self) -> int:
        if self.advisories:
            return 1
        return 0 if self.clean else NOT_REACHED

    def lines(self) -> list[str]:
        """For people."""
        lines = [f"{package}: {', '.join(ids)}" for package, ids in self.advisories.items()]
        lines.append(
            f"{len(self.advisories)} packages with advisories, {self.clean} without, {self.unknown} not looked up"
        )
        if self.exit_code == NOT_REACHED:
            lines.append("the advisories could not be reached: nothing was checked")
        return lines


def main(arguments: Sequence[str]) -> int:
    if arguments:
        print("audit takes no arguments", file=sys.stderr)
        return 2
    try:
        folder = installed(REQUIREMENTS)
    except NotInstalled as failed:
        print(f"audit: {failed}", file=sys.stderr)
        return 1
    command = [sys.executable, "-m", "pip_audit", "-r", str(LOCK), "--disable-pip", "--require-hashes", "-f", "json"]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    try:
        report = Report.parse(result.stdout)
    except (ValueError, KeyError):  # it ended without one: it could not connect
        print(f"{result.stderr.strip()}\nthe advisories could not be reached: nothing was checked", file=sys.stderr)
        return NOT_REACHED
    print("\n".join(report.lines()))
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
