"""Runs the Autobahn test suite against `towline serve`, and compares its verdicts with docs/conformance.md.

    ./run autobahn [--required] [--reports FOLDER]

All 301 cases that apply without compression: directly against `/echo`, and through `/proxy/…` against a plain echo
server behind it, at the same time. None may fail, both must say the same, and the server's log has no traceback.
"""

import argparse
import asyncio
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tests.autobahn.plain_echo import plain_echo
from tests.autobahn.suite import Python27, SuiteFailed, run_cases
from tests.autobahn.verdicts import Verdicts, complaints, differences, read_list, read_report, summary
from tests.packages import NotInstalled
from tests.server import CHECKOUT, ServerProcess

LIST: Final = CHECKOUT / "docs" / "conformance.md"
SETTINGS: Final = """\
[proxy.upstreams]
plain = {{ url = "{url}", allow_private = true }}
"""


ALARM: Final = re.compile(r'Traceback|\b(ERROR|CRITICAL)\b|"level": ?"(error|critical)"')
"""In a line of the server's log, for people or as JSON: nothing that a client sends may lead to it."""


class Testee(NamedTuple):
    """Where the test suite connects to."""

    name: str
    path: str


DIRECT: Final = Testee("direct", "/echo")
PROXIED: Final = Testee("proxied", "/proxy/plain")
TESTEES: Final = (DIRECT, PROXIED)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="./run autobahn", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--required", action="store_true", help="fail where there is no Python 2.7; else it is skipped")
    parser.add_argument("--reports", type=Path, metavar="FOLDER", help="keep the reports, with a page for each case")
    options = parser.parse_args(arguments)
    python = Python27.find()
    if python is None:
        print(
            "*** SKIPPED: the Autobahn test suite needs Python 2.7 with pip, on PATH or in pyenv ***", file=sys.stderr
        )
        return int(options.required)
    with tempfile.TemporaryDirectory(prefix="towline-autobahn-") as folder:
        reports = options.reports.resolve() if options.reports is not None else Path(folder) / "reports"
        try:
            problems = asyncio.run(examine(python, python.install(), Path(folder), reports))
        except (NotInstalled, SuiteFailed) as failed:
            problems = [str(failed)]
    for problem in problems:
        print(f"autobahn: {problem}", file=sys.stderr)
    return int(bool(problems))


async def examine(python: Python27, suite: Path, folder: Path, reports: Path) -> list[str]:
    """Run all testees. Returns what is not as it should be. Raises SuiteFailed."""
    async with plain_echo() as upstream:
        (folder / "towline.toml").write_text(SETTINGS.format(url=upstream))
        async with ServerProcess(folder / "data") as server:
            runs = await asyncio.gather(*(_verdicts(python, suite, testee, server.url, reports) for testee in TESTEES))
            code = await server.terminate()
    expected = read_list(LIST.read_text("utf-8"))
    direct, *others = runs
    return [
        *(
            f"{testee.name}: {said}"
            for testee, run in zip(TESTEES, runs, strict=True)
            for said in complaints(run, expected)
        ),
        *(said for other in others for said in differences(direct, other, expected)),
        *(f"the server's log: {line}" for line in server.log_lines if ALARM.search(line)),
        *([f"the server ended with exit code {code}"] if code else []),
    ]


async def _verdicts(python: Python27, suite: Path, testee: Testee, server: str, reports: Path) -> Verdicts:
    url = server.replace("http:", "ws:") + testee.path
    verdicts = read_report(await run_cases(python, suite, testee.name, url, reports / testee.name), testee.name)
    print(f"{testee.name}: {len(verdicts)} cases: {summary(verdicts)}", flush=True)
    return verdicts


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
