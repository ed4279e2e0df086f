"""A small file that only its owner can read: written whole or not at all, and not read when others had their hands in.

A symbolic link in its place is not followed: reading refuses it, writing replaces it.
"""

import os
import stat
from pathlib import Path
from tempfile import NamedTemporaryFile

from client.errors import ClientError


class NotPrivate(ClientError):
    """Others can read or change it, or it is somebody else's."""

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        super().__init__(path, problem, remedy)
        self.path = path

    def __str__(self) -> str:
        path, problem, remedy = self.args
        return f"{path} is not used: {problem}: {remedy}"


def read_private(path: Path) -> bytes | None:
    """The content; None: there is no such file. Raises NotPrivate, OSError."""
    if path.is_symlink():
        raise NotPrivate(path, "it is a symbolic link", "put the file itself there")
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with open(descriptor, "rb") as file:
        _check(path, os.fstat(descriptor), forbidden=0o077)
        return file.read()


def write_private(path: Path, content: bytes) -> None:
    """Put it in place at once, with mode 0600, in a folder that is made with 0700. Raises NotPrivate, OSError."""
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    _check(path.parent, path.parent.stat(), forbidden=0o022)
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:  # mode 0600
        new = file.name
    try:
        _fill(new, content)
        os.replace(new, path)  # closed before: Windows moves no file that is open
    except BaseException:
        os.unlink(new)
        raise


def _fill(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _check(path: Path, found: os.stat_result, *, forbidden: int) -> None:
    """Raises NotPrivate. What is no POSIX system has other rules, and a profile folder that is the user's own."""
    if os.name != "posix":
        return
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise NotPrivate(path, "it is no file", "delete it")
    if found.st_uid != os.geteuid():
        raise NotPrivate(path, f"it belongs to the user with the number {found.st_uid}", "delete it, or move it away")
    if wider := stat.S_IMODE(found.st_mode) & forbidden:
        mode = stat.S_IMODE(found.st_mode)
        raise NotPrivate(path, f"its mode is {mode:04o}", f"chmod {mode & ~wider:o} {path}")
