"""A page of a listing costs what is on it, however many files there are: counted in steps of SQLite's machine."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, get_args

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.connecting import migrate, open_alone
from storage.listing import make_cursor
from storage.listing_rows import FEW, list_files
from storage.objects import new_object_id
from storage.schema import files
from storage.store import FilePage, FileQuery, SortKey

MANY: Final = 4 * FEW
NEARLY: Final = 2
"""What a page may cost, in parts of what a like one costs."""
NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """With many files in `many/`, few in `few/`, and more before and after them."""
    path: Path = tmp_path_factory.mktemp("plans") / "catalog.db"
    migrate(path)
    engine = open_alone(path)
    with engine.begin() as connection:
        folders = ["many"] * MANY + ["few"] * 9 + ["a", "z"] * (MANY // 4)
        connection.execute(sa.insert(files), [_row(f"{folder}/{n:05}", n) for n, folder in enumerate(folders)])
        yield connection
    engine.dispose()


def _row(name: str, n: int) -> dict[str, object]:
    shuffled = n * 7919 % 100_003
    return {
        "file_id": new_object_id(),
        "name": name,
        "name_key": name,
        "size": shuffled,
        "digest": "sha256:" + "0" * 64,
        "content_type": "text/plain",
        "created": NOW + timedelta(seconds=shuffled),
        "modified": NOW + timedelta(seconds=shuffled) if n % 3 else None,
        "owner": "ann",
        "uploader": "ann",
        "metadata": {},
    }


def steps(catalog: Connection, query: FileQuery) -> tuple[int, FilePage]:
    """How many steps a page takes, and the page."""
    count = 0

    def step() -> None:
        nonlocal count
        count += 1

    driver = catalog.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    driver.set_progress_handler(step, 1)
    try:
        page = list_files(catalog, query)
        return count, page
    finally:
        driver.set_progress_handler(None, 1)


@pytest.mark.parametrize("descending", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("sort", get_args(SortKey))
@pytest.mark.parametrize("prefix", ["", "many/"], ids=["all", "prefix"])
def test_a_deep_page_costs_what_the_first_does(
    catalog: Connection, sort: SortKey, prefix: str, descending: bool
) -> None:
    query = FileQuery(sort=sort, prefix=prefix, descending=descending, limit=20)
    whole = list_files(catalog, replace(query, limit=2 * MANY)).files
    first, _ = steps(catalog, query)
    for part in (0.05, 0.5, 0.95):
        at = int(part * len(whole))
        deep, page = steps(catalog, replace(query, cursor=make_cursor(query, whole[at])))
        assert page.files == whole[at + 1 : at + 21]
        assert deep < NEARLY * first


@pytest.mark.parametrize("descending", [False, True], ids=["up", "down"])
def test_the_narrower_prefix_is_where_a_page_begins(catalog: Connection, descending: bool) -> None:
    narrow = FileQuery(prefix="few/", descending=descending)
    cost, page = steps(catalog, narrow)
    assert len(page.files) == 9
    for prefix, within in (("f", "few/"), ("few/", "f"), ("few/", "few/")):
        again = steps(catalog, replace(narrow, prefix=prefix, within=within))
        assert again[1] == page
        assert again[0] < NEARLY * cost


@pytest.mark.parametrize("sort", ["size", "created", "modified"])
def test_few_files_in_another_order_are_found_by_their_names(catalog: Connection, sort: SortKey) -> None:
    cost, page = steps(catalog, FileQuery(prefix="few/", sort=sort))
    assert sorted(page.files, key=lambda file: file.name) == list_files(catalog, FileQuery(prefix="few/")).files
    assert cost < MANY, "steps, and there are more rows than that in the index of values"


def test_folders_cost_what_they_are_and_not_what_is_in_them(catalog: Connection) -> None:
    cost, page = steps(catalog, FileQuery(by_folder=True, limit=4))
    assert (page.folders, page.files) == (["a/", "few/", "many/", "z/"], [])
    cost, page = steps(catalog, FileQuery(by_folder=True, limit=3))
    assert page.folders == ["a/", "few/", "many/"]
    assert cost < FEW, "steps, and there are more rows than that in each of two"


@pytest.mark.parametrize("sort", get_args(SortKey))
def test_a_search_looks_through_the_index_of_names(catalog: Connection, sort: SortKey) -> None:
    assert "USING INDEX files_by_name" in plan(catalog, FileQuery(contains="nowhere", sort=sort))


@pytest.mark.parametrize("sort", ["size", "created", "modified"])
def test_what_many_match_is_read_in_the_order_of_its_index(catalog: Connection, sort: SortKey) -> None:
    assert f"USING INDEX files_by_{sort}" in plan(catalog, FileQuery(prefix="many/", contains="0", sort=sort))


def plan(catalog: Connection, query: FileQuery) -> str:
    """How SQLite answers the last statement of a page."""
    asked: list[tuple[str, tuple[object, ...]]] = []

    def note(_connection: object, _cursor: object, statement: str, values: tuple[object, ...], *_: object) -> None:
        asked.append((statement, values))

    sa.event.listen(catalog, "before_cursor_execute", note)
    list_files(catalog, query)
    sa.event.remove(catalog, "before_cursor_execute", note)
    statement, values = asked[-1]
    return str(catalog.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all())
