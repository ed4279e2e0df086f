"""Markdown that says what it is given, character by character: tables, code, paragraphs."""

import re
from collections.abc import Iterable, Sequence
from textwrap import fill
from typing import Final

WIDTH: Final = 120


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already, and one line each."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def code(text: object) -> str:
    """A text that stands for itself."""
    return f"`{text}`"


def prose(text: str) -> str:
    """The paragraphs of a docstring or a help text, in lines of the repository's width."""
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(fill(" ".join(part.split()), WIDTH, break_on_hyphens=False) for part in paragraphs)


def escaped(text: str) -> str:
    """A sentence in which nothing is markup but its code."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([<*])", r"\\\1", part) for part in parts)


def page(title: str, introduction: str, *sections: str) -> str:
    """A page of the reference, which says that nobody is to write in it."""
    head = f"# {title}\n\n<!-- Written by `./run docs` from the code: change that, and run it again. -->"
    return "\n\n".join([head, prose(introduction), *(section.strip() for section in sections)]) + "\n"
