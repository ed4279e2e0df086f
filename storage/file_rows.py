"""Rows of files and what they mean, and of objects that are to be unlinked: statements that run inside a transaction.

Nothing here touches a disk or decides when; every function takes an open connection.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from storage import quota_rows
from storage.errors import NameTaken, NotFound
from storage.naming import Occupant, Settled, settle
from storage.quota import outgrows
from storage.schema import deleting, files, leaves, microseconds_at
from storage.store import Published, StoredFile, UploadRequest
from transfer.protocol.digest import Digest
from transfer.protocol.names import Name

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
    files.c.metadata,
    files.c.via,
)
"""What `stored_file` reads, in this order."""
FIND_FILES: Final = sa.select(*FILE_COLUMNS)
_INSERTED = [column for column in files.c if column.computed is None]
_NEW = sa.func.json_each(sa.bindparam("new", type_=sa.JSON)).table_valued("value")
_INSERT_FILES = sa.insert(files).from_select(
    _INSERTED, sa.select(*(sa.func.json_extract(_NEW.c.value, f"$.{column.name}") for column in _INSERTED))
)
_ASKED = sa.func.json_each(sa.bindparam("names", type_=sa.JSON)).table_valued("value")
_FILES_OF_NAMES = FIND_FILES.where(files.c.name.in_(sa.select(_ASKED.c.value)))


def stored_file(row: Row[*tuple[Any, ...]]) -> StoredFile:
    """Of a row that begins with FILE_COLUMNS. It is taken apart at once: asking it for each column takes longer than
    all that is made of them."""
    file_id, name, size, digest, content_type, modified, created, owner, uploader, metadata, via, *_ = row
    name, digest = Name.kept(name), Digest.kept(digest)
    return StoredFile(file_id, name, size, digest, content_type, modified, created, owner, uploader, metadata, via)


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
    """Rows of files whose names are free. It is one statement however many they are: for each the driver lets other
    threads run, and then waits for them."""
    if new:
        connection.execute(_INSERT_FILES, {"new": [_file_values(file) for file in new]})


def _file_values(file: StoredFile) -> dict[str, Any]:
    """As they are kept. No text but the metadata has a NUL, at which SQLite would end what it takes out of JSON. None
    has a lone surrogate, which cannot be written as JSON at all: it would fail the whole batch."""
    return {
        "file_id": file.file_id,
        "name": file.name.value,
        "name_key": file.name.key,
        "size": file.size,
        "digest": str(file.digest),
        "content_type": file.content_type,
        "modified": None if file.modified is None else microseconds_at(file.modified),
        "created": microseconds_at(file.created),
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
