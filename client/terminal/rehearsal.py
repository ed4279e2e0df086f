"""What `towline upload --dry-run` says of files that were compared with what the server has."""

import asyncio
from typing import Final

from client.partial import HashedFile
from client.progress import Complete, Failed
from client.small_files import unchanged
from client.terminal.comparison import Comparison
from client.terminal.display import Display
from client.terminal.outcome import NAME_TAKEN_ADVICE
from client.terminal.selection import Selected
from client.terminal.tally import Tally
from client.terminal.wording import Facts, count_words, printable, size_words
from transfer.protocol.digest import Digest
from transfer.protocol.errors import Exists
from transfer.protocol.messages import IfExists

_TAKEN: Final[dict[IfExists, str]] = {
    "replace": ", in place of what is there",
    "rename": ", under a name with a number",
}


class Rehearsal:
    """Tells what would be done with each file. What is hashed for that would be hashed again."""

    def __init__(self, display: Display, tally: Tally, if_exists: IfExists) -> None:
        self._display, self._tally, self._if_exists = display, tally, if_exists
        self._count = self._size = 0

    async def run(self, comparison: Comparison) -> None:
        """Tell of what is left of the files, and sum up."""
        for found in comparison.left.values():
            try:
                await self._tell(found, comparison)
            except (Exists, OSError) as error:
                failed = Failed(name=found.name, error=error)
                self._tally.count(failed)
                self._display.show(failed)
        self._sum_up()

    def unchanged(self, event: Complete) -> None:
        """Tell of one that would not be sent."""
        self._tally.count(event)
        self._display.notice("unchanged", f"{event.name}: unchanged", {"name": event.name}, detail=True)

    async def _tell(self, found: Selected, comparison: Comparison) -> None:
        """Raises Exists, OSError."""
        entry, taken = comparison.same_size(found), found.name in comparison.stored
        if entry is not None and await asyncio.to_thread(_digest_of, found, entry.digest) == entry.digest:
            self.unchanged(unchanged(found.name, entry))
            return
        if taken and self._if_exists == "error":
            raise Exists(f"the name {found.name!r} is taken by other content: {NAME_TAKEN_ADVICE}")
        self._count, self._size = self._count + 1, self._size + found.size
        how = _TAKEN[self._if_exists] if taken else ""
        facts: Facts = {"event": "would_send", "name": found.name, "path": str(found.path), "size": found.size}
        self._display.data(printable(f"{found.name}: would be sent, {size_words(found.size)}{how}"), facts)

    def _sum_up(self) -> None:
        would = {"would_send": self._count, "would_send_bytes": self._size}
        sentence = f"{count_words(self._count, 'file')} would be sent, {size_words(self._size)}{self._tally.others}"
        self._display.notice("summary", f"{sentence}; nothing was changed", {**self._tally.facts, **would})


def _digest_of(found: Selected, theirs: Digest) -> Digest:
    """Blocks. Raises OSError."""
    file = HashedFile.open(found.path, theirs.algorithm)
    try:
        while file.hash_some(found.size):
            pass
        return file.digest
    finally:
        file.close()
