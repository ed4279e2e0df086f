"""The `towline` command: which commands there are; each is in a module with those of its kind."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from io import TextIOWrapper
from typing import Annotated

import typer

from client.terminal.access_commands import login, logout, whoami
from client.terminal.completing import words_so_far
from client.terminal.completion import completion
from client.terminal.doctor import doctor
from client.terminal.extensions import add_command_of_others, add_commands_of_others, add_names_of_others
from client.terminal.file_commands import cancel, ls, mv, rm, uploads
from client.terminal.help import HelpfulCommand, HelpfulGroup, help_columns
from client.terminal.lending import lend
from client.terminal.link_commands import links, request, share, unlink
from client.terminal.message_commands import echo, proxy
from client.terminal.paint import is_painted
from client.terminal.transfer_commands import download, upload
from client.terminal.watch_command import watch
from client.terminal.welcome import welcome

app = typer.Typer(
    cls=HelpfulGroup,
    invoke_without_command=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line. Names that an output cannot encode are written as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # there is none when it was closed
            stream.reconfigure(errors="backslashreplace")
    completed = words_so_far(os.environ)
    if completed is not None:
        _prepare_completion(completed)
    arguments = _asking_for_help(sys.argv[1:])
    if completed is None and arguments:
        add_commands_of_others(app, arguments)
    app(arguments, prog_name="towline", obj=lend)


def _asking_for_help(arguments: list[str]) -> list[str]:
    """`towline help ls` means `towline ls --help`."""
    return [*arguments[1:], "--help"] if arguments[:1] == ["help"] else arguments


def _prepare_completion(words: Sequence[str]) -> None:
    """Commands of others are loaded when one of them has been typed; before that their names are enough."""
    from typer.completion import get_completion_inspect_parameters

    get_completion_inspect_parameters()  # which is what makes the shells known
    if len(words) < 2 or not add_command_of_others(app, words[0]):
        add_names_of_others(app)


def _show_version(*, wanted: bool) -> None:
    if wanted:
        try:
            print(f"towline {version('towline')}")
        except PackageNotFoundError:  # run from a checkout that was not installed
            print("towline, not installed")
        raise typer.Exit


@app.callback()
def towline(
    context: typer.Context,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=lambda value: _show_version(wanted=value),
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Moves files over one WebSocket and never starts over.

    Whatever breaks a transfer (network, server, Ctrl-C), the same command goes
    on where it ended.

    Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 75 gave up or taken
    over, 130 Ctrl-C. After 75 and 130 run the same command to go on.

    Examples:
      towline upload cat.jpg
      towline ls
      towline download cat.jpg -o copy.jpg
    """
    if context.invoked_subcommand is None:
        print("\n".join(welcome(help_columns(), painted=is_painted(sys.stdout))))


_COMMANDS: Mapping[str, tuple[Callable[..., None], ...]] = {
    "Files": (upload, ls, download, mv, rm, uploads, cancel, watch),
    "Access": (login, logout, whoami),
    "Links for people without a token": (share, request, links, unlink),
    "Messages": (echo, proxy),
    "When something is wrong": (doctor,),
    "At the prompt": (completion,),
}
for _panel, _commands in _COMMANDS.items():
    for _command in _commands:
        app.command(cls=HelpfulCommand, rich_help_panel=_panel)(_command)


if __name__ == "__main__":
    main()
