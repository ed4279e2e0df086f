"""The tables of docs/durability.md are written by the runs themselves."""

from pathlib import Path

import pytest

from tests.crash.record import record

DOCUMENT = """# Title

<!-- last full run -->

| row | counted |
| --- | --- |
| SIGKILL | 10 kills |
| model | 3 runs |

<!-- end of last full run -->

The end.
"""


def test_a_row_takes_the_place_of_the_one_before_and_new_ones_follow(tmp_path: Path) -> None:
    document = tmp_path / "durability.md"
    document.write_text(DOCUMENT)
    record("last full run", {"SIGKILL": ["20 kills"], "races": ["7 take-overs"]}, document)
    wanted = DOCUMENT.replace("10 kills", "20 kills").replace("3 runs |\n", "3 runs |\n| races | 7 take-overs |\n")
    assert document.read_text() == wanted


def test_a_table_that_is_not_there_is_refused(tmp_path: Path) -> None:
    document = tmp_path / "durability.md"
    document.write_text(DOCUMENT)
    with pytest.raises(ValueError, match="no table 'teeth'"):
        record("teeth", {}, document)
    assert document.read_text() == DOCUMENT
