"""What a store does when it opens: make the disk agree with the catalog. It reads no content and may be killed.

| on disk            | in the catalog         | becomes                                      |
| ------------------ | ---------------------- | -------------------------------------------- |
| 0600               | no row                 | deleted: nothing was acknowledged            |
| 0400               | no row                 | moved to quarantine                          |
| longer than a row  | unfinished             | cut to its furthest durable byte             |
| shorter, or absent | unfinished             | the upload is `failed`; an alarm in the log  |
| any                | deleting               | deleted, then the row                        |
| another mode       | unfinished / published | 0600 / 0400                                  |
"""

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage import file_rows, upload_rows
from storage.objects import OPEN_MODE, PUBLISHED_MODE, Objects, ObjectStatus
from storage.schema import EPOCH, completed, deleting, facts, files, uploads

_MICROSECOND: Final = timedelta(microseconds=1)
logger = logging.getLogger("towline.recovery")


@dataclass(slots=True)
class Known:
    """What the catalog says of the objects."""

    unfinished: dict[str, int] = field(default_factory=dict)
    """Object ids, and their furthest durable byte."""
    published: dict[str, int] = field(default_factory=dict)
    """Object ids, and their sizes."""
    deleting: set[str] = field(default_factory=set)


def load_known(connection: Connection) -> Known:
    known = Known()
    for row in connection.execute(sa.select(uploads.c.object_id, uploads.c.durable)):
        known.unfinished[row.object_id] = upload_rows.ranges_of(row.durable).furthest
    for row in connection.execute(sa.select(files.c.file_id, files.c.size)):
        known.published[row.file_id] = row.size
    known.deleting = set(connection.execute(sa.select(deleting.c.object_id)).scalars())
    return known


def mend_objects(objects: Objects, known: Known, quarantine: Path) -> set[str]:
    """Carry the table out; returns the objects of uploads that failed. Blocks. Raises OSError."""
    objects.delete(known.deleting - known.unfinished.keys() - known.published.keys())
    failed, seen = set(), set()
    for status in list(objects.scan()):
        seen.add(status.object_id)
        if status.object_id in known.unfinished:
            if not _mend_unfinished(objects, status, known.unfinished[status.object_id]):
                failed.add(status.object_id)
        elif status.object_id in known.published:
            _mend_published(objects, status, known.published[status.object_id])
        elif status.mode == OPEN_MODE:
            objects.unlink(status.object_id)
        else:
            logger.warning("object %s has no row: moved to quarantine", status.object_id)
            objects.move_to(status.object_id, quarantine)
    for object_id in known.published.keys() - seen:
        logger.error("the content %s of a published file is not on the disk", object_id)
    return failed | _absent(known, seen)


def _absent(known: Known, seen: Iterable[str]) -> set[str]:
    gone = known.unfinished.keys() - set(seen)
    for object_id in gone:
        logger.error("the object %s of an unfinished upload is not on the disk", object_id)
    return gone


def _mend_unfinished(objects: Objects, status: ObjectStatus, furthest: int) -> bool:
    if status.mode != OPEN_MODE:
        objects.chmod(status.object_id, OPEN_MODE)
    if status.size < furthest:
        logger.error("object %s has %d bytes, %d were durable", status.object_id, status.size, furthest)
        return False
    if status.size > furthest:
        descriptor = objects.open(status.object_id, write=True)
        try:
            os.ftruncate(descriptor, furthest)
        finally:
            os.close(descriptor)
    return True


def _mend_published(objects: Objects, status: ObjectStatus, size: int) -> None:
    if status.size != size:
        logger.error("object %s has %d bytes, its file %d", status.object_id, status.size, size)
    if status.mode != PUBLISHED_MODE:
        objects.chmod(status.object_id, PUBLISHED_MODE)


def settle_rows(connection: Connection, known: Known, failed: set[str], now: datetime) -> None:
    """The catalog's part: failed uploads, finished deletions, and the time that this store was not open, which does
    not count as silence: neither of unfinished uploads nor of completed ones, which are remembered as long."""
    for object_id in failed:
        connection.execute(sa.update(uploads).where(uploads.c.object_id == object_id).values(failed=True, reserved=0))
    file_rows.disposed(connection, known.deleting)
    alive = connection.execute(sa.select(facts.c.value).where(facts.c.key == "alive")).scalar_one_or_none()
    downtime = now - (EPOCH + timedelta(microseconds=int(alive))) if alive is not None else timedelta(0)
    if downtime > timedelta(0):
        _move_on(connection, uploads.c.active, downtime, now)
        _move_on(connection, completed.c.at, downtime, now)
    note_alive(connection, now)


def _move_on(connection: Connection, moment: "sa.Column[datetime]", by: timedelta, now: datetime) -> None:
    later = sa.type_coerce(moment, sa.BigInteger) + by // _MICROSECOND
    latest = _microseconds(now)
    connection.execute(sa.update(moment.table).values({moment: sa.case((later > latest, latest), else_=later)}))


def note_alive(connection: Connection, now: datetime) -> None:
    values = {"key": "alive", "value": str(_microseconds(now))}
    connection.execute(sa.insert(facts).prefix_with("OR REPLACE").values(values))


def _microseconds(moment: datetime) -> int:
    """As the catalog keeps it."""
    return (moment - EPOCH) // _MICROSECOND
