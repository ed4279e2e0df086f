"""What is there after a crash and a recovery: what the server lists, what its catalog says, what is on the disk.

The catalog is read with a connection of our own and objects are read as files: a client would mend a loss by sending
the bytes again, and nobody would have seen it.
"""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import client
from transfer.protocol.digest import Digest

Read = Callable[[str], bytes]
"""The bytes of an object."""


class Listed(NamedTuple):
    """A file in the listing."""

    size: int
    digest: Digest
    object_id: str


class Unfinished(NamedTuple):
    """An upload that can be resumed at `offset`, the furthest of whose durable bytes ends at `furthest`."""

    name: str
    offset: int
    furthest: int
    object_id: str


@dataclass(slots=True, kw_only=True)
class Aftermath:
    """What the next start has found. Nobody may write meanwhile."""

    files: dict[str, Listed] = field(default_factory=dict)
    """By their names."""
    uploads: dict[str, Unfinished] = field(default_factory=dict)
    """By their ids."""
    objects: dict[str, int] = field(default_factory=dict)
    """What lies in the folder, and how long it is."""
    quarantined: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Uploads of which less was there than the catalog says: names by their objects."""
    read: Read

    @property
    def strays(self) -> set[str]:
        """Objects that no row names: recovery deletes what it understands."""
        files = {file.object_id for file in self.files.values()}
        return self.objects.keys() - files - {row.object_id for row in self.uploads.values()} - self.failed.keys()


async def look(url: str, data: Path) -> Aftermath:
    """What the server at `url` lists, and what is in its folder."""
    with closing(sqlite3.connect(f"file:{data / 'catalog.db'}?mode=ro", uri=True)) as catalog:
        ids: dict[str, str] = dict(catalog.execute("SELECT name, file_id FROM files"))
        rows = catalog.execute("SELECT upload_id, name, object_id, durable FROM uploads WHERE NOT failed").fetchall()
        failed: dict[str, str] = dict(catalog.execute("SELECT object_id, name FROM uploads WHERE failed"))
    listed = {str(file.name): file for file in await client.list_files(url)}
    assert listed.keys() == ids.keys(), "the listing and the catalog differ"
    paths = {path.name: path for path in (data / "objects").glob("*/*")}
    return Aftermath(
        files={name: Listed(file.size, file.digest, ids[name]) for name, file in listed.items()},
        uploads={upload_id: _unfinished(name, object_id, durable) for upload_id, name, object_id, durable in rows},
        objects={name: path.stat().st_size for name, path in paths.items()},
        quarantined=[path.name for path in (data / "quarantine").iterdir()],
        failed=failed,
        read=lambda object_id: paths[object_id].read_bytes() if object_id in paths else b"",
    )


def _unfinished(name: str, object_id: str, durable: str) -> Unfinished:
    ranges: list[tuple[int, int]] = json.loads(durable)
    offset = ranges[0][1] if ranges and ranges[0][0] == 0 else 0
    return Unfinished(name, offset, ranges[-1][1] if ranges else 0, object_id)
