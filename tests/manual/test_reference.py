"""The reference is what the code says, and what the code says is all there."""

import ast
from collections.abc import Iterator
from typing import get_args

from manual import reference
from manual.http_api import http_page
from manual.json_lines import NOTICES, RESULTS
from manual.messages import messages_page
from manual.settings import settings_page

from client.progress import Event
from tests.server import CHECKOUT
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


def lines_in_the_code() -> Iterator[tuple[str, set[str]]]:
    """The kinds of lines that commands write with `--json`, and those of their fields that stand beside the kind."""
    for package in ("client/terminal", "transfer"):
        for file in (CHECKOUT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                yield from _told_by(node)


def _told_by(node: ast.AST) -> Iterator[tuple[str, set[str]]]:
    match node:
        case ast.Call(func=ast.Attribute(attr="notice"), args=[ast.Constant(value=str(kind)), _, facts]):
            yield kind, _keys(facts)
        case ast.Call(func=ast.Attribute(attr="tell"), args=[ast.Constant(value=str(kind)), *_], keywords=fields):
            yield kind, {field.arg for field in fields if field.arg}
        case ast.Call(func=ast.Name(id="_each"), args=[_, _, ast.Constant(value=str(kind)), *_]):
            yield kind, set()
        case ast.Dict(keys=[ast.Constant(value="event"), *_], values=[ast.Constant(value=str(kind)), *_]):
            yield kind, _keys(node) - {"event"}


def _keys(facts: ast.expr) -> set[str]:
    keys = facts.keys if isinstance(facts, ast.Dict) else []
    return {key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}


def test_each_kind_of_line_stands_in_the_reference_with_its_fields() -> None:
    found = list(lines_in_the_code())
    documented: dict[str, set[str]] = {}
    for kind in NOTICES:
        documented.setdefault(kind.event, {"message"}).update(kind.fields)
    assert {kind for kind, _ in found} == documented.keys()
    assert [(kind, fields) for kind, fields in found if not fields <= documented[kind]] == []
    commands = {who.partition(" --")[0] for kind in NOTICES for who in kind.commands.split(", ")} - {"all"}
    commands |= {who for who, _, _ in RESULTS}
    headings = (reference.FOLDER / "command-line.md").read_text().splitlines()
    assert [who for who in commands if not {f"### towline {who}", f"#### towline {who}"} & {*headings}] == []
    page = (reference.FOLDER / "json.md").read_text()
    events = {event.__name__.lower() for event in get_args(Event)} - {"failed"} | documented.keys()
    assert all(f"| `{event}` | " in page for event in events)
