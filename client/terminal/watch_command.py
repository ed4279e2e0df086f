"""`towline watch`: what happens on the server, as it happens."""

import math
import sys
from typing import Annotated

import typer

from client.terminal.display import Display, JsonDisplay, PlainDisplay
from client.terminal.options import DEFAULT_SERVER, CaFile, Json, Server, TokenFile, connection_to
from client.terminal.outcome import Exit
from client.terminal.running import run


def watch(
    prefix: Annotated[str, typer.Argument(metavar="[PREFIX]", help="Only of names that begin so.")] = "",
    *,
    after: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Go on after the event with this id, as --json shows it.", show_default=False),
    ] = None,
    server: Server = DEFAULT_SERVER,
    ca_file: CaFile = None,
    token_file: TokenFile = None,
    as_json: Json = False,
) -> None:
    """Watch uploads and files on the server, live.

    That is your own uploads as they go on, and the files that you may read as
    they come, are renamed and deleted; administrators see everybody's uploads.
    It goes on by itself after a break, and ends with Ctrl-C.

    Examples:
      towline watch
      towline watch photos/
      towline watch | grep done
      towline watch --json | jq -r 'select(.event == "completed") | .file.url'
    """

    async def work(display: Display) -> Exit:
        from client.terminal.watching import follow, shown_by  # what they need takes its time to load

        async with connection_to(server, ca_file, token_file, give_up_after=math.inf) as connection:
            with shown_by(display, server, as_json=as_json) as shown:
                await follow(connection, shown, prefix, after)
        return Exit.DONE

    run(JsonDisplay(sys.stdout) if as_json else PlainDisplay(sys.stdout, sys.stderr), work)
