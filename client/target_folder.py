"""A folder into which several files are downloaded: each goes to its way below it, and nothing anywhere else."""

import os
import stat
from pathlib import Path
from typing import Final

from client.errors import ClientError

_NOT_ON_WINDOWS: Final = frozenset('<>:"|?*')
"""https://learn.microsoft.com/windows/win32/fileio/naming-a-file; other rules of it hold for every name."""


class NoPlace(ClientError):
    """A name that has no place in the folder."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"it cannot be written here: {self.reason}"


class TargetFolder:
    """The folder is made when it is first needed. Methods block."""

    def __init__(self, root: Path, *, windows: bool = os.name == "nt") -> None:
        self._root = root
        self._windows = windows
        self.places: set[Path] = set()
        """Where files go that are meant to be here."""
        self._entered: set[Path] = set()
        """Folders that are there and are no links."""

    def place_of(self, way: str) -> Path:
        """Where a file goes; `way` is the end of a name that keeps the rules of names. Raises NoPlace."""
        parts = way.split("/")
        for part in parts:
            self._check(part)
        place = self._root.joinpath(*parts)
        self.places.add(place)
        return place

    def _check(self, part: str) -> None:
        if self._windows and (found := _NOT_ON_WINDOWS.intersection(part)):
            raise NoPlace(f"no file of Windows has {min(found)!r} in its name: download it alone, with --output")
        try:
            os.fsencode(part)
        except UnicodeEncodeError:
            raise NoPlace(f"{part!a} has letters that this system has no bytes for") from None

    def make_way_to(self, place: Path) -> bool:
        """Make the folders above a place. Returns whether nothing is there yet. Raises NoPlace for a link on the way,
        which may lead anywhere, and OSError."""
        if self._root not in self._entered:
            self._root.mkdir(parents=True, exist_ok=True)
            self._entered.add(self._root)
        folder = self._root
        for part in place.parent.relative_to(self._root).parts:
            folder /= part
            if folder not in self._entered:
                _enter(folder)
                self._entered.add(folder)
        return not os.path.lexists(place)


def _enter(folder: Path) -> None:
    try:
        folder.mkdir()
    except FileExistsError:
        mode = folder.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise NoPlace(f"{folder} is a symbolic link, and may lead anywhere: replace it by a folder") from None
        if not stat.S_ISDIR(mode):
            raise NoPlace(f"{folder} is a file, where a folder is needed") from None
