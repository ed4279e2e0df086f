"""Pages of a listing: the order of files and the cursors between pages.

A cursor is where the page before ended: the last file's sort value and its name. So a page begins after that place
whatever was published, renamed or deleted meanwhile. To clients it is opaque; what comes back from them is untrusted.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from storage.store import FilePage, FileQuery, SortKey, StoredFile
from transfer.protocol.names import Name

MAX_CURSOR_LENGTH: Final = 4_096
_MAX_INTEGER: Final = (1 << 63) - 1
_FOLDER: Final = "folder"
_NOT_OURS: Final = "the cursor is not one of this listing"
_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a listing. `value` is what was sorted by: None where that is the name, or an absent `modified`."""

    value: int | datetime | None
    name: str

    @property
    def rank(self) -> tuple[int, str]:
        """What positions of one listing are compared by: None comes first, names settle ties by code point."""
        if isinstance(self.value, datetime):
            return (self.value - _BEGINNING) // timedelta(microseconds=1), self.name
        return -1 if self.value is None else self.value, self.name

    def follows(self, other: "Position", query: FileQuery) -> bool:
        """Whether this place is after `other` in the order of `query`."""
        return self.rank < other.rank if query.descending else self.rank > other.rank


def position_of(file: StoredFile, sort: SortKey) -> Position:
    """Where `file` stands in a listing sorted by `sort`."""
    values = {"name": None, "size": file.size, "created": file.created, "modified": file.modified}
    return Position(values[sort], file.name.value)


def make_cursor(query: FileQuery, last: StoredFile) -> str:
    """The cursor for the page after the one that `last` ends."""
    position = position_of(last, query.sort)
    value = position.value.astimezone(UTC).isoformat() if isinstance(position.value, datetime) else position.value
    text = f"{query.sort}\n{'' if value is None else value}\n{position.name}"  # no name has a line break
    return _spelled(text)


def read_cursor(query: FileQuery) -> Position | None:
    """The place after which the page begins; None for the first page.

    Raises ValueError for anything that `make_cursor` did not make for a query sorted by the same key.
    """
    if query.cursor is None:
        return None
    sort, value, name = _cursor_fields(query.cursor)
    if sort != query.sort:
        raise ValueError(_NOT_OURS)
    try:
        return Position(_read_value(query.sort, value), Name(name).value)
    except ValueError as refused:
        raise ValueError(_NOT_OURS) from refused


def _spelled(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _cursor_fields(cursor: str) -> tuple[str, str, str]:
    try:
        if len(cursor) > MAX_CURSOR_LENGTH:
            raise ValueError(f"a cursor of {len(cursor)} characters")
        padded = cursor + "=" * (-len(cursor) % 4)
        sort, value, name = base64.b64decode(padded, altchars=b"-_", validate=True).decode().split("\n")
    except ValueError as refused:
        raise ValueError(_NOT_OURS) from refused
    return sort, value, name


def _read_value(sort: SortKey, text: str) -> int | datetime | None:
    if sort == "name" or (sort == "modified" and not text):
        if text:
            raise ValueError(f"a value {text!r} beside the name")
        return None
    if sort == "size":
        if not 0 <= (size := int(text)) <= _MAX_INTEGER:
            raise ValueError(f"a size of {size}")
        return size
    moment = datetime.fromisoformat(text)
    if moment.utcoffset() != timedelta(0):
        raise ValueError(f"{text!r} is not a time in UTC")
    return moment


# --------------------------------------------------------------------------------------------------- folder by folder


def folder_of(name: str, prefix: str) -> str | None:
    """The folder on the level of `prefix` that this name is in, `/` included; None for a file of that level itself."""
    end = name.find("/", len(prefix))
    return None if end < 0 else name[: end + 1]


def page_by_folder(
    query: FileQuery, folders: Callable[[str, int], list[str]], files: Callable[[FileQuery], FilePage]
) -> FilePage:
    """A page of one level: its folders first, then its files in the order of `query`.

    `folders(last, count)` gives the first `count` that come after `last` by name, `files(query)` a page of files alone.
    Raises ValueError for a cursor that is none.
    """
    last = _read_folder_cursor(query)
    if last is None:
        return files(query)
    page = folders(last, query.limit + 1)
    if len(page) > query.limit:
        return FilePage([], _folder_cursor(page[-2]), page[:-1])
    room = query.limit - len(page)
    rest = files(replace(query, cursor=None, limit=max(1, room)))
    if room:
        return FilePage(rest.files, rest.next, page)
    return FilePage([], _folder_cursor(page[-1]) if rest.files else None, page)


def _folder_cursor(last: str) -> str:
    return _spelled(f"{_FOLDER}\n\n{last}")


def _read_folder_cursor(query: FileQuery) -> str | None:
    """The folder after which the page begins: "" for the first page, None for one that begins among the files."""
    if query.cursor is None:
        return ""
    key, _, folder = _cursor_fields(query.cursor)
    if key != _FOLDER:
        return None
    try:
        return f"{Name(folder.removesuffix('/'))}/"
    except ValueError as refused:
        raise ValueError(_NOT_OURS) from refused
