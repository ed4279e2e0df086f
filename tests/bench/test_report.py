"""What was found is printed and kept, and a target that is missed ends the script with an error."""

import json

import pytest

from bench import report
from bench.figures import Table, at_least
from bench.report import README, Report, publish, with_section

DOCUMENT = "# Title\n\n<!-- small -->\n\nold\n\n<!-- end of small -->\n\n<!-- smaller -->\n\n<!-- end of smaller -->\n"
TABLE = Table.of(["what", "files/s"], [["towline", "3,100"]])


def test_a_section_takes_the_place_of_the_one_before_and_leaves_the_others() -> None:
    assert with_section(DOCUMENT, "small", r"new \1") == DOCUMENT.replace("old", r"new \1")


def test_a_section_that_has_no_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="no section 'large'"):
        with_section(DOCUMENT, "large", "new")


def test_the_last_line_printed_is_json_with_the_machine_and_the_targets(capsys: pytest.CaptureFixture[str]) -> None:
    publish(Report("small", [TABLE], {"rate": 3100}, [at_least("rate", 3000).checked(3100)]), record=False)
    *tables, last = capsys.readouterr().out.splitlines()
    facts = json.loads(last)
    assert tables[:2] == TABLE.text().splitlines()
    assert (facts["bench"], facts["rate"], facts["targets"][0]["met"]) == ("small", 3100, True)
    assert {"cores", "cpu", "kernel", "python", "uvicorn"} <= facts["machine"].keys()


def test_a_missed_target_ends_the_script_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"small: rate is 2,900, not at least 3,000"):
        publish(Report("small", [TABLE], {}, [at_least("rate", 3000).checked(2900)]), record=False)
    assert "MISSED" in capsys.readouterr().out


def test_each_script_that_can_record_has_its_section_in_the_readme() -> None:
    for script in report.FOLDER.glob("*.py"):
        if "record=" in script.read_text() and script.stem != "report":
            with_section(README.read_text(), script.stem, "")
