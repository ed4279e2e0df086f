"""The reference is what the code says, and what the code says is all there."""

from manual import reference
from manual.http_api import http_page
from manual.messages import messages_page
from manual.settings import settings_page

from transfer.protocol.errors import ERRORS
from transfer.settings import Settings


def test_the_reference_is_what_the_code_says() -> None:
    stale = [file.name for file in reference.stale()]
    assert not stale, f"./run docs brings them up to date: {', '.join(stale)}"


def test_no_page_of_the_reference_is_one_that_nobody_writes() -> None:
    assert {file.name for file in reference.FOLDER.iterdir()} == reference.PAGES.keys()


def test_each_setting_stands_in_the_reference_with_what_it_is() -> None:
    page = settings_page()
    for name, field in Settings.model_fields.items():
        assert f"`{name}`" in page or f"## [{name}]" in page, name
        assert field.description is not None
        assert field.description[1:] in page, name


def test_each_error_code_stands_in_the_reference() -> None:
    page = messages_page()
    assert all(f"| `{code}` | " in page for code in ERRORS)


def test_what_may_be_null_over_http_is_said_to_be() -> None:
    (row,) = [row for row in http_page().splitlines() if row.startswith("| `next` |")]
    assert "text or null" in row
