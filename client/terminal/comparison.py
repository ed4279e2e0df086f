"""Selected files beside what the server has under their names. No I/O.

A file with the same size and time of change there is taken for unchanged, as rsync does. One with the same size alone
may be, which its digest says.
"""

from collections.abc import Iterable, Iterator

from client.progress import Complete
from client.small_files import Item, unchanged
from client.terminal.selection import Selected
from transfer.protocol.messages import FileEntry


class Comparison:
    """What is `left` to be sent of the files, as far as is known, and what has their names there. `by_digest` trusts no
    time of change."""

    def __init__(self, files: Iterable[Selected], *, by_digest: bool) -> None:
        self.left = {found.name: found for found in files}
        self.stored: dict[str, FileEntry] = {}
        self._by_digest = by_digest

    def look_at(self, entry: FileEntry) -> Complete | None:
        """Take what the server has under one of the names. Returns the event of a file that is unchanged."""
        name = str(entry.name)
        if (found := self.left.get(name)) is None:
            return None
        if not self._by_digest and _seem_same(found, entry):
            del self.left[name]
            return unchanged(name, entry)
        self.stored[name] = entry
        return None

    def same_size(self, found: Selected) -> FileEntry | None:
        """What has its name, where that may have its content."""
        entry = self.stored.get(found.name)
        return entry if entry is not None and entry.size == found.size else None

    @property
    def items(self) -> Iterator[Item]:
        """What is left, to be uploaded."""
        return (Item(found.path, found.name, self.same_size(found)) for found in self.left.values())


def _seem_same(found: Selected, entry: FileEntry) -> bool:
    return entry.size == found.size and entry.modified is not None and entry.modified == found.modified
