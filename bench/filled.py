"""Catalogs with many files that no disk has: rows in a random order, as uploads come, and not in that of their names.

A store is filled while it is open: opening one looks for what its rows name.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

FOLDER_FILES: Final = 1_000
SUBJECT: Final = "ann"
_STEP: Final = 611_953
"""A prime: its multiples come to every place of a catalog once, unless the number of places is a multiple of it."""
_FILL: Final = """
    WITH RECURSIVE counted (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counted WHERE n + 1 < :count),
    placed AS (SELECT n, n * :step % :count AS place FROM counted),
    named AS (SELECT n, printf('photos/%04d/IMG_%04d.jpg', place / :folder, place % :folder) AS name FROM placed)
    INSERT INTO files
        (file_id, name, name_key, size, digest, content_type, modified, created, owner, uploader, metadata)
    SELECT lower(hex(randomblob(16))), name, lower(name), coalesce(:size, random() & 0xFFFFFF),
        'sha256:' || lower(hex(randomblob(32))), 'image/jpeg', 1700000000000000 + (random() & 0xFFFFFFFFFF),
        1700000000000000 + n, :owner, :owner, '{}'
    FROM named"""


def add_files(catalog: Path, count: int, size: int | None = None) -> None:
    """`count` files of SUBJECT's, FOLDER_FILES to a folder, of random sizes unless one is given."""
    values = {"count": count, "step": _STEP, "folder": FOLDER_FILES, "owner": SUBJECT, "size": size}
    with closing(sqlite3.connect(catalog, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = -1000000")  # KiB; else each row reads and writes its indexes anew
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(_FILL, values)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def name_at(place: int) -> str:
    """The name of the file before which so many come in the order of names."""
    return f"photos/{place // FOLDER_FILES:04}/IMG_{place % FOLDER_FILES:04}.jpg"
