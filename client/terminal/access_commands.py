"""`towline login`, `logout` and `whoami`: what can be typed of them."""

from collections.abc import Coroutine
from typing import Annotated

import typer

from client.kept_tokens import Place
from client.terminal import login_command
from client.terminal.display import Display, choose_display
from client.terminal.options import (
    DEFAULT_SERVER,
    CaFile,
    Json,
    Quiet,
    Server,
    ServerArgument,
    TokenFile,
    connection_to,
)
from client.terminal.outcome import Exit
from client.terminal.running import run


def login(
    server: ServerArgument = DEFAULT_SERVER,
    *,
    ca_file: CaFile = None,
    store: Annotated[
        Place | None,
        typer.Option(
            "--store", help="Where to keep it; by default the keyring, where there is one.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Keep a token for a server, so that other commands need none.

    It asks for the token, without showing it, or reads it from the first line
    of stdin; asks the server whose it is; and keeps it for that server alone,
    in your keyring or in a file that only you can read.

    Who cannot keep one gives it in TOWLINE_TOKEN, or in a file with --token-file.

    Examples:
      towline login https://files.example.org
      pass show towline | towline login https://files.example.org --store file
    """

    def work(display: Display) -> Coroutine[None, None, Exit]:
        token = login_command.asked_token(server)  # while no loop runs: Ctrl-C ends it at once
        return login_command.login(display, server, ca_file, token, store)

    run(choose_display(as_json=as_json, quiet=quiet), work)


def logout(server: ServerArgument = DEFAULT_SERVER, *, as_json: Json = False, quiet: Quiet = False) -> None:
    """Forget the token that was kept for a server.

    The token itself stays good: who thinks that others have it asks the server's
    operator to revoke it.

    Examples:
      towline logout https://files.example.org
    """
    run(choose_display(as_json=as_json, quiet=quiet), lambda display: login_command.logout(display, server))


def whoami(
    *, server: Server = DEFAULT_SERVER, ca_file: CaFile = None, token_file: TokenFile = None, as_json: Json = False
) -> None:
    """Show who the server takes you for, and what you may do there.

    That is also whether it still takes your token, and until when.

    Examples:
      towline whoami
      towline whoami --json | jq -r .expires
    """

    async def work(display: Display) -> Exit:
        async with connection_to(server, ca_file, token_file) as connection:
            return await login_command.whoami(display, connection)

    run(choose_display(as_json=as_json, quiet=True), work)
