"""What documents and help texts show of `towline` can be typed: there is such a command, and it has these options.

Those of the consoles are run, by tests/test_documents.py and tests/howto/; these are only read, as typer reads them.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from typer.main import get_command

from client.cli import app
from client.terminal.extensions import add_commands_of_others
from tests.fences import blocks
from tests.test_documents import DOCUMENTS

_TYPED: Final = re.compile(r"(?:^|[|&;(]\s*|[A-Z_]+=\S+ |sudo -u towline )towline ((?:'[^']*'|\"[^\"]*\"|[^|&;)#\n])*)")
_ASIDE: Final = "  "
"""Two spaces begin what is said beside a command."""
_LEFT_OUT: Final = re.compile(r"…|\.\.\.|[A-Z]{3,}|N\b")
"""What somebody has to put something in the place of."""


def shown_commands(document: Path) -> Iterator[str]:
    for block in blocks(document, "sh"):
        for line in block.text.replace("\\\n", " ").splitlines():
            for match in _TYPED.finditer(line.strip()):
                command = match[1].strip().partition(_ASIDE)[0]
                if not _LEFT_OUT.search(command):
                    yield command


COMMANDS: Final = sorted({command for document in DOCUMENTS for command in shown_commands(document)})


def test_there_are_commands_of_many_kinds() -> None:
    assert len({command.split()[0] for command in COMMANDS}) > 15


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_is_shown_can_be_typed(command: str) -> None:
    add_commands_of_others(app, [])
    group, context = get_command(app), None
    name, arguments = "towline", shlex.split(command)
    while (inner := getattr(group, "commands", None)) is not None and arguments:
        context = group.make_context(name, [], context, resilient_parsing=True)
        name = arguments.pop(0)
        assert name in inner, f"there is no command {name}"
        group = inner[name]
    group.make_context(name, arguments, context)
