"""What is dropped for being silent too long: unfinished uploads with their bytes, and the memory of completed ones, and
of links that have ended."""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage import file_rows, grant_rows, upload_rows
from storage.events import Upload
from storage.recovery import note_alive
from storage.schema import completed, uploads


def drop_silent(connection: Connection, now: datetime, pending_expiry: float, connected: set[str]) -> list[Upload]:
    """Drop what was silent for `pending_expiry` seconds; returns which uploads that were. Their objects go to
    `deleting`. Notes that the store is alive, and that what is `connected` is not silent: if this process dies now,
    their silence begins now."""
    before = now - timedelta(seconds=pending_expiry)
    connection.execute(sa.update(uploads).where(uploads.c.upload_id.in_(connected)).values(active=now))
    silent = connection.execute(sa.select(uploads).where(uploads.c.active < before)).all()
    for row in silent:
        connection.execute(sa.delete(uploads).where(uploads.c.upload_id == row.upload_id))
    file_rows.dispose(connection, [row.object_id for row in silent])
    connection.execute(sa.delete(completed).where(completed.c.at < before))
    grant_rows.forget_links(connection, now)
    note_alive(connection, now)
    return [upload_rows.upload_event(row) for row in silent]
