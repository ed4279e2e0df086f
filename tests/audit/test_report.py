"""What an audit means: a package with an advisory fails it, and one that nobody knows is not a clean one."""

import json

import pytest

from tests.audit.__main__ import NOT_REACHED, Report

CLEAN = {"name": "a", "version": "1", "vulns": []}
BAD = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": []}, {"id": "CVE-2"}]}
UNKNOWN = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "exit_code"),
    [([CLEAN], 0), ([CLEAN, UNKNOWN], 0), ([CLEAN, BAD], 1), ([BAD, UNKNOWN], 1), ([UNKNOWN], NOT_REACHED)],
    ids=["clean", "some unknown", "bad", "bad and unknown", "nothing known"],
)
def test_the_exit_code_says_what_was_found(packages: list[object], exit_code: int) -> None:
    report = Report.parse(json.dumps({"dependencies": packages}))
    assert report.exit_code == exit_code
    assert any("nothing was checked" in line for line in report.lines()) == (exit_code == NOT_REACHED)


def test_the_advisories_are_named() -> None:
    assert Report.parse(json.dumps({"dependencies": [CLEAN, BAD]})).lines()[0] == "b 2: PYSEC-1, CVE-2"


@pytest.mark.parametrize("text", ["", "no json", "{}"])
def test_what_is_no_report_is_none(text: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        Report.parse(text)
