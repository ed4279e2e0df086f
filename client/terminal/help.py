"""Help texts: what is written in docstrings, laid out for the terminal that there is.

At 80 columns and more, lines are as they were written. Below that paragraphs are wrapped, what stood beside one another
stands below, and no word of it is left out. A command in an example is never broken: it is for copying.
"""

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from shutil import get_terminal_size
from sys import stdout
from typing import TYPE_CHECKING, Final

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from client.terminal.paint import is_painted, paint

if TYPE_CHECKING:
    from typer._click import Command, Context, HelpFormatter

WRITTEN_COLUMNS: Final = 80
"""For so many docstrings are written."""
WIDEST: Final = 100
"""Longer lines are hard to read."""
BESIDE_COLUMNS: Final = 60
"""With fewer an explanation stands below what it explains."""
LEFT_COLUMNS: Final = 26
EXAMPLES: Final = "Examples:"

Row = tuple[str, str]
"""What can be typed, and what it is for."""


class HelpfulCommand(TyperCommand):
    """A command whose help text is laid out here."""

    def format_help(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        _write(formatter, ctx, self, {})


class HelpfulGroup(TyperGroup):
    """The same for a command that has others, in the order in which they were added, each under its heading."""

    def format_help(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        sections: dict[str, list[Row]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                panel = getattr(command, "rich_help_panel", None) or "Commands"
                sections.setdefault(str(panel), []).append((name, _purpose(command)))
        _write(formatter, ctx, self, sections)


def _write(
    formatter: "HelpFormatter", ctx: "Context", command: "Command", further: Mapping[str, Sequence[Row]]
) -> None:
    ctx.color = is_painted(stdout)
    width, painted = help_columns(), is_painted(stdout)
    usage = _plain(f"{ctx.command_path} {' '.join(command.collect_usage_pieces(ctx))}")
    parts = [_hanging(usage, f"{paint('Usage:', 'bold', painted=painted)} ", width, len("Usage: "))]
    parts.append("\n".join(text_lines(command.help or "", width, painted=painted)))
    for heading, rows in [*_sections(ctx, command), *further.items()]:
        lines = definitions(rows, width)
        parts.append("\n".join([paint(f"{heading}:", "bold", painted=painted), *lines]))
    formatter.write("\n\n".join(part for part in parts if part) + "\n")


def _sections(ctx: "Context", command: "Command") -> Iterator[tuple[str, list[Row]]]:
    """Arguments and options, where there are any that say what they are for."""
    for heading, kind in (("Arguments", TyperArgument), ("Options", TyperOption)):
        records = (param.get_help_record(ctx) for param in command.get_params(ctx) if isinstance(param, kind))
        if rows := [(_plain(record[0]), _plain(record[1])) for record in records if record is not None]:
            yield heading, rows


def _plain(text: str) -> str:
    """Without what says of a word how it is typed in Python: `{PATH}`, `PATH <list[str]>`, `--data FOLDER (./data)`."""
    text = re.sub(r"\{([A-Z_]+)\}", r"\1", text)
    text = re.sub(r"([A-Z_]+) <(?:list\[)?str\]?>", r"\1", text).replace("<str>", "TEXT")
    return re.sub(r"default: \(([^)]*)\)", r"default: \1", text)


def _purpose(command: "Command") -> str:
    """The first sentence of its help text."""
    return (command.help or "").strip().partition("\n\n")[0].replace("\n", " ")


# ------------------------------------------------------------------------------------------------------------ layout


def help_columns() -> int:
    """How wide a help text is here."""
    return min(get_terminal_size().columns, WIDEST)


def text_lines(text: str, width: int, *, painted: bool) -> Iterator[str]:
    """A docstring for a terminal of this width."""
    prose, heading, examples = text.strip().partition(EXAMPLES)
    for number, paragraph in enumerate(part for part in prose.strip().split("\n\n") if part):
        if number:
            yield ""
        lines = paragraph.split("\n")
        yield from lines if width >= WRITTEN_COLUMNS else textwrap.wrap(" ".join(lines), width)
    if heading:
        yield ""
        yield paint(EXAMPLES, "bold", painted=painted)
        yield from _examples(filter(str.strip, examples.split("\n")), width)


def _examples(lines: Iterable[str], width: int) -> Iterator[str]:
    for line in textwrap.dedent("\n".join(lines)).split("\n"):
        command, _, explanation = re.sub(r" {3,}", "\0", line).partition("\0")
        if explanation and len(line) + 2 > width:
            yield f"  {command}"
            yield from textwrap.wrap(explanation, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
        else:
            yield f"  {line}"


def definitions(rows: Sequence[Row], width: int, *, left: int = LEFT_COLUMNS) -> Iterator[str]:
    """What can be typed, and beside it, or below it where that is too narrow or it too long, what it is for."""
    beside = width >= BESIDE_COLUMNS
    column = min(left, max((len(name) for name, _ in rows), default=0)) if beside else 4
    for name, purpose in rows:
        indent = " " * (column + 4 if beside else 6)
        lines = textwrap.wrap(purpose, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False)
        if lines and beside and len(name) <= column:
            lines[0] = f"  {name:<{column}}  {lines[0].lstrip()}"
        else:
            lines.insert(0, f"  {name}")
        yield from lines


def _hanging(text: str, heading: str, width: int, indent: int) -> str:
    lines = textwrap.wrap(text, max(20, width - indent), break_long_words=False, break_on_hyphens=False)
    return heading + ("\n" + " " * indent).join(lines)
