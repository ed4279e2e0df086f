"""Writes what a run counted into a table of a document, so that its figures are never typed by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path

DURABILITY = Path(__file__).resolve().parents[2] / "docs" / "durability.md"


def record(table: str, rows: Mapping[str, Sequence[str]], document: Path = DURABILITY) -> None:
    """Put `rows` (first cell, other cells) into the table between `<!-- table -->` and `<!-- end of table -->`, each in
    place of the one with the same first cell, or at the end. Raises ValueError where there is no such table."""
    text = document.read_text("utf-8")
    before, opening, rest = text.partition(f"<!-- {table} -->\n")
    between, closing, after = rest.partition(f"<!-- end of {table} -->")
    if not (opening and closing):
        raise ValueError(f"{document.name} has no table {table!r}")
    document.write_text(before + opening + merged(between, rows) + closing + after, "utf-8")


def merged(table: str, rows: Mapping[str, Sequence[str]]) -> str:
    """A Markdown table with these rows in it; its two lines of heading stay."""
    lines = [line for line in table.splitlines() if line.strip()]
    heading, known = lines[:2], {_first_cell(line): line for line in lines[2:]}
    for first, others in rows.items():
        known[first] = "| " + " | ".join([first, *others]) + " |"
    return "\n".join(["", *heading, *known.values(), "", ""])


def _first_cell(line: str) -> str:
    return line.strip("|").split("|", 1)[0].strip()
