"""Rows of unfinished uploads and of their leaves: what is recorded of them, and under whose epoch.

Nothing here touches a disk or decides when; every function takes an open connection.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from storage import events, quota_rows
from storage.errors import Fenced, NotFound
from storage.file_rows import FILE_COLUMNS, disposable, dispose, occupant, stored_file
from storage.quota import is_limited
from storage.schema import completed, files, leaves, uploads
from storage.store import IfExists, Published, UnfinishedUpload, UploadRequest
from transfer.protocol.leaves import ABSENT, CHECKSUM_BYTES, Tail
from transfer.protocol.names import Name
from transfer.protocol.ranges import RangeSet

LEAVES_PER_SEGMENT = 64


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
