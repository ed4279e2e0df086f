"""Which files a command line means, and the name of each on the server.

A file is called by its last part, the files of a folder by their way from it: `photos` gives `photos/2026/cat.jpg`.
A link is followed when it was named, and passed over inside a folder, so that an upload never leaves its folder.
Nothing is opened here.
"""

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Self

from client.http import parse_name
from client.moments import moment_of
from client.terminal.exclusion import Exclusion
from transfer.protocol.errors import InvalidName


class Version(NamedTuple):
    """A file as it was at one time: whatever is done to it, or put in its place, is another one."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class Selected:
    """A file to upload, as it was when it was looked at; `name` is what it is to be called on the server."""

    path: Path
    name: str
    version: Version

    @property
    def size(self) -> int:
        return self.version.size

    @property
    def modified(self) -> datetime | None:
        """As the server is told it."""
        return moment_of(self.version.modified_ns)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A path that is not uploaded. `failed` when its user had reason to expect it to be."""

    path: Path
    reason: str
    failed: bool


@dataclass(slots=True)
class Selection:
    """What is to be uploaded, in order; `size` is its bytes in total. Of an excluded folder nothing else is listed."""

    items: list[Selected] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    excluded: list[Path] = field(default_factory=list)
    size: int = 0

    def only(self, paths: Sequence[Path]) -> Selected | None:
        """The only file that was named by these paths, where no folder was, nor anything that is not uploaded."""
        if self.skipped or self.excluded or [found.path for found in self.items] != paths or len(paths) != 1:
            return None
        return self.items[0]


def select(
    paths: Iterable[Path], *, name: str | None = None, prefix: str = "", exclusion: Exclusion | None = None
) -> Selection:
    """Look at the paths and into folders. With `name`, the one file that is selected gets it."""
    selector = _Selector(exclusion)
    for path in paths:
        selector.look_at(path, name if name is not None else _joined(prefix.removesuffix("/"), _own_name(path)))
    return selector.selection


def _own_name(path: Path) -> str:
    """The last part of a path; of `.`, `..` and `/` none, so that their files are called by what follows."""
    return "" if path.name == ".." else path.name


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder and name else folder or name


@dataclass(frozen=True, slots=True)
class _Place:
    """Something to look at. `way` leads to it from the folder that was named, or is its own name."""

    path: Path
    name: str
    way: str
    named: bool


class _Selector:
    def __init__(self, exclusion: Exclusion | None) -> None:
        self.selection = Selection()
        self._exclusion = exclusion
        self._taken: dict[str, Path] = {}

    def look_at(self, path: Path, name: str) -> None:
        """Take a path that was named, and all that is below it."""
        before = self._seen
        below = self._look(_Place(path, name, _own_name(path), named=True))
        is_folder = below is not None
        while below:
            below.extend(self._look(below.pop()) or [])
        if is_folder and self._seen == before:
            self._skip(path, "there is no file in it")

    @property
    def _seen(self) -> int:
        return len(self.selection.items) + len(self.selection.skipped) + len(self.selection.excluded)

    def _look(self, place: _Place) -> list[_Place] | None:
        """Take a file; of a folder return what is in it, last things first, of anything else None."""
        path = place.path
        try:
            status = path.stat() if place.named else path.lstat()
            is_folder = stat.S_ISDIR(status.st_mode)
            if self._exclusion is not None and self._exclusion.covers(place.way, is_folder=is_folder):
                self.selection.excluded.append(path)
                return None
            if is_folder:
                return _inside(place)
        except OSError as error:
            self._skip(path, _words(path, error), failed=True)
            return None
        if stat.S_ISREG(status.st_mode):
            self._take(path, place.name, status)
        elif stat.S_ISLNK(status.st_mode):
            self._skip(path, "a symbolic link in a folder is not followed: name it to upload what it points to")
        else:
            self._skip(path, _special(status.st_mode), failed=place.named)
        return None

    def _take(self, path: Path, name: str, status: os.stat_result) -> None:
        if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
            self._skip(path, "permission denied", failed=True)
            return
        try:
            parsed = parse_name(name)
        except InvalidName as error:
            self._skip(path, f"it cannot be called that on the server: {error}", failed=True)
            return
        other = self._taken.setdefault(parsed.key, path)
        if other is path:
            self.selection.items.append(Selected(path, str(parsed), Version.of(status)))
            self.selection.size += status.st_size
        elif other.resolve() != path.resolve():
            self._skip(path, f"it would have the same name on the server as {other}", failed=True)

    def _skip(self, path: Path, reason: str, *, failed: bool = False) -> None:
        self.selection.skipped.append(Skipped(path, reason, failed))


def _inside(folder: _Place) -> list[_Place]:
    """What is in a folder, last things first. Raises OSError."""
    below = "" if folder.named else f"{folder.way}/"
    return [
        _Place(folder.path / entry, _joined(folder.name, entry), below + entry, named=False)
        for entry in sorted(os.listdir(folder.path), reverse=True)
    ]


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
