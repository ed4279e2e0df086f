"""Reading everything again: which published files and unfinished uploads are not on the disk as they were stored.

It looks at the catalog beside a running server and writes nothing. What moves on meanwhile is no damage: a file is
damaged when its row is still there after its content was found wrong, a piece of an upload when two readings in a
row, under the same record, say so.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

import sqlalchemy as sa
from sqlalchemy.engine import Row
from sqlalchemy.sql.elements import ColumnElement

from storage import file_rows, upload_rows
from storage.connecting import open_beside
from storage.errors import NotFound, StoreRefused
from storage.objects import Objects
from storage.opening import check_store
from storage.proof import OnRead, Piece, damaged_pieces, read_from_disk, recorded_pieces
from storage.schema import files, uploads
from storage.store import StoredFile
from storage.writer import ObjectState
from transfer.protocol.digest import digest_of, new_hasher
from transfer.protocol.leaves import LeafHasher
from transfer.protocol.names import Name
from transfer.protocol.ranges import Range, RangeSet

PAGE: Final = 500
READINGS: Final = 2
Kind = Literal["file", "upload"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """What is wrong with a content. `ranges` are the bytes that are damaged, as closely as is recorded."""

    problem: str
    ranges: tuple[Range, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """One content that was read: where it lies, and what is wrong with it."""

    kind: Kind
    name: Name
    object_id: str
    damage: Damage | None


class Verification:
    """Reads the contents of the store in `data`: all of them, or those of `names`; one that ends with `/` is a folder.

    Use it with `with`. Raises StoreRefused where there is no store, InvalidName and NotFound for wrong names.
    """

    def __init__(self, data: Path, names: Sequence[str] = (), *, on_read: OnRead = lambda _: None) -> None:
        self._data = data
        self._wanted = [_parsed(text) for text in names]
        self._on_read = on_read

    def __enter__(self) -> Self:
        check_store(self._data)
        self._engine = open_beside(self._data / "catalog.db")
        self._objects = Objects(self._data / "objects")
        try:
            self._check_names()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._objects.close()
        self._engine.dispose()

    def check_catalog(self) -> None:
        """Raises StoreRefused when the catalog itself is damaged."""
        with self._engine.connect() as connection:
            found = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one()
        if found != "ok":
            raise StoreRefused(
                f"the catalog of {self._data} is damaged: stop the server and run towline recover, or restore a backup"
            )

    @property
    def size(self) -> int:
        """How many bytes there are to read."""
        with self._engine.connect() as connection:
            published = connection.execute(sa.select(sa.func.sum(files.c.size)).where(self._matching(files))).scalar()
            unfinished = connection.execute(sa.select(uploads.c.durable).where(self._matching(uploads))).scalars()
            return int(published or 0) + sum(upload_rows.ranges_of(durable).total for durable in unfinished)

    def contents(self) -> Iterator[Verified]:
        """Read one after the other. Uploads come first, as they may be published meanwhile."""
        for upload_id, name, object_id in self._uploads():
            yield Verified(kind="upload", name=name, object_id=object_id, damage=self._damage_of_upload(upload_id))
        for file in self._files():
            yield Verified(kind="file", name=file.name, object_id=file.file_id, damage=self._damage_of_file(file))

    # --------------------------------------------------------------------------------------------- what is to be read

    def _check_names(self) -> None:
        for text in self._wanted:
            with self._engine.connect() as connection:
                tables = (files, uploads)
                if not any(connection.execute(sa.select(t.c.name).where(_is(t, text)).limit(1)).all() for t in tables):
                    raise NotFound(f"a file or an unfinished upload {text!r}")

    def _matching(self, table: sa.Table) -> ColumnElement[bool]:
        return sa.or_(*(_is(table, text) for text in self._wanted)) if self._wanted else sa.true()

    def _uploads(self) -> list[tuple[str, Name, str]]:
        columns = sa.select(uploads.c.upload_id, uploads.c.name, uploads.c.object_id)
        with self._engine.connect() as connection:
            found = connection.execute(columns.where(self._matching(uploads)).order_by(uploads.c.name))
            return [(row.upload_id, Name.parse(row.name), row.object_id) for row in found]

    def _files(self) -> Iterator[StoredFile]:
        """In the order of their ids: those stay the same when a file is renamed meanwhile."""
        last = ""
        while True:
            select = file_rows.FIND_FILES.where(self._matching(files), files.c.file_id > last)
            with self._engine.connect() as connection:
                page = connection.execute(select.order_by(files.c.file_id).limit(PAGE)).all()
            if not page:
                return
            yield from map(file_rows.stored_file, page)
            last = page[-1].file_id

    # ---------------------------------------------------------------------------------------------------- files

    def _damage_of_file(self, file: StoredFile) -> Damage | None:
        damage = self._look_at_file(file)
        if damage is None:
            return None
        with self._engine.connect() as connection:
            return damage if file_rows.file_is_there(connection, file.file_id) else None

    def _look_at_file(self, file: StoredFile) -> Damage | None:
        try:
            descriptor = self._objects.open(file.file_id)
        except FileNotFoundError:
            return Damage(problem="its content is not on the disk", ranges=_whole(file.size))
        try:
            if (size := os.fstat(descriptor).st_size) != file.size:
                return Damage(problem=f"it has {size} bytes on the disk, {file.size} were published")
            return self._compare(descriptor, file)
        except OSError as failed:
            return Damage(problem=f"it cannot be read: {(failed.strerror or '').lower()}", ranges=_whole(file.size))
        finally:
            os.close(descriptor)

    def _compare(self, descriptor: int, file: StoredFile) -> Damage | None:
        with self._engine.connect() as connection:
            recorded = upload_rows.load_leaves(connection, file.file_id)
        leaf_size = _leaf_size(file.size, len(recorded))
        hasher, leaves, found = new_hasher(file.digest.algorithm), LeafHasher(leaf_size), dict[int, bytes]()
        for content in read_from_disk(descriptor, Range(0, file.size), self._on_read):
            hasher.update(content)
            found.update(leaves.update(content))
        if digest_of(hasher, file.digest.algorithm) == file.digest:
            return None
        wrong = [index for index in found if recorded.get(index, found[index]) != found[index]]
        spans = RangeSet.of(*((index * leaf_size, (index + 1) * leaf_size) for index in wrong))
        rest = Range(len(recorded) * leaf_size if recorded else 0, file.size)
        return Damage(problem="its content has another digest", ranges=spans.ranges or (rest,))

    # --------------------------------------------------------------------------------------------------- uploads

    def _damage_of_upload(self, upload_id: str) -> Damage | None:
        suspects: set[Piece] | None = None
        for _ in range(READINGS):
            before = self._load(upload_id)
            if before is None:
                return None
            row, state = before
            pieces = [piece for piece in recorded_pieces(state, row.leaf_size) if suspects is None or piece in suspects]
            damaged = self._damaged(row, pieces)
            after = self._load(upload_id)
            suspects = set(damaged).intersection(recorded_pieces(after[1], row.leaf_size)) if after else set()
            if not suspects:
                return None
        spans = RangeSet.of(*(piece.span for piece in suspects or ()))
        return Damage(problem="bytes that were durable are not as recorded", ranges=spans.ranges)

    def _load(self, upload_id: str) -> tuple[Row[Any], ObjectState] | None:
        """What the catalog says of it at this moment; None when it is no unfinished upload any more."""
        with self._engine.begin() as connection:
            row = connection.execute(sa.select(uploads).where(uploads.c.upload_id == upload_id)).one_or_none()
            if row is None:
                return None
            leaves = upload_rows.load_leaves(connection, row.object_id)
        return row, ObjectState(upload_rows.ranges_of(row.durable), leaves, upload_rows.tail_of(row))

    def _damaged(self, row: Row[Any], pieces: list[Piece]) -> list[Piece]:
        try:
            descriptor = self._objects.open(row.object_id)
        except FileNotFoundError:
            return pieces
        try:
            return damaged_pieces(descriptor, pieces, row.leaf_size, self._on_read)
        finally:
            os.close(descriptor)


def _parsed(text: str) -> str:
    """Raises InvalidName."""
    return f"{Name.parse(text[:-1])}/" if text.endswith("/") else str(Name.parse(text))


def _is(table: sa.Table, text: str) -> ColumnElement[bool]:
    """Whether a row is of this name, or below this folder."""
    name = table.c.name
    return (name > text) & (name < text[:-1] + "0") if text.endswith("/") else name == text  # "0" follows "/"


def _whole(size: int) -> tuple[Range, ...]:
    return (Range(0, size),) if size else ()


def _leaf_size(size: int, count: int) -> int:
    """The leaf size of a published content of which `count` full leaves are recorded: the power of two that fits."""
    leaf_size = 1 << 20
    while count and size // leaf_size > count:
        leaf_size *= 2
    return leaf_size
