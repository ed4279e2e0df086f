"""What several commands have in common: their options, and the connection that these ask for."""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Unpack

import typer

from client.congestion import CongestionChoice
from client.connection import Connection
from client.connection_options import MOST_ASKED_FOR, ConnectionOptions, checked_count
from client.credentials import Credentials
from client.errors import CannotConnect
from client.server_url import base_url
from client.terminal.exclusion import Exclusion
from client.terminal.wording import printable
from client.token_sources import token_source
from client.uploader import Count

DEFAULT_SERVER: Final = "http://127.0.0.1:8000"
SERVER_VARIABLE: Final = "TOWLINE_SERVER"
CA_VARIABLE: Final = "TOWLINE_CA_FILE"
_RATE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)([KMG]?)", re.ASCII | re.IGNORECASE)
_DRIVE: Final = re.compile(r"[A-Za-z]:(?=[/\\]|$)")
_UNITS: Final = ("", "K", "M", "G")


def _refuse_token(text: str) -> None:
    """What somebody has taken for the place of a token: it is not shown. Raises BadParameter."""
    if text.startswith(("towline_", "eyJ")):  # as the server's own begin, and JSON Web Tokens
        raise typer.BadParameter(
            "that looks like a token, which others can read in a command: have it revoked; "
            "`towline login SERVER` asks for one, and TOWLINE_TOKEN takes it"
        )


def _server(value: str) -> str:
    _refuse_token(value)
    try:
        base_url(value)
    except CannotConnect as refused:
        raise typer.BadParameter(f"{value!r}: {refused.reason}") from None
    return value


def _token_file(value: Path | None) -> Path | None:
    if value == Path("-"):
        raise typer.BadParameter("stdin is for content: give a file, or TOWLINE_TOKEN")
    _refuse_token(str(value or ""))
    return value


def count_of(text: str) -> Count:
    """How many connections: `auto`, or a number."""
    try:
        return "auto" if text == "auto" else checked_count(int(text))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not auto, nor a number from 1 to {MOST_ASKED_FOR}") from None


def exclusion_of(patterns: Sequence[str]) -> Exclusion:
    """What the patterns exclude."""
    try:
        return Exclusion(patterns)
    except ValueError as refused:
        raise typer.BadParameter(f"{refused}", param_hint="--exclude") from None


def typed_name(value: str | None) -> str | None:
    """A name, or the beginning of one, that nobody has written as a path of Windows."""
    if value is not None and (drive := _DRIVE.match(value)):
        rest = value[drive.end() :].replace("\\", "/").lstrip("/")
        raise typer.BadParameter(f"{value!r}: a name on the server has no drive: did you mean {rest!r}?")
    if value is not None and "\\" in value:
        asked = value.replace("\\", "/")
        raise typer.BadParameter(f"{value!r}: the parts of a name have / between them: did you mean {asked!r}?")
    return value


def rate_of(text: str) -> float:
    """Bytes a second, as curl and wget have them written: K, M and G stand for 1024, 1024² and 1024³."""
    match = _RATE.fullmatch(text)
    rate = float(match[1]) * 1024 ** _UNITS.index(match[2].upper()) if match else 0.0
    if rate < 1:
        raise typer.BadParameter(f"{text!r}: a rate is a number of bytes, such as 500K, 2M or 1.5G, and at least 1")
    return rate


Server = Annotated[
    str,
    typer.Option(
        "--server", "-s", metavar="URL", envvar=SERVER_VARIABLE, callback=_server, help="Where the server is."
    ),
]
ServerArgument = Annotated[
    str, typer.Argument(metavar="[SERVER]", envvar=SERVER_VARIABLE, callback=_server, help="Where the server is.")
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        metavar="FILE",
        envvar=CA_VARIABLE,
        help="Trust the authorities in this PEM file, instead of the system's.",
        show_default=False,
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        callback=_token_file,
        help="Its first line is your token; else TOWLINE_TOKEN, else what `towline login` kept.",
    ),
]
LimitRate = Annotated[
    float | None,
    typer.Option(
        "--limit-rate",
        metavar="RATE",
        parser=rate_of,
        help="Move at most so many bytes a second, on average; K, M and G are 1024-based, as in 2M.",
        show_default=False,
    ),
]
Congestion = Annotated[
    CongestionChoice,
    typer.Option(
        "--congestion",
        help="How the sender paces itself: auto is bbr, where the system has it and the server is on another machine.",
    ),
]
Connections = Annotated[
    str,
    typer.Option(
        "--connections",
        metavar="auto|N",
        callback=lambda value: str(count_of(value)),
        help="Send a large file by so many connections, 1 to 16; auto: more than one where that is faster.",
    ),
]
Parallel = Annotated[
    int, typer.Option("--parallel", metavar="N", min=1, max=MOST_ASKED_FOR, help="How many files to move at a time.")
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        "-x",
        metavar="PATTERN",
        help="Leave out what matches, as in a .gitignore; may be given several times.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Write one JSON object a line to stdout, for programs.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only what went wrong.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say of each connection how far away the server is, and how it sends.")
]
GiveUpAfter = Annotated[
    float,
    typer.Option(
        "--give-up-after",
        metavar="SECONDS",
        min=0,
        help="Go on trying for so long without progress; then end with exit code 75.",
    ),
]


def connection_to(
    server: str, ca_file: Path | None, token_file: Path | None, **options: Unpack[ConnectionOptions]
) -> Connection:
    """The connection that the options ask for, with the user's token for that server. Raises CannotConnect."""
    source = token_source(server, file=token_file, warn=warn)
    return Connection(server, credentials=Credentials(server, source, warn=warn), ca_file=ca_file, **options)


def given_options(server: str, ca_file: Path | None, token_file: Path | None) -> list[str]:
    """What another command needs to mean the same server: the options that say what the environment does not."""
    options = {"--server": server, "--ca-file": ca_file, "--token-file": token_file}
    usual = {"--server": os.environ.get(SERVER_VARIABLE, DEFAULT_SERVER), "--ca-file": os.environ.get(CA_VARIABLE)}
    return [
        word
        for option, value in options.items()
        if value is not None and str(value) != usual.get(option)
        for word in (option, str(value))
    ]


def warn(sentence: str) -> None:
    """Tell people of something that is not safe, however quiet the command is."""
    print(f"towline: warning: {printable(sentence)}", file=sys.stderr, flush=True)
