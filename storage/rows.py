"""Rows of the catalog and what they mean: the statements of the local store, each run inside a transaction.

Nothing here touches a disk or decides when; every function takes an open connection.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row
from sqlalchemy.sql.elements import ColumnElement, UnaryExpression
from sqlalchemy.sql.operators import custom_op

from storage import events, quota_rows
from storage.catalog import NEVER, Moment, completed, deleting, files, leaves, uploads
from storage.errors import Fenced, NameTaken, NotFound
from storage.listing import Position, make_cursor, page_by_folder, read_cursor
from storage.naming import Occupant, Settled, settle
from storage.quota import is_limited, outgrows
from storage.store import FilePage, FileQuery, IfExists, Published, SortKey, StoredFile, UnfinishedUpload, UploadRequest
from transfer.protocol.digest import Digest
from transfer.protocol.leaves import ABSENT, CHECKSUM_BYTES, Tail
from transfer.protocol.names import Name
from transfer.protocol.ranges import RangeSet

T = TypeVar("T")
LEAVES_PER_SEGMENT = 64
FEW: Final = 1_000
"""Files that are as quickly sorted as looked for in a long index."""
SORTED_BY: Final[dict[SortKey, sa.Column[Any]]] = {
    "name": files.c.name,
    "size": files.c.size,
    "created": files.c.created,
    "modified": files.c.modified_or_never,
}
FILE_COLUMNS: Final[tuple[sa.Column[Any], ...]] = (
    files.c.file_id,
    files.c.name,
    files.c.size,
    files.c.digest,
    files.c.content_type,
    files.c.modified,
    files.c.created,
    files.c.owner,
    files.c.uploader,
    files.c.via,
    files.c.metadata,
)
"""What `stored_file` reads, in this order."""
FIND_FILES: Final = sa.select(*FILE_COLUMNS)
_INSERT_FILE = sa.insert(files)
_ASKED = sa.func.json_each(sa.bindparam("names", type_=sa.JSON)).table_valued("value")
_FILES_OF_NAMES = FIND_FILES.where(files.c.name.in_(sa.select(_ASKED.c.value)))

# ------------------------------------------------------------------------------------------------------- files


def stored_file(row: Row[*tuple[Any, ...]]) -> StoredFile:
    """Of a row that begins with FILE_COLUMNS. It is taken apart at once: asking it for each column takes longer than
    all that is made of them."""
    file_id, name, size, digest, content_type, modified, created, owner, uploader, via, metadata, *_ = row
    return StoredFile(
        file_id=file_id,
        name=Name.kept(name),
        size=size,
        digest=Digest.kept(digest),
        content_type=content_type,
        modified=modified,
        created=created,
        owner=owner,
        uploader=uploader,
        via=via,
        metadata=metadata,
    )


def find_file(connection: Connection, name: Name) -> StoredFile | None:
    row = connection.execute(FIND_FILES.where(files.c.name == name.value)).one_or_none()
    return None if row is None else stored_file(row)


def find_files(connection: Connection, names: Iterable[Name]) -> dict[Name, StoredFile]:
    """Those of the names that files have, in exactly this spelling."""
    found = connection.execute(_FILES_OF_NAMES, {"names": [name.value for name in names]})
    return {file.name: file for file in map(stored_file, found)}


def find_file_by_id(connection: Connection, file_id: str) -> StoredFile | None:
    row = connection.execute(FIND_FILES.where(files.c.file_id == file_id)).one_or_none()
    return None if row is None else stored_file(row)


def file_is_there(connection: Connection, file_id: str) -> bool:
    return connection.execute(sa.select(files.c.file_id).where(files.c.file_id == file_id)).first() is not None


def occupant(connection: Connection, name: Name, moving: str | None = None) -> Occupant | None:
    """What stands in the way of `name`, but for the file with the id `moving`: names are one namespace, and `a`
    excludes `a/b`."""
    others = files.c.file_id != (moving or "")
    row = connection.execute(FIND_FILES.where(files.c.name_key == name.key, others)).one_or_none()
    if row is not None:
        return Occupant(file=stored_file(row))
    below = (files.c.name_key > name.key + "/") & (files.c.name_key < name.key + "0")  # "0" follows "/"
    near = connection.execute(
        sa.select(files.c.name).where(files.c.name_key.in_(name.parents) | below, others).limit(1)
    ).scalar_one_or_none()
    return None if near is None else Occupant(conflict=Name.parse(near))


def publish(
    connection: Connection,
    request: UploadRequest,
    digest: Digest,
    size: int,
    object_id: str,
    now: datetime,
    *,
    promised: bool = False,
) -> Published:
    """Make the object a file, or find that it is there already. What is not needed any more goes to `deleting`.
    `promised` bytes were counted as an upload's until now. Raises NameTaken, NotYours, QuotaExceeded; who calls rolls
    back then."""
    settled: Settled = settle(request, digest, lambda name: occupant(connection, name))
    if settled.unchanged is not None:
        dispose(connection, [object_id])
        return Published(settled.unchanged, unchanged=True)
    if settled.replaced is not None:
        delete_file(connection, settled.replaced)
    file = new_file(request, settled.name, digest, size, object_id, now)
    insert_files(connection, [file])
    # who was to replace a file was promised its bytes too, and it may be gone
    unpromised = not promised or request.if_exists == "replace"
    if unpromised and outgrows(request, size, settled.replaced):
        quota_rows.check(connection, request, size)
    return Published(file, replaced=settled.replaced)


def new_file(
    request: UploadRequest, name: Name, digest: Digest, size: int, object_id: str, now: datetime
) -> StoredFile:
    """What the request's content becomes under this name."""
    return StoredFile(
        file_id=object_id,
        name=name,
        size=size,
        digest=digest,
        content_type=request.content_type,
        modified=request.modified,
        created=now,
        owner=request.account,
        uploader=request.owner,
        via=request.via,
        metadata=request.metadata,
    )


