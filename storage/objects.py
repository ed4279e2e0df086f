"""Objects: contents as files in a few folders, named by ids that the store made.

Every function blocks and is meant for the store's disk threads. Folders are opened once and everything is relative to
them (openat(2)), with `O_NOFOLLOW | O_CLOEXEC`. An object is 0600 while it is written and 0400 once published.
"""

import ctypes
import errno
import os
import secrets
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from transfer.protocol.leaves import Buffer

OPEN_MODE: Final = 0o600
PUBLISHED_MODE: Final = 0o400
SHARDS: Final = "0123456789abcdef"
IOV_MAX: Final = 512
_FLAGS: Final = os.O_NOFOLLOW | os.O_CLOEXEC
_libc: Final = ctypes.CDLL(None, use_errno=True)


class ObjectStatus(NamedTuple):
    object_id: str
    size: int
    mode: int


def new_object_id() -> str:
    return secrets.token_hex(16)


class Objects:
    """The folder `objects/` and what lies in it."""

    def __init__(self, folder: Path) -> None:
        self._root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | _FLAGS)
        self._shards = {
            shard: os.open(shard, os.O_RDONLY | os.O_DIRECTORY | _FLAGS, dir_fd=self._root) for shard in SHARDS
        }

    @staticmethod
    def make_folders(folder: Path) -> None:
        """The folder and its shards, durable. May be done again."""
        for path in (folder, *(folder / shard for shard in SHARDS)):
            path.mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder)

    def close(self) -> None:
        for descriptor in (*self._shards.values(), self._root):
            os.close(descriptor)

    def _shard(self, object_id: str) -> int:
        return self._shards[object_id[0]]

    def create(self, object_id: str) -> int:
        """A new, empty object, open for reading and writing. Its folder entry is not durable yet."""
        return os.open(object_id, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, OPEN_MODE, dir_fd=self._shard(object_id))

    def open(self, object_id: str, *, write: bool = False) -> int:
        return os.open(object_id, (os.O_RDWR if write else os.O_RDONLY) | _FLAGS, dir_fd=self._shard(object_id))

    def chmod(self, object_id: str, mode: int) -> None:
        os.chmod(object_id, mode, dir_fd=self._shard(object_id))

    def unlink(self, object_id: str) -> None:
        """Delete it; that it is not there is as good. The entry's removal is not durable yet."""
        try:
            os.unlink(object_id, dir_fd=self._shard(object_id))
        except FileNotFoundError:
            return

    def delete(self, object_ids: Collection[str]) -> None:
        """Unlink all of these, so that none comes back after a power cut, when no row speaks of them any more."""
        for object_id in object_ids:
            self.unlink(object_id)
        self.sync_entries(object_ids)

    def sync_entries(self, object_ids: Collection[str]) -> None:
        """Make creating or deleting these durable."""
        for shard in {self._shard(object_id) for object_id in object_ids}:
            with _reopened(shard) as folder:
                os.fsync(folder)

    def sync_all(self, object_ids: Sequence[str], descriptors: Sequence[int]) -> None:
        """Make all of these new objects durable, content and entry, with one syncfs(2) where there is one. It tells of
        errors since its descriptor was opened: the first of these was opened before anything was written."""
        if hasattr(_libc, "syncfs"):
            if _libc.syncfs(descriptors[0]):
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code), "syncfs")
            return
        for descriptor in descriptors:
            os.fdatasync(descriptor)
        self.sync_entries(object_ids)

    def scan(self) -> Iterator[ObjectStatus]:
        """Everything that lies there."""
        for descriptor in self._shards.values():
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    yield ObjectStatus(entry.name, status.st_size, status.st_mode & 0o777)

    def link(self, object_id: str, other: "Objects") -> None:
        """Have `other` share this object, which must never change again. Raises OSError where links cannot be."""
        source, target = self._shard(object_id), other._shard(object_id)
        os.link(object_id, object_id, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)

    def move_from(self, path: Path, object_id: str) -> None:
        os.rename(path, object_id, dst_dir_fd=self._shard(object_id))

    def move_to(self, object_id: str, folder: Path) -> None:
        os.rename(object_id, folder / object_id, src_dir_fd=self._shard(object_id))


@contextmanager
def _reopened(folder: int) -> Iterator[int]:
    """A descriptor of its own for one sync: one whose sync failed is never synced again (fsync(2), NOTES)."""
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | _FLAGS, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | _FLAGS)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, offset: int, chunks: Sequence[Buffer]) -> None:
    """Write adjacent chunks at `offset`, in full: pwritev(2) may write less than it was given."""
    views = [memoryview(chunk) for chunk in chunks]
    while views:
        written = os.pwritev(descriptor, views[:IOV_MAX], offset)
        if not written and any(views):
            raise OSError(errno.EIO, "a write wrote nothing")
        offset += written
        while views and written >= len(views[0]):
            written -= len(views.pop(0))
        if views:
            views[0] = views[0][written:]


def read_range(descriptor: int, start: int, end: int, step: int = 4 << 20) -> Iterator[bytes]:
    """The bytes of `[start, end)` in pieces. Raises OSError when the object ends before."""
    while start < end:
        piece = os.pread(descriptor, min(step, end - start), start)
        if not piece:
            raise OSError(errno.EIO, f"the object ends at {start}, expected {end}")
        yield piece
        start += len(piece)
