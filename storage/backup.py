"""A copy of a store that may be in use: the catalog first, as of one moment, then the contents that it names.

The copy grows in `<target>.unfinished` and takes its own name last of all, whole and synced, so that nothing else can
be mistaken for it; after a kill the next run goes on with the contents that are there. Published contents are linked
where that is possible (they never change), else copied. Of an unfinished upload the copy keeps what its checksums
prove: what a server is writing anew meanwhile becomes a hole, which the client fills. What was deleted after the
catalog was copied is left out.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from storage import file_rows, upload_rows
from storage.connecting import connected, open_alone, open_beside
from storage.errors import StoreRefused
from storage.objects import OPEN_MODE, PUBLISHED_MODE, SHARDS, Objects, sync_folder, write_all
from storage.opening import check_store, lock_folder, make_folders, write_identity
from storage.progress import Progress
from storage.proof import damaged_pieces, read_from_disk, recorded_pieces
from storage.schema import completed, deleting, files, leaves, uploads
from storage.store import StoredFile
from storage.writer import ObjectState
from transfer.protocol.leaves import NO_TAIL
from transfer.protocol.names import Name
from transfer.protocol.ranges import Range, RangeSet

UNFINISHED: Final = ".unfinished"
"""Stands after the name of a backup that is not whole yet."""
PAGE: Final = 500
_COPYING: Final = "copying"
_CATALOG: Final = {"catalog.db", "catalog.db-journal", "catalog.db-wal", "catalog.db-shm"}
_MADE_ANEW: Final = {"store.json", "store.json.new", _COPYING} | _CATALOG
_OURS: Final = {"serve.lock", "objects", "quarantine"} | _MADE_ANEW


@dataclass(slots=True)
class BackedUp:
    """What is in a backup. `lost` are files that the store still lists, and whose contents its disk does not give."""

    files: int = 0
    uploads: int = 0
    linked_bytes: int = 0
    copied_bytes: int = 0
    lost: list[Name] = field(default_factory=list)


def back_up(data: Path, target: Path, progress: Progress) -> BackedUp:
    """Copy the store in `data` to the folder `target`, which must not be there, or be empty. Blocks. Raises
    StoreRefused, OSError."""
    store_id = check_store(data)
    growing, target = _growing(data, target), target.resolve()
    growing.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = lock_folder(growing, f"another backup to {target} is being made: wait for it, or choose another folder")
    try:
        _check_ours(growing)
        _copy_catalog(data / "catalog.db", growing / "catalog.db")
        with closing(Objects(data / "objects")) as source, closing(_objects_of(growing)) as copies:
            backed_up = _Copy(data, growing, source, copies, progress).run()
        _sync(growing)
        write_identity(growing, store_id)
        growing.rename(target)
        sync_folder(target.parent)
    finally:
        os.close(lock)
    return backed_up


# --------------------------------------------------------------------------------------------------------- the folder


def _growing(data: Path, target: Path) -> Path:
    """The folder in which the backup grows. Raises StoreRefused for a target that cannot be one."""
    if target.is_dir() and target.is_mount():
        raise StoreRefused(f"{target} is where a disk is mounted: choose a folder on it, like {target / 'towline'}")
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise StoreRefused(f"{target} is there already: choose a folder that is not there, or is empty")
    if target.resolve().is_relative_to(data.resolve()):
        raise StoreRefused(f"{target} is inside of {data}: choose a folder outside of it")
    return target.resolve().with_name(target.resolve().name + UNFINISHED)


def _check_ours(growing: Path) -> None:
    """Take out what an earlier run did not finish, but for contents: those stay. Raises StoreRefused."""
    if strange := {path.name for path in growing.iterdir()} - _OURS:
        raise StoreRefused(f"{growing} is no unfinished backup, it holds {min(strange)}: choose another folder")
    for name in _MADE_ANEW:
        (growing / name).unlink(missing_ok=True)


def _objects_of(growing: Path) -> Objects:
    make_folders(growing)
    return Objects(growing / "objects")


def _sync(growing: Path) -> None:
    for shard in SHARDS:
        sync_folder(growing / "objects" / shard)
    descriptor = os.open(growing / "catalog.db", os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy_catalog(source: Path, target: Path) -> None:
    """By SQLite's online backup, in one step: a snapshot that holds no writer up."""
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as original,
            closing(sqlite3.connect(target)) as copy,
        ):
            original.backup(copy)
    except sqlite3.Error as failed:
        raise StoreRefused(f"the catalog {source} cannot be copied ({failed}): run towline verify") from failed


# ------------------------------------------------------------------------------------------------------- the contents


class _Lost(Exception):
    """The store does not have this content, or cannot read it."""


