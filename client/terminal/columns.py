"""Text that stands below one another: names in columns, as `ls` of a shell has them, and rows of a table.

Widths are what a terminal shows: some characters take two columns, others none.
"""

import textwrap
from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

GAP: Final = 2
"""Spaces between two columns."""


def width_of(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # for texts that need it alone: its tables take their time to load

    return cell_len(text)


def padded(text: str, width: int, *, to_the_right: bool = False) -> str:
    """The text with spaces after it, or before it, up to a width."""
    spaces = " " * (width - width_of(text))
    return spaces + text if to_the_right else text + spaces


def fitted(sentence: str, width: int | None) -> str:
    """A sentence in lines of so many columns, broken between words: a longer word stays whole, to be copied."""
    if width is None or width_of(sentence) <= width:
        return sentence
    return "\n".join(textwrap.wrap(sentence, width, break_long_words=False, break_on_hyphens=False))


def in_columns(texts: Sequence[str], width: int) -> list[str]:
    """Lines with as many columns as fit into a width, read downwards; one column where only that fits."""
    lengths = [width_of(text) for text in texts]
    for count in range(min(len(texts), (width + GAP) // (min(lengths, default=0) + GAP)), 1, -1):
        height = -(-len(texts) // count)
        widths = [max(lengths[start : start + height]) for start in range(0, len(texts), height)]
        if sum(widths) + GAP * (len(widths) - 1) <= width:
            columns = [texts[start : start + height] for start in range(0, len(texts), height)]
            return [_line(row, widths) for row in zip_longest(*columns, fillvalue="")]
    return list(texts)


def in_rows(rows: Sequence[Sequence[str]], *, to_the_right: Sequence[int] = ()) -> list[str]:
    """A line for each row, whose cells stand below one another; those of some columns end there."""
    widths = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    return [_line(row, widths, to_the_right) for row in rows]


def in_rows_or_blocks(rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """As `in_rows` where that fits into the width; else each row in a block, its first cell above the others."""
    lines = in_rows(rows)
    if width is None or max(map(width_of, lines), default=0) <= width:
        return lines
    return ["\n    ".join([first, *fitted(", ".join(others), width - 4).split("\n")]) for first, *others in rows]


def _line(cells: Sequence[str], widths: Sequence[int], to_the_right: Sequence[int] = ()) -> str:
    shown = (
        padded(cell, width, to_the_right=number in to_the_right)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return (" " * GAP).join(shown).rstrip()
