"""The folder of a local store: made at the first start, checked at every other.

`store.json` is the last to appear, so a first start that was cut short is done again. A catalog that is missing, or
another store's, is refused: guessing would publish the wrong things or nothing.
"""

import fcntl
import json
import os
import secrets
import stat
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from storage.connecting import connected, migrate, open_alone, open_beside
from storage.errors import StoreRefused
from storage.objects import Objects, sync_folder
from storage.schema import SCHEMA, facts

FORMAT: Final = 1
CATALOG_MODE: Final = 0o600


def open_folders(data: Path) -> int:
    """Make or check the folder; returns the descriptor that holds `serve.lock`. Raises StoreRefused."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as failed:
        raise _unusable(data, failed) from failed
    lock = lock_folder(data, f"another server uses the data directory {data}: stop it, or choose another --data")
    try:
        if (data / "store.json").exists():
            check_store(data, alone=True)
        else:
            _make_store(data)
        _keep_private(data)
        migrate(data / "catalog.db")
    except BaseException:
        os.close(lock)
        raise
    return lock


class FolderInUse(StoreRefused):
    """Another process has the folder's lock."""


def lock_folder(data: Path, taken: str) -> int:
    """Take `serve.lock`: a descriptor that holds it until it is closed. Raises StoreRefused; FolderInUse, with the
    sentence `taken`, where another process has it."""
    try:
        lock = os.open(data / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as failed:
        raise _unusable(data, failed) from failed
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise FolderInUse(taken) from None
    return lock


def _unusable(data: Path, failed: OSError) -> StoreRefused:
    return StoreRefused(f"cannot use the data directory {data}: {failed.strerror}")


def holds_objects(data: Path) -> bool:
    return any(path.is_file() for path in (data / "objects").rglob("*"))


def _make_store(data: Path) -> None:
    """The first start, or one that was cut short: `store.json` is the last to appear."""
    if holds_objects(data):
        raise StoreRefused(f"{data} holds objects but no store.json: run towline recover, or choose another --data")
    for leftover in data.glob("catalog.db*"):
        leftover.unlink()
    make_folders(data)
    (data / "catalog.db").touch(mode=CATALOG_MODE)
    store_id = new_store_id()
    migrate(data / "catalog.db")
    bear_id(data / "catalog.db", store_id)
    write_identity(data, store_id)
    sync_folder(data.parent)


def _keep_private(data: Path) -> None:
    """Names, and hashes of tokens and passwords, are nobody else's, also where the folder was made by somebody who lets
    others look in. What SQLite puts beside the catalog gets the catalog's mode."""
    for path in data.glob("catalog.db*"):
        if stat.S_IMODE(path.stat().st_mode) & ~CATALOG_MODE:
            path.chmod(CATALOG_MODE)


def make_folders(data: Path) -> None:
    """What a store has beside its catalog. May be done again."""
    Objects.make_folders(data / "objects")
    (data / "quarantine").mkdir(mode=0o700, exist_ok=True)


def new_store_id() -> str:
    return secrets.token_hex(16)


def write_identity(data: Path, store_id: str) -> None:
    """Write `store.json` and sync the folder: with that it is a store."""
    text = json.dumps({"format": FORMAT, "store_id": store_id}) + "\n"
    partial = data / "store.json.new"
    with partial.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    partial.rename(data / "store.json")
    sync_folder(data)


def bear_id(path: Path, store_id: str) -> None:
    """Have the catalog at `path` say whose it is."""
    with connected(open_alone(path)) as connection:
        connection.execute(sa.insert(facts).prefix_with("OR REPLACE").values(key="store_id", value=store_id))


def check_store(data: Path, *, alone: bool = False) -> str:
    """Returns the store's id, if the folder's catalog is its own and can be read; `alone` with it (who has the lock)
    may also undo what a crash left half written. Raises StoreRefused."""
    if not (data / "store.json").exists() and not holds_objects(data):
        raise StoreRefused(f"there is no store in {data}: choose another --data")
    store_id = read_identity(data)
    if not (data / "catalog.db").exists():
        raise StoreRefused(f"the catalog of {data} is missing: run towline recover")
    if borne_id(data / "catalog.db", alone=alone) != store_id:
        raise StoreRefused(f"the catalog of {data} belongs to another store: run towline recover")
    _check_schema(data / "catalog.db", alone=alone)
    return store_id


def _check_schema(catalog: Path, *, alone: bool) -> None:
    """Whoever is `alone` with a catalog of an older version may bring it to this one's. Raises UnknownFormat."""
    with connected(open_beside(catalog, alone=alone)) as connection:
        schema: str = connection.execute(sa.select(sa.text("version_num FROM alembic_version"))).scalar_one()
    if schema > SCHEMA:
        raise UnknownFormat(
            f"the catalog of {catalog.parent} has schema {schema}, this version reads {SCHEMA}: install a newer towline"
        )
    if schema < SCHEMA and not alone:
        raise UnknownFormat(
            f"the catalog of {catalog.parent} is an older version's: start the server of this version once"
        )


class UnknownFormat(StoreRefused):
    """Another version's store: nothing here is broken."""


def read_identity(data: Path) -> str:
    """The id in `store.json`. Raises StoreRefused."""
    try:
        identity = json.loads((data / "store.json").read_text())
        store_id, store_format = str(identity["store_id"]), identity["format"]
    except (ValueError, KeyError, TypeError, OSError) as failed:
        raise StoreRefused(f"{data / 'store.json'} cannot be read: run towline recover") from failed
    if store_format != FORMAT:
        raise UnknownFormat(f"{data} has format {store_format}, this version reads {FORMAT}: install a newer towline")
    return store_id


def borne_id(catalog: Path, *, alone: bool = False) -> str | None:
    """The id of the store whose catalog this is. Raises StoreRefused when it cannot be read."""
    with connected(open_beside(catalog, alone=alone)) as connection:
        return connection.execute(sa.select(facts.c.value).where(facts.c.key == "store_id")).scalar_one_or_none()
