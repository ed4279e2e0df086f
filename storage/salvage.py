"""A store whose catalog is lost becomes one again: its published contents are files named by their digests.

| found                                    | becomes                                                     |
| ---------------------------------------- | ----------------------------------------------------------- |
| a catalog that is this store's           | kept; only `store.json` is written anew                     |
| another catalog, or one that is damaged  | set aside in `quarantine/catalog-1/`                        |
| a published object                       | the file `recovered/sha256-<hex>`                           |
| another object of the same content       | set aside in `quarantine/`                                  |
| tokens, share links and request links    | gone with the catalog: they are made anew                   |
| an unfinished object                     | set aside in `quarantine/`: nothing says which bytes of it are there |

Nothing is deleted. A new catalog grows in `catalog.db.new`, with a commit for every few contents that were hashed, and
takes its name last but for `store.json`; so after a kill at any moment the next run goes on. A catalog is this
store's when it is sound and names an object that lies here.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage import file_rows
from storage.connecting import connected, migrate, open_alone, open_beside
from storage.errors import StoreRefused
from storage.objects import Objects, ObjectStatus, sync_folder
from storage.opening import (
    UnknownFormat,
    bear_id,
    borne_id,
    check_store,
    holds_objects,
    lock_folder,
    make_folders,
    new_store_id,
    read_identity,
    write_identity,
)
from storage.progress import Progress
from storage.proof import read_from_disk
from storage.schema import EPOCH, files, uploads
from storage.store import UploadRequest
from transfer.protocol.digest import DEFAULT_ALGORITHM, Digest, digest_of, new_hasher
from transfer.protocol.names import Name
from transfer.protocol.ranges import Range

FOLDER: Final = "recovered"
"""What stands before the names of files that are named by their digests."""
_OWNER_WRITES: Final = 0o200
_NEW: Final = "catalog.db.new"
_CATALOG: Final = ("catalog.db-wal", "catalog.db-shm", "catalog.db-journal", "catalog.db")
"""In the order in which they are set aside: the next run goes on with it as long as the last is there."""
MAX_BATCH: Final = 64
MAX_BATCH_BYTES: Final = 256 << 20
logger = logging.getLogger("towline.recovery")


@dataclass(slots=True)
class Salvaged:
    """What `salvage` found. `kept_catalog`: the names were not lost, only `store.json` was. `unreadable` are ids of
    objects, set aside too."""

    kept_catalog: bool = False
    files: int = 0
    set_aside: int = 0
    unreadable: list[str] = field(default_factory=list)


def salvage(data: Path, owner: str, progress: Progress) -> Salvaged:
    """Make the folder a store again; its files are `owner`'s. Blocks. Raises StoreRefused, also when nothing needs
    recovering; OSError."""
    if not holds_objects(data) and not (data / "catalog.db").exists():
        raise StoreRefused(f"there is nothing to recover in {data}: choose another --data")
    lock = lock_folder(data, f"a server uses the data directory {data}: stop it first")
    try:
        if not _needs_it(data):
            raise StoreRefused(f"nothing needs recovering in {data}: its catalog is there and sound")
        make_folders(data)
        with closing(Objects(data / "objects")) as objects:
            if (store_id := _own_catalog(data, objects)) is not None:
                write_identity(data, store_id)
                return Salvaged(kept_catalog=True)
            return _Salvage(data, objects, owner, progress).run()
    finally:
        os.close(lock)


def _needs_it(data: Path) -> bool:
    """Raises UnknownFormat."""
    try:
        check_store(data, alone=True)
        return not _is_sound(data / "catalog.db")
    except UnknownFormat:
        raise
    except StoreRefused:
        return True


def _is_sound(catalog: Path) -> bool:
    try:
        with connected(open_beside(catalog, alone=True)) as connection:
            return bool(connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one() == "ok")
    except StoreRefused:
        return False


def _own_catalog(data: Path, objects: Objects) -> str | None:
    """The id in the folder's catalog, if that is this store's beyond doubt."""
    catalog = data / "catalog.db"
    if not catalog.exists() or not _is_sound(catalog):
        return None
    try:
        with connected(open_beside(catalog, alone=True)) as connection:
            named = set(connection.execute(sa.select(files.c.file_id)).scalars())
            named |= set(connection.execute(sa.select(uploads.c.object_id)).scalars())
        lying = {status.object_id for status in objects.scan()}
        return borne_id(catalog, alone=True) if named & lying or not lying else None
    except StoreRefused:  # sound, and no catalog of ours
        return None


class _Salvage:
    """Makes a new catalog from what lies in a folder, whose lock is held."""

    def __init__(self, data: Path, objects: Objects, owner: str, progress: Progress) -> None:
        self._data = data
        self._objects = objects
        self._owner = owner
        self._progress = progress
        self._done = Salvaged()

    def run(self) -> Salvaged:
        found = sorted(self._objects.scan())
        published = [status for status in found if not status.mode & _OWNER_WRITES]
        self._begin_catalog()
        self._progress.begin("recovering", sum(status.size for status in published))
        for batch in _batches(published):
            with connected(open_alone(self._data / _NEW)) as connection:
                for status in batch:
                    self._take(connection, status)
        with connected(open_alone(self._data / _NEW)) as connection:
            named = set(connection.execute(sa.select(files.c.file_id)).scalars())
        self._done.files = len(named)
        self._set_aside([status.object_id for status in found if status.object_id not in named])
        self._put_in_place()
        return self._done

    def _begin_catalog(self) -> None:
        """The one of an earlier run goes on, where it is sound."""
        path = self._data / _NEW
        try:
            migrate(path)
            sound = _is_sound(path)
        except StoreRefused:
            sound = False
        if not sound:
            for leftover in self._data.glob(f"{_NEW}*"):
                leftover.unlink()
            migrate(path)

    def _take(self, connection: Connection, status: ObjectStatus) -> None:
        """Hash one content and make it a file, unless it is one already."""
        if file_rows.file_is_there(connection, status.object_id):
            self._progress.advance(status.size)
            return
        try:
            digest, written = self._look_at(status)
        except OSError as failed:
            logger.error("object %s cannot be read: %s", status.object_id, failed)
            self._done.unreadable.append(status.object_id)
        else:
            self._insert(connection, status, digest, written)

    def _look_at(self, status: ObjectStatus) -> tuple[Digest, datetime]:
        descriptor = self._objects.open(status.object_id)
        try:
            hasher = new_hasher(DEFAULT_ALGORITHM)
            for content in read_from_disk(descriptor, Range(0, status.size), self._progress.advance):
                hasher.update(content)
            written = os.fstat(descriptor).st_mtime_ns // 1_000
        finally:
            os.close(descriptor)
        return digest_of(hasher, DEFAULT_ALGORITHM), EPOCH + timedelta(microseconds=written)

    def _insert(self, connection: Connection, status: ObjectStatus, digest: Digest, written: datetime) -> None:
        name = Name(f"{FOLDER}/{digest.algorithm}-{digest.hex}")
        if file_rows.find_file(connection, name) is None:
            request = UploadRequest(name=name, size=status.size, owner=self._owner)
            file_rows.publish(connection, request, digest, status.size, status.object_id, written)

    def _set_aside(self, object_ids: list[str]) -> None:
        for object_id in object_ids:
            self._objects.move_to(object_id, self._data / "quarantine")
        for shard in {object_id[0] for object_id in object_ids}:
            sync_folder(self._data / "objects" / shard)
        sync_folder(self._data / "quarantine")
        self._done.set_aside = len(object_ids)

    def _put_in_place(self) -> None:
        try:
            store_id = read_identity(self._data)
        except StoreRefused:
            store_id = new_store_id()
        bear_id(self._data / _NEW, store_id)
        self._set_catalog_aside()
        (self._data / _NEW).rename(self._data / "catalog.db")
        write_identity(self._data, store_id)

    def _set_catalog_aside(self) -> None:
        """With its log beside it, so that it can still be looked into."""
        names = [name for name in _CATALOG if (self._data / name).exists()]
        if not names:
            return
        number = 1
        while any((self._aside(number) / name).exists() for name in names):
            number += 1
        self._aside(number).mkdir(mode=0o700, exist_ok=True)
        for name in names:
            (self._data / name).rename(self._aside(number) / name)
        sync_folder(self._aside(number))
        sync_folder(self._data / "quarantine")

    def _aside(self, number: int) -> Path:
        return self._data / "quarantine" / f"catalog-{number}"


def _batches(published: list[ObjectStatus]) -> Iterator[list[ObjectStatus]]:
    """What is hashed between two commits."""
    batch: list[ObjectStatus] = []
    for status in published:
        batch.append(status)
        if len(batch) == MAX_BATCH or sum(taken.size for taken in batch) >= MAX_BATCH_BYTES:
            yield batch
            batch = []
    yield batch
