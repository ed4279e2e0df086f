"""Deleting a source once the server has its content for good."""

import stat

from client.errors import ClientError
from client.terminal.selection import Selected, Version


class SourceKept(ClientError):
    """The upload is complete, and the source was not deleted all the same."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"uploaded, and kept here: {self.reason}"


def delete_source(found: Selected) -> None:
    """Delete what was selected, unless it is another file by now: what came since then was not uploaded. Blocks. Raises
    SourceKept, OSError."""
    status = found.path.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise SourceKept("it is a symbolic link, and what it points to may be wanted elsewhere")
    if Version.of(status) != found.version:
        raise SourceKept("it has changed since")
    found.path.unlink()