def insert_files(connection: Connection, new: Sequence[StoredFile]) -> None:
    """Rows of files whose names are free."""
    if new:
        connection.execute(_INSERT_FILE, [_file_values(file) for file in new])


def _file_values(file: StoredFile) -> dict[str, Any]:
    return {
        "file_id": file.file_id,
        "name": file.name.value,
        "name_key": file.name.key,
        "size": file.size,
        "digest": str(file.digest),
        "content_type": file.content_type,
        "modified": file.modified,
        "created": file.created,
        "owner": file.owner,
        "metadata": file.metadata,
        "uploader": file.uploader,
        "via": file.via,
    }


def rename_file(connection: Connection, name: Name, new_name: Name) -> StoredFile:
    file = find_file(connection, name)
    if file is None:
        raise NotFound(f"the file {str(name)!r}")
    taken = occupant(connection, new_name, moving=file.file_id)
    if taken is not None:
        raise NameTaken(new_name, taken.file, taken.conflict)
    connection.execute(
        sa.update(files).where(files.c.file_id == file.file_id).values(name=new_name.value, name_key=new_name.key)
    )
    renamed = find_file(connection, new_name)
    assert renamed is not None
    return renamed


def delete_file(connection: Connection, file: StoredFile) -> None:
    connection.execute(sa.delete(files).where(files.c.file_id == file.file_id))
    dispose(connection, [file.file_id])


def dispose(connection: Connection, object_ids: Iterable[str]) -> None:
    """These objects are to be unlinked, now or by the next recovery."""
    for object_id in object_ids:
        connection.execute(sa.delete(leaves).where(leaves.c.object_id == object_id))
        connection.execute(sa.insert(deleting).prefix_with("OR IGNORE").values(object_id=object_id))


def disposable(connection: Connection) -> list[str]:
    """The objects that are to be unlinked."""
    return list(connection.execute(sa.select(deleting.c.object_id)).scalars())


def disposed(connection: Connection, object_ids: Iterable[str]) -> None:
    """They are unlinked."""
    if gone := [{"gone": object_id} for object_id in object_ids]:
        connection.execute(sa.delete(deleting).where(deleting.c.object_id == sa.bindparam("gone")), gone)


# ----------------------------------------------------------------------------------------------------- listing


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


# ----------------------------------------------------------------------------------------------------- uploads


def find_upload(connection: Connection, upload_id: str, owner: str, within: str = "") -> Row[Any]:
    """The row of an unfinished upload. Raises NotFound: the same for another owner's, for a failed one, and for one
    whose name does not begin with `within`."""
    row = connection.execute(
        sa.select(uploads).where(
            uploads.c.upload_id == upload_id, uploads.c.owner == owner, uploads.c.failed.is_(False)
        )
    ).one_or_none()
    if row is None or not row.name.startswith(within):
        raise NotFound("this upload")
    return row


