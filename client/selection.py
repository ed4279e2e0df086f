"""Which files a command line means, and the name of each on the server.

A file is called by its last part, the files of a folder by their way from it: `photos` gives `photos/2026/cat.jpg`.
A link is followed when it was named, and passed over inside a folder, so that an upload never leaves its folder.
Nothing is opened here.
"""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from client.http import parse_name
from client.small_files import Item
from transfer.protocol.errors import InvalidName


@dataclass(frozen=True, slots=True)
class Skipped:
    """A path that is not uploaded. `failed` when its user had reason to expect it to be."""

    path: Path
    reason: str
    failed: bool


@dataclass(slots=True)
class Selection:
    """What is to be uploaded, in order; `size` is its bytes in total."""

    items: list[Item] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    size: int = 0


def select(paths: Iterable[Path], *, name: str | None = None, prefix: str = "") -> Selection:
    """Look at the paths and into folders. With `name`, the one file that is selected gets it."""
    selector = _Selector()
    for path in paths:
        selector.look_at(path, name if name is not None else _joined(prefix.removesuffix("/"), _own_name(path)))
    return selector.selection


def _own_name(path: Path) -> str:
    """The last part of a path; of `.`, `..` and `/` none, so that their files are called by what follows."""
    return "" if path.name == ".." else path.name


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder and name else folder or name


class _Selector:
    def __init__(self) -> None:
        self.selection = Selection()
        self._taken: dict[str, Path] = {}

    def look_at(self, path: Path, name: str) -> None:
        """Take a path that was named, and all that is below it."""
        before = len(self.selection.items) + len(self.selection.skipped)
        below = self._look(path, name, named=True)
        is_folder = below is not None
        while below:
            deeper = self._look(*below.pop(), named=False)
            below.extend(deeper or [])
        if is_folder and len(self.selection.items) + len(self.selection.skipped) == before:
            self._skip(path, "there is no file in it")

    def _look(self, path: Path, name: str, *, named: bool) -> list[tuple[Path, str]] | None:
        """Take a file; of a folder return what is in it, last things first, of anything else None."""
        try:
            status = path.stat() if named else path.lstat()
            if stat.S_ISDIR(status.st_mode):
                inside = sorted(os.listdir(path), reverse=True)
                return [(path / entry, _joined(name, entry)) for entry in inside]
        except OSError as error:
            self._skip(path, _words(path, error), failed=True)
            return None
        if stat.S_ISREG(status.st_mode):
            self._take(path, name, status.st_size)
        elif stat.S_ISLNK(status.st_mode):
            self._skip(path, "a symbolic link in a folder is not followed: name it to upload what it points to")
        else:
            self._skip(path, _special(status.st_mode), failed=named)
        return None

    def _take(self, path: Path, name: str, size: int) -> None:
        if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
            self._skip(path, "permission denied", failed=True)
            return
        try:
            key = parse_name(name).key
        except InvalidName as error:
            self._skip(path, f"it cannot be called that on the server: {error}", failed=True)
            return
        other = self._taken.setdefault(key, path)
        if other is path:
            self.selection.items.append(Item(path, name))
            self.selection.size += size
        elif other.resolve() != path.resolve():
            self._skip(path, f"it would have the same name on the server as {other}", failed=True)

    def _skip(self, path: Path, reason: str, *, failed: bool = False) -> None:
        self.selection.skipped.append(Skipped(path, reason, failed))


def _words(path: Path, error: OSError) -> str:
    if path.is_symlink() and isinstance(error, FileNotFoundError):
        return "a symbolic link to nothing"
    return os.strerror(error.errno).lower() if error.errno else str(error)


def _special(mode: int) -> str:
    kinds = {
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    kind = kinds.get(stat.S_IFMT(mode), "something else")
    return f"{kind}, not a regular file: to upload what can be read from it, use `towline upload - --name NAME`"
