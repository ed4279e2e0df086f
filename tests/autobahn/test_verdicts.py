"""What lets a run of the test suite pass, and what does not; the suite itself is not needed for that."""

import json
from pathlib import Path

import pytest

from tests.autobahn.__main__ import LIST
from tests.autobahn.verdicts import (
    CASES,
    Expected,
    Verdict,
    Verdicts,
    complaints,
    differences,
    read_list,
    read_report,
    summary,
)

TABLE = """\
Before.

| cases | verdict | why |
| --- | --- | --- |
| 1.1, 1.2 | NON-STRICT | because |
| 2.1 | OK or NON-STRICT | a race |

After.
"""


def all_as_listed(expected: Expected) -> dict[str, Verdict]:
    """Verdicts of a run that is exactly as the list says."""
    listed = {number: Verdict(min(verdicts), 1000) for number, verdicts in expected.items()}
    others = {f"100.{number}": Verdict("OK", 1000) for number in range(CASES - len(listed))}
    return listed | others


@pytest.fixture
def expected() -> Expected:
    return read_list(TABLE)


@pytest.fixture
def verdicts(expected: Expected) -> dict[str, Verdict]:
    return all_as_listed(expected)


def test_the_table_is_read(expected: Expected) -> None:
    assert expected == {"1.1": {"NON-STRICT"}, "1.2": {"NON-STRICT"}, "2.1": {"OK", "NON-STRICT"}}


@pytest.mark.parametrize(
    "row",
    [
        "| 1.1 | FAILED | because |",
        "| 1.1 | NON-STRICT, UNCLEAN close | because |",
        "| 1.1 | OK or FAILED | because |",
        "| 1.1 | NON-STRICT | |",
        "| 1.1, 1.1 | NON-STRICT | because |",
        "| 1.* | NON-STRICT | because |",
    ],
)
def test_a_row_that_excuses_a_failure_or_gives_no_reason_is_refused(row: str) -> None:
    with pytest.raises(ValueError, match=r"reason|twice"):
        read_list(f"| cases | verdict | why |\n| --- | --- | --- |\n{row}\n\n")


def test_the_documents_list_can_be_used() -> None:
    expected = read_list(LIST.read_text("utf-8"))
    assert expected
    assert list(complaints(all_as_listed(expected), expected)) == []


def test_a_run_that_is_as_listed_passes(verdicts: Verdicts, expected: Expected) -> None:
    assert list(complaints(verdicts, expected)) == []
    assert list(differences(verdicts, verdicts, expected)) == []
    assert summary(verdicts) == "298 OK, 3 NON-STRICT"


@pytest.mark.parametrize(
    ("number", "behavior"),
    [
        ("100.7", "FAILED"),
        ("100.7", "NON-STRICT"),
        ("1.1", "OK"),
        ("1.1", "FAILED"),
        ("2.1", "INFORMATIONAL"),
    ],
)
def test_a_case_that_is_not_as_listed_is_named(
    verdicts: dict[str, Verdict], expected: Expected, number: str, behavior: str
) -> None:
    verdicts[number] = Verdict(behavior, 1002)
    (sentence,) = complaints(verdicts, expected)
    assert f"case {number}: {behavior}, closed with 1002; the list says" in sentence


def test_cases_that_did_not_run_are_missed(verdicts: dict[str, Verdict], expected: Expected) -> None:
    del verdicts["1.1"]
    assert list(complaints(verdicts, expected)) == [
        "300 cases have a verdict, not 301",
        "case 1.1: on the list, and was not run",
    ]


@pytest.mark.parametrize("other", [Verdict("NON-STRICT", 1000), Verdict("OK", 1001), Verdict("OK", None)])
def test_the_proxy_may_change_nothing(verdicts: dict[str, Verdict], expected: Expected, other: Verdict) -> None:
    assert list(differences(verdicts, verdicts | {"100.7": other}, expected)) == [
        f"case 100.7: OK, closed with 1000; through the proxy: {other}"
    ]


def test_a_race_may_end_differently_through_the_proxy(verdicts: dict[str, Verdict], expected: Expected) -> None:
    assert list(differences(verdicts, verdicts | {"2.1": Verdict("OK", 1002)}, expected)) == []


def test_a_report_is_read(tmp_path: Path) -> None:
    cases = {
        "1.1": {"behavior": "OK", "behaviorClose": "OK", "remoteCloseCode": 1000},
        "1.2": {"behavior": "OK", "behaviorClose": "UNCLEAN", "remoteCloseCode": None},
        "1.3": {"behavior": "INFORMATIONAL", "behaviorClose": "INFORMATIONAL", "remoteCloseCode": 1000},
        "1.4": {"behavior": "NON-STRICT", "behaviorClose": "OK", "remoteCloseCode": 1002},
    }
    (tmp_path / "index.json").write_text(json.dumps({"direct": cases}))
    assert read_report(tmp_path / "index.json", "direct") == {
        "1.1": Verdict("OK", 1000),
        "1.2": Verdict("OK, UNCLEAN close", None),
        "1.3": Verdict("INFORMATIONAL", 1000),
        "1.4": Verdict("NON-STRICT", 1002),
    }
    assert read_report(tmp_path / "index.json", "proxied") == {}
