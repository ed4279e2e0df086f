"""Rows of a page of files: which of them a query means, and by which index they are found."""

from datetime import datetime
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.elements import ColumnElement, UnaryExpression
from sqlalchemy.sql.operators import custom_op

from storage.file_rows import FIND_FILES, stored_file
from storage.listing import Position, make_cursor, page_by_folder, read_cursor
from storage.schema import NEVER, Moment, files
from storage.store import FilePage, FileQuery, SortKey

T = TypeVar("T")
FEW: Final = 1_000
"""Files that are as quickly sorted as looked for in a long index."""
SORTED_BY: Final[dict[SortKey, sa.Column[Any]]] = {
    "name": files.c.name,
    "size": files.c.size,
    "created": files.c.created,
    "modified": files.c.modified_or_never,
}


def list_files(connection: Connection, query: FileQuery) -> FilePage:
    """One page by keyset. Raises ValueError for a cursor that is none."""
    if query.by_folder:
        return page_by_folder(
            query,
            lambda last, count: list_folders(connection, query, last, count),
            lambda query: _list_files(connection, query),
        )
    return _list_files(connection, query)


def _list_files(connection: Connection, query: FileQuery) -> FilePage:
    position = read_cursor(query)
    select = _by_name(query, position) if query.sort == "name" else _by_value(connection, query, position)
    rows = connection.execute(select.limit(query.limit + 1)).all()
    page = [stored_file(row) for row in rows[: query.limit]]
    more = len(rows) > query.limit
    return FilePage(page, make_cursor(query, page[-1]) if more else None)


def may_take_long(query: FileQuery) -> bool:
    """Whether more than the rows of the page may have to be looked at: as many as there are."""
    return bool(query.contains) or query.sort != "name" or query.by_folder


def _by_name(query: FileQuery, position: Position | None) -> sa.Select[Any]:
    last = None if position is None else position.name
    select = FIND_FILES.where(*_matching(query, files.c.name, last))
    return select.order_by(files.c.name.desc() if query.descending else files.c.name)


def _by_value(connection: Connection, query: FileQuery, position: Position | None) -> sa.Select[Any]:
    """Few files are found by their names and sorted then; what many match is read along the index of the values."""
    name: ColumnElement[str] = files.c.name
    column: ColumnElement[Any] = SORTED_BY[query.sort]
    if _are_few(connection, query):
        column = _from_no_index(column)
    else:
        name = _from_no_index(name)
    select = FIND_FILES.where(*_matching(query, name, None))
    if position is not None:
        select = select.where(_after(query, column, position))
    order = (column, files.c.name)
    return select.order_by(*(key.desc() if query.descending else key for key in order))


def _are_few(connection: Connection, query: FileQuery) -> bool:
    if not (query.prefix or query.within or query.contains or query.by_folder):
        return False
    found = sa.select(files.c.file_id).where(*_matching(query, files.c.name, None)).limit(FEW + 1)
    count: int = connection.execute(sa.select(sa.func.count()).select_from(found.subquery())).scalar_one()
    return count <= FEW


def _matching(query: FileQuery, name: ColumnElement[str], last: str | None) -> list[ColumnElement[bool]]:
    """The conditions that a query makes, on `name`, of which the page before showed those up to `last`.

    There is one bound a side: SQLite enters an index at the first of several, whichever leaves more to read.
    """
    start, end = _bounds(query)
    conditions = [name >= start]
    if last is not None and query.descending:
        end = last if end is None else min(last, end)
    elif last is not None and last >= start:
        conditions = [name > last]
    if end is not None:
        conditions.append(name < end)
    if query.by_folder:
        conditions.append(_folder_end(query, files.c.name) == 0)
    return conditions + _searching(query)


def _bounds(query: FileQuery) -> tuple[str, str | None]:
    """The smallest text that names of the query may be, and the one that they are smaller than."""
    ends = map(_after_prefix, (query.prefix, query.within))
    return max(query.prefix, query.within), min(filter(None, ends), default=None)


def list_folders(connection: Connection, query: FileQuery, last: str, count: int) -> list[str]:
    """The first `count` folders on the level of the query's prefix that come after `last`.

    A name in one folder is found from that in the one before by one step over all that this has in it. What is looked
    at one by one are the level's own files, and where the query searches, names without a match.
    """
    start, end = _bounds(query)
    beyond = sa.literal(max(start, _beyond(last)))
    found = sa.select(_first_name(query, beyond, end).label("name")).cte("found", recursive=True)
    folder = sa.func.substr(found.c.name, 1, len(query.prefix) + _folder_end(query, found.c.name))
    following = _first_name(query, sa.func.rtrim(folder, "/") + "0", end)
    found = found.union_all(sa.select(following).where(found.c.name.is_not(None)))
    folder = sa.func.substr(found.c.name, 1, len(query.prefix) + _folder_end(query, found.c.name))
    return list(connection.execute(sa.select(folder).where(found.c.name.is_not(None)).limit(count)).scalars())


def _first_name(query: FileQuery, start: ColumnElement[str], end: str | None) -> sa.ScalarSelect[str]:
    """The first name from `start` on that is in a folder."""
    conditions = [files.c.name >= start, _folder_end(query, files.c.name) > 0, *_searching(query)]
    if end is not None:
        conditions.append(files.c.name < end)
    return sa.select(files.c.name).where(*conditions).order_by(files.c.name).limit(1).scalar_subquery()


def _folder_end(query: FileQuery, name: ColumnElement[str]) -> ColumnElement[int]:
    """Where the first `/` after the prefix is, counted from there and from 1; 0 where there is none."""
    end: ColumnElement[int] = sa.func.instr(sa.func.substr(name, len(query.prefix) + 1), "/")
    return end


def _beyond(folder: str) -> str:
    """The smallest text after all names in a folder: "0" follows "/"."""
    return f"{folder.removesuffix('/')}0" if folder else ""


def _searching(query: FileQuery) -> list[ColumnElement[bool]]:
    return [files.c.name_key.contains(query.contains.casefold(), autoescape=True)] if query.contains else []


def _after_prefix(prefix: str) -> str | None:
    """The smallest text after all that begin with `prefix`, in code point order; None where there is none."""
    while prefix and ord(prefix[-1]) == 0x10FFFF:
        prefix = prefix[:-1]
    if not prefix:
        return None
    following = ord(prefix[-1]) + 1
    return prefix[:-1] + chr(0xE000 if following == 0xD800 else following)


def _after(query: FileQuery, column: ColumnElement[Any], position: Position) -> ColumnElement[bool]:
    """An index of both is entered where a pair belongs (rowvalue.html, "Scrolling Window Queries")."""
    value = NEVER if position.value is None else position.value
    kind = Moment() if isinstance(value, datetime) else column.type
    place, last = sa.tuple_(column, files.c.name), sa.tuple_(sa.literal(value, kind), sa.literal(position.name))
    return place < last if query.descending else place > last


def _from_no_index(column: ColumnElement[T]) -> ColumnElement[T]:
    """The same column, but not for choosing an index (optoverview.html, "Disqualifying WHERE Clause Terms")."""
    return UnaryExpression(column, operator=custom_op("+"), type_=column.type)
