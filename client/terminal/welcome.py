"""What `towline` alone says: what it does, and what to type first. All of it is seen at once at 80 columns of 24."""

import os
from collections.abc import Iterator, Mapping
from typing import Final

from client.terminal.help import Row, definitions, text_lines
from client.terminal.options import DEFAULT_SERVER, SERVER_VARIABLE
from client.terminal.paint import paint
from client.terminal.wording import printable

PURPOSE: Final = """\
Towline moves files over one WebSocket and never starts over: whatever breaks
a transfer, the same command goes on where it ended."""
FIRST: Final[tuple[Row, ...]] = (
    ("towline serve", "start a server on this machine"),
    ("towline upload cat.jpg photos/", "send files and folders, or go on sending"),
    ("towline ls", "see what is there"),
    ("towline download cat.jpg", "get it back, or go on getting it"),
)
ELSEWHERE: Final[tuple[Row, ...]] = (
    ("export TOWLINE_SERVER=https://files.example.org", "where it is"),
    ("towline login", "keep your token for it"),
)
THEN: Final[tuple[Row, ...]] = (
    ("uploads, cancel", "what is not complete, and how to go on"),
    ("watch", "uploads and files on the server, live"),
    ("share, request", "links for people without a token"),
    ("doctor", "what is wrong between here and the server, and what mends it"),
)
MORE: Final = "`towline COMMAND --help` has examples of each, `towline --help` lists them all."


def welcome(width: int, *, painted: bool, environment: Mapping[str, str] = os.environ) -> Iterator[str]:
    """The lines, for a terminal of this width."""
    yield from text_lines(PURPOSE, width, painted=painted)
    for heading, rows in (("Begin here", FIRST), ("With a server elsewhere", ELSEWHERE), ("Later", THEN)):
        yield ""
        yield paint(f"{heading}:", "bold", painted=painted)
        yield from definitions(rows, width, left=48)
    yield ""
    server = printable(environment.get(SERVER_VARIABLE, DEFAULT_SERVER))
    yield from text_lines(f"The server is {server}.\n{MORE}", width, painted=painted)