def find_completed(connection: Connection, upload_id: str, owner: str) -> Published | None:
    row = connection.execute(
        sa.select(*FILE_COLUMNS, completed.c.unchanged, completed.c.wanted)
        .join(completed, completed.c.file_id == files.c.file_id)
        .where(completed.c.upload_id == upload_id, completed.c.owner == owner)
    ).one_or_none()
    if row is None:
        return None
    wanted = None if row.wanted is None else Name.parse(row.wanted)
    return Published(stored_file(row), unchanged=row.unchanged, wanted=wanted)


def most_recent_upload(connection: Connection, name: Name, owner: str) -> str | None:
    found = sa.select(uploads.c.upload_id).where(
        uploads.c.owner == owner, uploads.c.name == name.value, uploads.c.failed.is_(False)
    )
    return connection.execute(
        found.order_by(uploads.c.active.desc(), uploads.c.created.desc()).limit(1)
    ).scalar_one_or_none()


def unfinished(connection: Connection, owner: str, pending_expiry: float) -> list[UnfinishedUpload]:
    """The owner's, the most recently active first."""
    found = sa.select(uploads).where(uploads.c.owner == owner, uploads.c.failed.is_(False))
    return [
        UnfinishedUpload(
            upload_id=row.upload_id,
            name=Name.parse(row.name),
            size=row.size,
            offset=ranges_of(row.durable).leading,
            created=row.created,
            active=row.active,
            expires=row.active + timedelta(seconds=pending_expiry),
        )
        for row in connection.execute(found.order_by(uploads.c.active.desc(), uploads.c.created.desc()))
    ]


def upload_event(row: Row[Any]) -> events.Upload:
    """An upload as events tell of it."""
    return events.Upload(row.upload_id, Name.parse(row.name), row.size, ranges_of(row.durable).leading, row.subject)


def count_unfinished(connection: Connection, request: UploadRequest) -> int:
    """How many its owner has; or of one that comes through a link, how many came through that, whoever's they are:
    owners are what visitors call themselves."""
    whose = uploads.c.owner == request.owner if request.via is None else uploads.c.via == request.via
    found = sa.select(sa.func.count()).where(whose, uploads.c.failed.is_(False))
    count: int = connection.execute(found).scalar_one()
    return count


def request_values(request: UploadRequest) -> dict[str, Any]:
    """The columns that the newest header sets."""
    return {
        "name": request.name.value,
        "size": request.size,
        "if_exists": request.if_exists,
        "digest_algorithm": request.digest_algorithm,
        "content_type": request.content_type,
        "modified": request.modified,
        "metadata": request.metadata,
        "within": request.within,
        "may_compare": request.may_compare,
        "may_replace": request.may_replace,
        **account_values(request),
    }


def account_values(request: UploadRequest) -> dict[str, Any]:
    """The columns that say against what an upload counts."""
    return {
        "subject": request.account,
        "via": request.via,
        "quota": request.quota,
        "via_quota": request.via_quota,
    }


def check_promise(connection: Connection, request: UploadRequest, reserved: int) -> None:
    """Whether the upload, whose row says that it has `reserved` bytes now, is within its quotas: less the file that it
    is to replace, or nobody could replace a file of half their quota. Raises QuotaExceeded; roll back then."""
    if is_limited(request):
        there = occupant(connection, request.name) if request.if_exists == "replace" else None
        quota_rows.check(connection, request, reserved, None if there is None else there.file)


def durable_values(durable: RangeSet, tail: Tail, size: int | None) -> dict[str, Any]:
    """The columns that a durable point sets. An upload counts with its size against quotas, a stream with what is
    durable of it."""
    return {
        "durable": ranges_json(durable),
        "tail_length": tail.length,
        "tail_checksum": tail.checksum,
        "reserved": durable.total if size is None else size,
    }


def request_of(row: Row[Any]) -> UploadRequest:
    if_exists: IfExists = row.if_exists
    return UploadRequest(
        name=Name.parse(row.name),
        size=row.size,
        owner=row.owner,
        subject=row.subject,
        via=row.via,
        quota=row.quota,
        via_quota=row.via_quota,
        within=row.within,
        may_compare=row.may_compare,
        may_replace=row.may_replace,
        if_exists=if_exists,
        digest_algorithm=row.digest_algorithm,
        modified=row.modified,
        content_type=row.content_type,
        metadata=row.metadata,
    )


