"""Commands of other packages, from the entry point group `towline.commands`: plain functions, annotated for typer, or
typer apps with commands of their own.

They are loaded only when they are asked for. One that does not load is said to be broken, and does not keep the others
from working.
"""

import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Final

import typer

from client.terminal.help import HelpfulCommand, HelpfulGroup
from client.terminal.outcome import Exit
from client.terminal.wording import printable

GROUP: Final = "towline.commands"
SERVICE: Final = "Running a server"
OTHERS: Final = "Commands of other packages"
"""Headings of the help text."""


def add_commands_of_others(app: typer.Typer, arguments: Sequence[str]) -> None:
    """Add what these arguments ask for from the entry points: one command, or all of them for a help text."""
    if arguments and (arguments[0] in _own(app) or add_command_of_others(app, arguments[0])):
        return
    for entry in _known(app).values():
        _add(app, entry)


def add_command_of_others(app: typer.Typer, name: str) -> bool:
    """Add one, if it is one of theirs. Returns whether it is."""
    entry = _known(app).get(name)
    if entry is not None:
        _add(app, entry)
    return entry is not None


def add_names_of_others(app: typer.Typer) -> None:
    """Add what can be typed, and load nothing: for a shell that completes."""
    for name in _known(app):
        app.command(name)(lambda: None)


def _own(app: typer.Typer) -> set[str]:
    own = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    return own | {group.name for group in app.registered_groups if group.name}


def _known(app: typer.Typer) -> dict[str, EntryPoint]:
    own = _own(app)
    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in own}


def _add(app: typer.Typer, entry: EntryPoint) -> None:
    panel = SERVICE if entry.dist is not None and entry.dist.name == "towline" else OTHERS
    try:
        loaded = entry.load()
        if isinstance(loaded, typer.Typer):
            for command in loaded.registered_commands:
                command.cls = HelpfulCommand
            app.add_typer(loaded, cls=HelpfulGroup, name=entry.name, rich_help_panel=panel)
        else:
            app.command(entry.name, cls=HelpfulCommand, rich_help_panel=panel)(loaded)
    except Exception as error:  # noqa: BLE001 - the import of another package fails in its own way
        reason = f"the command {entry.name} does not work here: {type(error).__name__}: {error}"
        settings = {"ignore_unknown_options": True, "allow_extra_args": True}
        app.command(
            entry.name, cls=HelpfulCommand, help=printable(reason), rich_help_panel=panel, context_settings=settings
        )(lambda: _broken(reason))


def _broken(reason: str) -> None:
    print(f"towline: {printable(reason)}", file=sys.stderr)
    raise typer.Exit(Exit.FAILED)
