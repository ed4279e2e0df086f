"""`towline doctor`: what can be typed of it."""

import sys
from shutil import get_terminal_size
from typing import Annotated

import typer

from client.credentials import Credentials
from client.terminal.display import Display, JsonDisplay, PlainDisplay
from client.terminal.options import DEFAULT_SERVER, CaFile, Json, Server, TokenFile, warn
from client.terminal.outcome import Exit
from client.terminal.paint import is_painted
from client.terminal.running import run
from client.tls import tls_context
from client.token_sources import token_source


def doctor(
    *,
    idle: Annotated[
        float,
        typer.Option("--idle", metavar="SECONDS", min=0, help="Also leave a connection silent for so long."),
    ] = 0.0,
    server: Server = DEFAULT_SERVER,
    ca_file: CaFile = None,
    token_file: TokenFile = None,
    as_json: Json = False,
) -> None:
    """Look at what is between here and the server, and say what mends it.

    The address, TLS, both clocks, the server's disk, your token; whether what
    is in between passes WebSockets on, holds small messages back, or cuts large
    ones and silent connections; how far the server is, and how fast it is both
    ways. What a proxy does wrong is told with the setting of nginx, Caddy or a
    cloud's load balancer. Nothing of it stays on the server.

    The exit code is 1 when there is a problem.

    Examples:
      towline doctor
      towline doctor --server https://files.example.org --idle 70
      towline doctor --json | jq -r 'select(.verdict == "problem") | .message'
    """

    async def work(display: Display) -> Exit:
        from client.terminal.doctor_command import Doctor, examine  # what only it needs

        credentials = Credentials(server, token_source(server, file=token_file, warn=warn), warn=warn)
        patient = Doctor(server, credentials, tls_context(server, ca_file), idle)
        return await examine(display, patient, width=get_terminal_size().columns, painted=is_painted(sys.stdout))

    run(JsonDisplay(sys.stdout) if as_json else PlainDisplay(sys.stdout, sys.stderr), work)
