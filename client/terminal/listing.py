"""What `towline ls` shows of files: their names in columns, or a line for each with its size and time."""

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from client.terminal.columns import in_columns, in_rows, width_of
from client.terminal.display import Display
from client.terminal.wording import printable, size_words
from transfer.protocol.messages import FileEntry

SortKey = Literal["name", "size", "created", "modified"]
BLOCK: Final = 1_000
"""So many files are laid out together: a million do not have to be in memory, nor to be waited for."""
NOBODY: Final = "anonymous"
"""Who sent everything to a server that asks nobody for a token."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How files are shown. Without a `width` each has a line of its own; `is_long` says more of it than its name."""

    is_long: bool
    width: int | None
    sort: SortKey

    def lines(self, files: Sequence[FileEntry]) -> list[str]:
        """The lines for some files. A name is shown whole, however long it is."""
        if self.is_long:
            return self._long_lines(files)
        names = [printable(str(file.name)) for file in files]
        return names if self.width is None else in_columns(names, self.width)

    def _long_lines(self, files: Sequence[FileEntry]) -> list[str]:
        """Size, time, and who sent it where somebody is named; and the name, below them where it does not fit."""
        is_named = any(file.owner not in (None, NOBODY) for file in files)
        rows = [
            [
                size_words(file.size),
                self._time_words(file),
                *([printable(file.owner or "")] if is_named else []),
                _name(file),
            ]
            for file in files
        ]
        lines = in_rows(rows, to_the_right=(0,))
        if self.width is None:
            return lines
        return [
            line if width_of(line) <= self.width else f"{line.removesuffix(name).rstrip()}\n    {name}"
            for line, (*_, name) in zip(lines, rows, strict=True)
        ]

    def _time_words(self, file: FileEntry) -> str:
        moment = file.created if self.sort == "created" else file.modified or file.created
        return f"{moment.astimezone():%Y-%m-%d %H:%M}"


@dataclass(slots=True)
class Listed:
    """How many files were shown, and their sizes together."""

    files: int = 0
    size: int = 0

    @property
    def sentence(self) -> str:
        return f"{self.files:,} {'file' if self.files == 1 else 'files'}, {size_words(self.size)}"


async def show_files(display: Display, files: AsyncIterable[FileEntry], layout: Layout, *, as_json: bool) -> Listed:
    """Show files as they come, and count them."""
    listed = Listed()
    async for block in _blocks(files):
        listed.files += len(block)
        listed.size += sum(file.size for file in block)
        if as_json:
            for file in block:
                display.data("", file.model_dump(mode="json"))
        else:
            for line in layout.lines(block):
                display.data(line, {})
    return listed


async def _blocks(files: AsyncIterable[FileEntry]) -> AsyncIterator[list[FileEntry]]:
    block: list[FileEntry] = []
    async for file in files:
        block.append(file)
        if len(block) == BLOCK:
            yield block
            block = []
    if block:
        yield block


def _name(file: FileEntry) -> str:
    return printable(str(file.name))
