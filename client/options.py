"""What several commands have in common: their options, and the connection that these ask for."""

from pathlib import Path
from typing import Annotated, Final

import typer

from client.connection import Connection
from client.errors import CannotConnect
from client.http import base_url
from client.retry import GIVE_UP_AFTER

DEFAULT_SERVER: Final = "http://127.0.0.1:8000"


def _server(value: str) -> str:
    try:
        base_url(value)
    except CannotConnect as refused:
        raise typer.BadParameter(f"{value!r}: {refused.reason}") from None
    return value


Server = Annotated[
    str,
    typer.Option(
        "--server", "-s", metavar="URL", envvar="TOWLINE_SERVER", callback=_server, help="Where the server is."
    ),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        metavar="FILE",
        envvar="TOWLINE_CA_FILE",
        help="Trust the authorities in this PEM file, instead of the system's.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Write one JSON object a line to stdout, for programs.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only what went wrong.")]
GiveUpAfter = Annotated[
    float,
    typer.Option(
        "--give-up-after",
        metavar="SECONDS",
        min=0,
        help="Go on trying for so long without progress; then end with exit code 75.",
    ),
]


def connection_to(server: str, ca_file: Path | None, *, give_up_after: float = GIVE_UP_AFTER) -> Connection:
    """The connection that the options ask for. Raises CannotConnect."""
    return Connection(server, ca_file=ca_file, give_up_after=give_up_after)