class _Copy:
    """Makes the contents of a backup agree with its catalog, and its catalog with what could be had."""

    def __init__(self, data: Path, growing: Path, source: Objects, copies: Objects, progress: Progress) -> None:
        self._data = data
        self._growing = growing
        self._source = source
        self._copies = copies
        self._progress = progress
        self._sizes = {status.object_id: status.size for status in copies.scan() if status.mode == PUBLISHED_MODE}
        self._kept: set[str] = set()
        self._done = BackedUp()

    def run(self) -> BackedUp:
        with connected(open_alone(self._growing / "catalog.db")) as connection:
            self._progress.begin("backing up", _size(connection))
            for file in _files(connection):
                self._take_file(connection, file)
            for row in connection.execute(sa.select(uploads)).all():
                self._take_upload(connection, row)
            connection.execute(sa.delete(deleting))
        (self._growing / _COPYING).unlink(missing_ok=True)
        for status in list(self._copies.scan()):
            if status.object_id not in self._kept:
                self._copies.unlink(status.object_id)
        return self._done

    def _take_file(self, connection: Connection, file: StoredFile) -> None:
        try:
            if self._sizes.get(file.file_id) != file.size:
                self._copies.unlink(file.file_id)
                self._link_or_copy(file)
        except _Lost:
            if self._is_still_listed(file):
                self._done.lost.append(file.name)
            connection.execute(sa.delete(files).where(files.c.file_id == file.file_id))
            connection.execute(sa.delete(completed).where(completed.c.file_id == file.file_id))
            connection.execute(sa.delete(leaves).where(leaves.c.object_id == file.file_id))
            return
        self._kept.add(file.file_id)
        self._done.files += 1

    def _link_or_copy(self, file: StoredFile) -> None:
        """Raises _Lost."""
        try:
            self._source.link(file.file_id, self._copies)
        except FileNotFoundError:
            raise _Lost from None
        except OSError:  # another file system, or one without links
            self._copy_file(file)
            return
        self._done.linked_bytes += file.size
        self._progress.advance(file.size)

    def _copy_file(self, file: StoredFile) -> None:
        """What bears an object's name is whole and synced, also after a kill."""
        with closing(_Reading(self._source, file.file_id, self._progress)) as original:
            copying = self._growing / _COPYING
            descriptor = os.open(copying, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, OPEN_MODE)
            try:
                for offset, content in original.read(Range(0, file.size)):
                    write_all(descriptor, offset, [content])
                os.fchmod(descriptor, PUBLISHED_MODE)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        self._copies.move_from(copying, file.file_id)
        self._done.copied_bytes += file.size

    def _is_still_listed(self, file: StoredFile) -> bool:
        with connected(open_beside(self._data / "catalog.db")) as connection:
            return file_rows.file_is_there(connection, file.file_id)

    # --------------------------------------------------------------------------------------------------- uploads

    def _take_upload(self, connection: Connection, row: Row[Any]) -> None:
        self._copies.unlink(row.object_id)
        state = ObjectState(
            upload_rows.ranges_of(row.durable),
            upload_rows.load_leaves(connection, row.object_id),
            upload_rows.tail_of(row),
        )
        try:
            proven = self._copy_upload(row, state)
        except _Lost:  # dropped meanwhile, or the next start of the store will say that it failed
            connection.execute(sa.delete(uploads).where(uploads.c.upload_id == row.upload_id))
            connection.execute(sa.delete(leaves).where(leaves.c.object_id == row.object_id))
            return
        values = upload_rows.durable_values(proven.durable, proven.tail, row.size)
        upload_rows.update_upload(connection, row.upload_id, row.epoch, values)
        upload_rows.save_leaves(connection, row.object_id, proven.leaves, state.leaves.keys() - proven.leaves.keys())
        self._kept.add(row.object_id)
        self._done.uploads += 1

    def _copy_upload(self, row: Row[Any], state: ObjectState) -> ObjectState:
        """Copy what is durable; returns what of it is as its checksums say. Raises _Lost."""
        with closing(_Reading(self._source, row.object_id, self._progress)) as original:
            descriptor = self._copies.create(row.object_id)
            try:
                for piece in recorded_pieces(state, row.leaf_size):
                    with suppress(_Lost):  # this one is not proven then
                        for offset, content in original.read(piece.span):
                            write_all(descriptor, offset, [content])
                proven = _proven(descriptor, state, row.leaf_size)
                os.ftruncate(descriptor, proven.durable.furthest)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        self._done.copied_bytes += proven.durable.total
        return proven


class _Reading:
    """An object of the store, open."""

    def __init__(self, objects: Objects, object_id: str, progress: Progress) -> None:
        try:
            self._descriptor = objects.open(object_id)
        except OSError:
            raise _Lost from None
        self._progress = progress

    def read(self, span: Range) -> Iterator[tuple[int, bytes]]:
        """Pieces, each with its offset. Raises _Lost where it cannot be read, or ends."""
        offset = span.start
        try:
            for content in read_from_disk(self._descriptor, span, self._progress.advance):
                yield offset, content
                offset += len(content)
        except OSError:
            raise _Lost from None

    def close(self) -> None:
        os.close(self._descriptor)


def _proven(descriptor: int, state: ObjectState, leaf_size: int) -> ObjectState:
    """The part of `state` that these bytes bear out."""
    pieces = list(recorded_pieces(state, leaf_size))
    damaged = set(damaged_pieces(descriptor, pieces, leaf_size, lambda _: None))
    spans = [piece.span for piece in pieces if piece not in damaged]
    durable = RangeSet.of(*spans)
    kept = {span.start // leaf_size: state.leaves[span.start // leaf_size] for span in spans if span.size == leaf_size}
    tail = state.tail if spans and spans[-1].size != leaf_size else NO_TAIL
    return ObjectState(durable, kept, tail)


def _size(connection: Connection) -> int:
    published = connection.execute(sa.select(sa.func.sum(files.c.size))).scalar()
    unfinished = connection.execute(sa.select(uploads.c.durable)).scalars()
    return int(published or 0) + sum(upload_rows.ranges_of(durable).total for durable in unfinished)


def _files(connection: Connection) -> Iterator[StoredFile]:
    """All of them; the row of the one that was given last may be deleted."""
    last = ""
    while page := _page(connection, last):
        yield from map(file_rows.stored_file, page)
        last = page[-1].file_id


def _page(connection: Connection, last: str) -> "list[Row[Any]]":
    select = file_rows.FIND_FILES.where(files.c.file_id > last).order_by(files.c.file_id).limit(PAGE)
    return list(connection.execute(select).all())
