"""What is dropped for being silent too long: unfinished uploads with their bytes, and the memory of completed ones."""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage import rows
from storage.catalog import completed, uploads
from storage.recovery import note_alive


def drop_silent(connection: Connection, now: datetime, pending_expiry: float, connected: set[str]) -> int:
    """Drop what was silent for `pending_expiry` seconds and is not `connected`; returns how many uploads that were.
    Their objects go to `deleting`. Notes that the store is alive."""
    before = now - timedelta(seconds=pending_expiry)
    silent = connection.execute(
        sa.select(uploads.c.upload_id, uploads.c.object_id).where(uploads.c.active < before)
    ).all()
    dropped = [row for row in silent if row.upload_id not in connected]
    for row in dropped:
        connection.execute(sa.delete(uploads).where(uploads.c.upload_id == row.upload_id))
    rows.dispose(connection, [row.object_id for row in dropped])
    connection.execute(sa.delete(completed).where(completed.c.at < before))
    note_alive(connection, now)
    return len(dropped)
