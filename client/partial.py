"""The files of a download, with blocking calls: what is there, what is under way, and how one becomes the other.

A partial file stands beside its target, `.NAME.TAG.towline-part`, and is locked while a download writes it. It knows
nothing of servers: the tag is whatever stands for one content.
"""

import errno
import fcntl
import os
import re
import stat
from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

from client.errors import ClientError
from client.moments import nanoseconds_of
from transfer.protocol.digest import Digest, digest_of, new_hasher
from transfer.protocol.limits import MIB

SUFFIX: Final = ".towline-part"
TAG_CHARACTERS: Final = 16
HASH_BYTES: Final = 8 * MIB
MAX_FILE_NAME_BYTES: Final = 255
_PARTIAL: Final = re.compile(rf"\.(.+)\.[0-9a-f]{{{TAG_CHARACTERS}}}{re.escape(SUFFIX)}", re.DOTALL)


class TargetTaken(ClientError):
    """The target is there and is not what was asked for; nothing was changed."""

    def __init__(self, path: Path, *, replaceable: bool) -> None:
        super().__init__(path)
        self.path = path
        self.replaceable = replaceable

    def __str__(self) -> str:
        if self.replaceable:
            return f"{self.path} is there already, with other content: use --force to replace it, or another path"
        return f"{self.path} is not a regular file: choose another path"


class TargetBusy(ClientError):
    """Another process downloads the same content to the same place."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"another download is writing {self.path}"


class HashedFile:
    """An open file and the digest of its bytes below `offset`."""

    def __init__(self, descriptor: int, algorithm: str) -> None:
        self._descriptor = descriptor
        self._algorithm = algorithm
        self._hasher = new_hasher(algorithm)
        self.offset = 0

    @classmethod
    def open(cls, path: Path, algorithm: str) -> Self:
        return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC), algorithm)

    def hash_some(self, end: int) -> bool:
        """Hash the next bytes below `end`; False when there are none."""
        content = os.pread(self._descriptor, min(HASH_BYTES, end - self.offset), self.offset)
        self._hasher.update(content)
        self.offset += len(content)
        return bool(content)

    @property
    def digest(self) -> Digest:
        return digest_of(self._hasher, self._algorithm)

    def length(self) -> int:
        return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        os.close(self._descriptor)


class PartialFile(HashedFile):
    """A download under way, locked against others."""

    def __init__(self, descriptor: int, algorithm: str, path: Path, target: Path, tag: str) -> None:
        super().__init__(descriptor, algorithm)
        self._path = path
        self._target = target
        self.tag = tag

    @classmethod
    def open_for(cls, target: Path, tag: str, algorithm: str) -> Self:
        """Open what an earlier attempt left of the content that `tag` stands for, or begin. Raises TargetBusy."""
        path = partial_path(target, tag)
        return cls(_open_locked(path, target), algorithm, path, target, tag)

    def append(self, content: bytes) -> None:
        """Write and hash the bytes that follow."""
        view = memoryview(content)
        while view:
            written = os.pwrite(self._descriptor, view, self.offset)
            self._hasher.update(view[:written])
            self.offset += written
            view = view[written:]

    def restart(self) -> None:
        """Forget everything."""
        os.ftruncate(self._descriptor, 0)
        self._hasher = new_hasher(self._algorithm)
        self.offset = 0

    def discard(self) -> None:
        """Remove the file; it is closed later."""
        self._path.unlink(missing_ok=True)

    def publish(self, modified: datetime | None, *, replace: bool) -> None:
        """Make this the target, durably. Raises TargetTaken, and keeps the file, when the target has appeared."""
        os.ftruncate(self._descriptor, self.offset)
        if modified is not None:
            os.utime(self._descriptor, ns=(nanoseconds_of(modified),) * 2)
        os.fsync(self._descriptor)
        if replace:
            os.replace(self._path, self._target)
        else:
            self._rename_to_free_target()
        _sync_folder(self._target.parent)

    def _rename_to_free_target(self) -> None:
        """A link fails when the target is there, a rename would replace it; some file systems have no links."""
        try:
            os.link(self._path, self._target)
        except FileExistsError:
            raise TargetTaken(self._target, replaceable=True) from None
        except OSError:
            if os.path.lexists(self._target):
                raise TargetTaken(self._target, replaceable=True) from None
            os.rename(self._path, self._target)
        else:
            self._path.unlink()


def restore_time(path: Path, modified: datetime | None) -> None:
    """Give a file that has the right content its time of change too, where one may."""
    if modified is not None:
        with suppress(PermissionError):
            os.utime(path, ns=(nanoseconds_of(modified),) * 2, follow_symlinks=False)


def target_of(file_name: str, to: Path | str | None) -> Path:
    """Where a file goes that is called `file_name` unless `to` says more. Raises FileNotFoundError for a folder that
    is not there."""
    target = Path(file_name) if to is None else Path(to)
    if target.is_dir():
        target /= file_name
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(target.parent))
    return target


def size_of_regular(target: Path) -> int | None:
    """The size of what is there; None when nothing is. Raises TargetTaken for what may never be replaced."""
    try:
        status = target.stat()
    except FileNotFoundError:
        if target.is_symlink():
            raise TargetTaken(target, replaceable=False) from None
        return None
    if not stat.S_ISREG(status.st_mode):
        raise TargetTaken(target, replaceable=False)
    return status.st_size


def partial_path(target: Path, tag: str) -> Path:
    """The place of a partial file; a name that would be too long is cut, and stays unlike others."""
    return target.with_name(f".{_fitting(target.name)}.{tag}{SUFFIX}")


def _fitting(name: str) -> str:
    room = MAX_FILE_NAME_BYTES - TAG_CHARACTERS - len(SUFFIX) - 2
    encoded = os.fsencode(name)
    if len(encoded) <= room:
        return name
    mark = "~" + sha256(encoded).hexdigest()[:8]
    return encoded[: room - len(mark)].decode(errors="ignore") + mark


def _open_locked(path: Path, target: Path) -> int:
    """Open and lock a partial file. Another download may publish it between the two: then it is opened again."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, descriptor):
                if os.fstat(descriptor).st_nlink == 1:
                    return descriptor
                path.unlink()  # a crash while it was published: it is the target too, and not to be written any more
        except BlockingIOError:
            os.close(descriptor)
            raise TargetBusy(target) from None
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether `path` still means the file that was opened there."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def remove_stale_partials(targets: Iterable[Path], *, but: Collection[Path] = ()) -> None:
    """Remove the partial files of other contents for targets that are there, unless somebody is writing them, `but` not
    what is only called like one. What cannot be removed stays: the downloads have succeeded, whatever else lies
    about."""
    names: dict[Path, set[str]] = {}
    for target in targets:
        names.setdefault(target.parent, set()).add(_fitting(target.name))
    for folder, complete in names.items():
        with suppress(OSError):
            _remove_partials_of(folder, complete, but)


def _remove_partials_of(folder: Path, complete: Collection[str], but: Collection[Path]) -> None:
    with os.scandir(folder) as entries:
        found = [(folder / entry.name, _PARTIAL.fullmatch(entry.name)) for entry in entries]
    stale = (path for path, partial in found if partial is not None and partial[1] in complete)
    for path in (path for path in stale if path not in but):
        with suppress(TargetBusy, FileNotFoundError):
            descriptor = _open_locked(path, path)
            path.unlink()
            os.close(descriptor)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