def update_upload(connection: Connection, upload_id: str, epoch: int, values: dict[str, Any]) -> None:
    """Change an upload's row as the holder of `epoch`. Raises Fenced when it is somebody else's, or gone."""
    changed = connection.execute(
        sa.update(uploads).where(uploads.c.upload_id == upload_id, uploads.c.epoch == epoch).values(values)
    )
    if changed.rowcount != 1:
        raise Fenced


_DURABLE_COLUMNS = ("durable", "tail_length", "tail_checksum", "reserved", "active")
_DURABLE_POINT = (
    sa.update(uploads)
    .where(uploads.c.upload_id == sa.bindparam("of_upload"), uploads.c.epoch == sa.bindparam("of_epoch"))
    .values({name: sa.bindparam(name) for name in _DURABLE_COLUMNS})
)
"""Made once: making and looking up a statement costs several times as much as running it, and this one runs whenever
something is acknowledged."""


def record_durable(
    connection: Connection, upload_id: str, epoch: int, durable: RangeSet, tail: Tail, size: int | None, now: datetime
) -> None:
    """A durable point of the holder of `epoch`. Raises Fenced when the upload is somebody else's, or gone."""
    values = durable_values(durable, tail, size) | {"active": now, "of_upload": upload_id, "of_epoch": epoch}
    if connection.execute(_DURABLE_POINT, values).rowcount != 1:
        raise Fenced


def note_active(connection: Connection, upload_id: str, epoch: int, now: datetime) -> int:
    """Returns the furthest durable byte. Raises Fenced."""
    update_upload(connection, upload_id, epoch, {"active": now})
    durable = connection.execute(sa.select(uploads.c.durable).where(uploads.c.upload_id == upload_id)).scalar_one()
    return ranges_of(durable).furthest


def remove_upload(connection: Connection, upload_id: str, epoch: int) -> None:
    """Raises Fenced."""
    gone = connection.execute(sa.delete(uploads).where(uploads.c.upload_id == upload_id, uploads.c.epoch == epoch))
    if gone.rowcount != 1:
        raise Fenced


def drop_upload(connection: Connection, upload_id: str, owner: str, within: str) -> list[str]:
    """Remove an upload whoever has its lease; returns what is to be unlinked. Raises NotFound."""
    row = find_upload(connection, upload_id, owner, within)
    remove_upload(connection, upload_id, row.epoch)
    dispose(connection, [row.object_id])
    return disposable(connection)


def ranges_json(ranges: RangeSet) -> list[list[int]]:
    return [list(piece) for piece in ranges]


def ranges_of(durable: list[list[int]]) -> RangeSet:
    return RangeSet.of(*((start, end) for start, end in durable))


def tail_of(row: Row[Any]) -> Tail:
    return Tail(row.tail_length, row.tail_checksum)


# ------------------------------------------------------------------------------------------------------ leaves


def load_leaves(connection: Connection, object_id: str) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for segment, joined in connection.execute(
        sa.select(leaves.c.segment, leaves.c.checksums).where(leaves.c.object_id == object_id)
    ):
        for place in range(LEAVES_PER_SEGMENT):
            checksum = joined[place * CHECKSUM_BYTES : (place + 1) * CHECKSUM_BYTES]
            if checksum != ABSENT:
                found[segment * LEAVES_PER_SEGMENT + place] = checksum
    return found


_SEGMENT = sa.insert(leaves).prefix_with("OR REPLACE")
"""Made once, as `_DURABLE_POINT` is."""


def save_leaves(connection: Connection, object_id: str, known: dict[int, bytes], changed: Iterable[int]) -> None:
    """Write the segments that hold the `changed` leaves anew from what is `known`."""
    for segment in sorted({index // LEAVES_PER_SEGMENT for index in changed}):
        first = segment * LEAVES_PER_SEGMENT
        joined = b"".join(known.get(index, ABSENT) for index in range(first, first + LEAVES_PER_SEGMENT))
        values = {"object_id": object_id, "segment": segment, "checksums": joined}
        connection.execute(_SEGMENT, values)
