"""What the test suite said of each case, and whether that is what docs/conformance.md says.

The table in that document is the list: a case that is not in it has to be OK. `OK or NON-STRICT` is for cases that are
decided by a race. Whoever makes a case better has to take it out, so the list is never longer than the truth.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

CASES: Final = 301
"""All of the suite's but 12 and 13, which are about compression."""
FORBIDDEN: Final = re.compile("FAILED|UNCLEAN|WRONG CODE|UNIMPLEMENTED|NO CLOSE")
_HEADING: Final = "| cases | verdict |"


class Verdict(NamedTuple):
    """What one case ended with."""

    behavior: str
    close_code: int | None

    def __str__(self) -> str:
        return f"{self.behavior}, closed with {self.close_code}"


Verdicts = Mapping[str, Verdict]
"""By the number of the case, like `7.1.5`."""
Expected = Mapping[str, frozenset[str]]
"""What a case may end with; for those that are not in it that is OK."""


def read_report(index: Path, testee: str) -> Verdicts:
    """The verdicts of a report that the test suite wrote."""
    cases = json.loads(index.read_text()).get(testee, {})
    return {number: Verdict(_behavior(case), case["remoteCloseCode"]) for number, case in cases.items()}


def _behavior(case: Mapping[str, str]) -> str:
    """One word for what was sent and how it was closed, unless they differ."""
    sent, closed = case["behavior"], case["behaviorClose"]
    return sent if closed in ("OK", sent) else f"{sent}, {closed} close"


def read_list(document: str) -> Expected:
    """The table of the document. Raises ValueError for a row that says nothing or is not allowed."""
    expected: dict[str, frozenset[str]] = {}
    table = document.partition(_HEADING)[2].partition("\n\n")[0]
    for row in table.splitlines()[2:]:
        cases, verdict, why = (cell.strip() for cell in row.strip("|").split("|"))
        if not why or FORBIDDEN.search(verdict):
            raise ValueError(f"{verdict!r} without a reason, or none that a case may have: {row}")
        for number in cases.split(", "):
            if not re.fullmatch(r"\d+(\.\d+)+", number) or number in expected:
                raise ValueError(f"{number!r} is no case, or stands there twice")
            expected[number] = frozenset(verdict.split(" or "))
    return expected


def complaints(verdicts: Verdicts, expected: Expected) -> Iterator[str]:
    """What is not as the list says, a sentence each."""
    if len(verdicts) != CASES:
        yield f"{len(verdicts)} cases have a verdict, not {CASES}"
    for number, verdict in verdicts.items():
        allowed = expected.get(number, frozenset({"OK"}))
        if verdict.behavior not in allowed:
            yield f"case {number}: {verdict}; the list says {' or '.join(sorted(allowed))}"
    for number in expected.keys() - verdicts.keys():
        yield f"case {number}: on the list, and was not run"


def differences(direct: Verdicts, proxied: Verdicts, expected: Expected) -> Iterator[str]:
    """Where the way through the proxy is seen, a sentence each. Two runs of a race may end differently."""
    for number in sorted(direct.keys() | proxied.keys()):
        is_race = len(expected.get(number, ())) > 1
        if direct.get(number) != proxied.get(number) and not is_race:
            yield f"case {number}: {direct.get(number)}; through the proxy: {proxied.get(number)}"


def summary(verdicts: Verdicts) -> str:
    """How many cases ended with what."""
    counted = Counter(verdict.behavior for verdict in verdicts.values())
    return ", ".join(f"{count} {behavior}" for behavior, count in counted.most_common())
