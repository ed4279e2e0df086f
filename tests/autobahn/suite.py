"""The Autobahn test suite as a program: it is written for Python 2.7, which few machines still have."""

import asyncio
import json
import os
import shutil
import subprocess
from asyncio.subprocess import DEVNULL, STDOUT
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from tests.packages import installed

REQUIREMENTS: Final = Path(__file__).with_name("requirements.txt")
PATIENCE: Final = 600.0
"""Seconds for all cases of one testee; they take 20."""
_START: Final = "import site; site.addsitedir({folder!r}); from autobahntestsuite.wstest import run; run()"
_PROBE: Final = "import pip, sys; sys.exit(sys.version_info[:2] != (2, 7))"


class SuiteFailed(Exception):
    """The suite did not run to its end."""


@dataclass(frozen=True, slots=True)
class Python27:
    """An interpreter that really runs, and has pip. With pyenv, the version has to be named: else its `python2.7` is
    only a signpost."""

    pyenv_version: str | None

    @classmethod
    def find(cls) -> Self | None:
        """The first one of this machine."""
        return next((found for found in map(cls, _pyenv_versions()) if found._runs()), None)

    def _runs(self) -> bool:
        if shutil.which("python2.7") is None:
            return False
        probe = self.command("-c", _PROBE)
        return subprocess.run(probe, env=self.environment, capture_output=True, check=False).returncode == 0

    def command(self, *arguments: str) -> list[str]:
        """A command line; nothing of this environment's Python, or of its user, is seen by it."""
        return ["python2.7", "-E", "-s", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        chosen = {} if self.pyenv_version is None else {"PYENV_VERSION": self.pyenv_version}
        return dict(os.environ) | chosen

    def install(self) -> Path:
        """The folder with the suite. Raises NotInstalled."""
        return installed(REQUIREMENTS, self.command(), self.environment)


def _pyenv_versions() -> Iterator[str | None]:
    """None for what the shell would run; then the versions that pyenv has."""
    yield None
    if shutil.which("pyenv") is not None:
        listing = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, check=False)
        yield from (version for version in listing.stdout.split() if version.startswith("2.7"))


async def run_cases(python: Python27, suite: Path, testee: str, url: str, reports: Path) -> Path:
    """All cases that apply without compression, one after the other. Returns the index of the report; raises
    SuiteFailed."""
    specification = _specify(testee, url, reports)
    start = python.command("-c", _START.format(folder=str(suite)), "-m", "fuzzingclient", "-s", str(specification))
    log = reports / "suite.log"
    await _run(start, python.environment, log)
    index = reports / "index.json"
    if not index.exists():
        raise SuiteFailed(f"the test suite wrote no report:\n{_end_of(log)}")
    return index


def _specify(testee: str, url: str, reports: Path) -> Path:
    reports.mkdir(parents=True)
    specification = reports / "specification.json"
    chosen = {
        "outdir": str(reports),
        "servers": [{"agent": testee, "url": url}],
        "cases": ["*"],
        "exclude-cases": ["12.*", "13.*"],
        "exclude-agent-cases": {},
    }
    specification.write_text(json.dumps(chosen))
    return specification


async def _run(command: Sequence[str], environment: dict[str, str], log: Path) -> None:
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=output, stderr=STDOUT, cwd=log.parent, env=environment
        )
        try:
            async with asyncio.timeout(PATIENCE):
                code = await process.wait()
        except TimeoutError:
            raise SuiteFailed(f"the test suite did not end in {PATIENCE:.0f} s:\n{_end_of(log)}") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if code != 0:
        raise SuiteFailed(f"the test suite ended with exit code {code}:\n{_end_of(log)}")


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-3_000:]
