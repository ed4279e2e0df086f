"""The page of the command line, from the typer app: every command with its arguments, options and examples."""

import re
from collections.abc import Mapping, Sequence
from inspect import cleandoc
from typing import Final, Protocol, cast

from typer.main import get_command

from client.cli import app
from client.terminal.extensions import add_commands_of_others
from client.terminal.outcome import CODES, OTHER, Exit
from manual.markdown import code, escaped, page, prose, table

_INTRODUCTION: Final = """\
What `towline COMMAND --help` says, of all commands. Commands in the last group are for the machine that the
server runs on."""
_EXITS: Final[Mapping[Exit, str]] = {
    Exit.DONE: "done",
    Exit.FAILED: "refused or failed; of several files, at least one",
    Exit.USAGE: "wrong usage",
    Exit.RESUMABLE: "gave up after a time without progress (`--give-up-after`), or another client took the upload over:"
    " run the same command to go on",
    Exit.INTERRUPTED: "Ctrl-C: run the same command to go on",
}
_ERRORS: Final = """\
With `--json` an error has a `code`, which stays the same from version to version. It is one of
[the server's](messages.md#error-codes), or one of these."""
_OF_PYTHON: Final[Mapping[type[BaseException], str]] = {
    KeyboardInterrupt: "Ctrl-C.",
    OSError: "The system has refused something, such as to read a file.",
}


class _Context(Protocol):
    """A call of a command, as far as its help goes."""


class _Parameter(Protocol):
    """An argument or an option."""

    param_type_name: str

    def get_help_record(self, ctx: _Context) -> tuple[str, str] | None: ...


class _Command(Protocol):
    """What typer makes of a function, or of an app with commands of its own."""

    help: str | None
    hidden: bool
    params: Sequence[_Parameter]

    def make_context(
        self, info_name: str, args: list[str], parent: _Context | None, *, resilient_parsing: bool
    ) -> _Context: ...

    def get_usage(self, ctx: _Context) -> str: ...


def command_line_page() -> str:
    """The page `docs/reference/command-line.md`."""
    add_commands_of_others(app, [])
    root = cast("_Command", get_command(app))
    context = root.make_context("towline", [], None, resilient_parsing=True)
    own = f"## towline\n\n{_described(root, context)}"
    sections = [
        f"## {panel}\n\n" + "\n\n".join(_section(name, command, context, "###") for name, command in members)
        for panel, members in _panels(root).items()
    ]
    return page("Command line", _INTRODUCTION, own, *sections, _exit_codes(), _error_codes())


def _exit_codes() -> str:
    rows = [[str(int(number)), _EXITS[number]] for number in Exit]
    return f"## Exit codes\n\n{table(('code', 'means'), rows)}"


def _error_codes() -> str:
    rows = [[code(said), _OF_PYTHON.get(error) or prose(error.__doc__ or "")] for error, said in CODES.items()]
    rows.append([code(OTHER), "Anything else; its sentence says what."])
    return f"## Error codes\n\n{prose(_ERRORS)}\n\n{table(('code', 'when'), rows)}"


def _commands(group: object) -> list[tuple[str, _Command]]:
    commands: Mapping[str, _Command] = getattr(group, "commands", {})
    return [(name, command) for name, command in commands.items() if not command.hidden]


def _panels(root: _Command) -> dict[str, list[tuple[str, _Command]]]:
    """The commands as the help text groups them."""
    panels: dict[str, list[tuple[str, _Command]]] = {}
    for name, command in _commands(root):
        panels.setdefault(str(getattr(command, "rich_help_panel", None) or "Commands"), []).append((name, command))
    return panels


def _section(name: str, command: _Command, parent: _Context, level: str) -> str:
    """A command, and below it those that it has itself."""
    context = command.make_context(name, [], parent, resilient_parsing=True)
    path = command.get_usage(context).removeprefix("Usage: ").partition(" [")[0].partition(" {")[0]
    inner = [_section(sub, within, context, level + "#") for sub, within in _commands(command)]
    return "\n\n".join([f"{level} {path}", _described(command, context), *inner])


def _described(command: _Command, context: _Context) -> str:
    usage = f"```\n{' '.join(command.get_usage(context).removeprefix('Usage: ').split())}\n```"
    said, _, examples = cleandoc(command.help or "").partition("\nExamples:\n")
    parts = [prose(escaped(said)), usage, _parameters(command, context)]
    if examples:
        parts.append(f"Examples:\n\n```sh\n{_without_gaps(examples)}\n```")
    return "\n\n".join(part for part in parts if part)


def _without_gaps(examples: str) -> str:
    return cleandoc("\n" + re.sub(r"\n\s*\n", "\n", examples.strip("\n")))


def _parameters(command: _Command, context: _Context) -> str:
    records = [record for parameter in command.params if (record := parameter.get_help_record(context))]
    rows = [[code(declared), escaped(said)] for declared, said in records]
    return table(("argument or option", "what it is"), rows).rstrip() if rows else ""
