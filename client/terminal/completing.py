"""What a shell is offered when somebody presses Tab: names on the server, quickly or not at all.

They are words that others chose, and land on a command line that is run next: only names that a shell takes for one
word as they stand are offered, whichever shell it is. A keyring is not asked for a token: it may ask back.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Final

import typer

from client.connection import Connection
from client.credentials import Credentials
from client.errors import ClientError
from client.kept_tokens import KeptTokens
from client.terminal.options import CA_VARIABLE, DEFAULT_SERVER, SERVER_VARIABLE
from client.token_sources import ENVIRONMENT, token_source
from transfer.protocol.errors import TransferError

VARIABLE: Final = "_TOWLINE_COMPLETE"
"""By this a shell's function asks; typer makes it of the program's name."""
PATIENCE_SECONDS: Final = 1.0
MOST_OFFERED: Final = 500
ONE_WORD: Final = re.compile(r"[\w./@+,][\w./@+,-]*")
"""Nothing that bash, zsh or fish would expand, split at, or take for an option."""


def names_on_server(context: typer.Context, incomplete: str) -> list[str]:
    """Names of files that begin so; none where the server does not answer in time, or does not say."""

    async def names(connection: Connection) -> AsyncIterator[str]:
        async with aclosing(connection.list_files(incomplete)) as files:  # type: ignore[type-var]
            async for file in files:
                yield str(file.name)

    return _offered(context, names)


def unfinished_on_server(context: typer.Context, incomplete: str) -> list[str]:
    """Ids of uploads that are not complete; the same holds."""

    async def ids(connection: Connection) -> AsyncIterator[str]:
        for upload in await connection.uploads():
            yield upload.upload_id

    return _offered(context, ids)


def words_so_far(environment: Mapping[str, str]) -> list[str] | None:
    """What is typed behind `towline` while a shell asks for completions; None while none does."""
    if not environment.get(VARIABLE):
        return None
    return (environment.get("COMP_WORDS") or environment.get("_TYPER_COMPLETE_ARGS", "")).split()[1:]


def _offered(context: typer.Context, words: Callable[[Connection], AsyncIterator[str]]) -> list[str]:
    async def ask(connection: Connection) -> list[str]:
        found: list[str] = []
        async with asyncio.timeout(PATIENCE_SECONDS), connection:
            async for word in words(connection):
                if ONE_WORD.fullmatch(word):
                    found.append(word)
                if len(found) == MOST_OFFERED:
                    break
        return found

    try:
        connection = _connection(context)
        return [] if connection is None else asyncio.run(ask(connection))
    except (TransferError, ClientError, OSError):  # a line that is being typed is no place to complain
        return []


def _connection(context: typer.Context) -> Connection | None:
    """By the options so far, and else the environment; None where only a keyring has the token."""
    server = str(context.params.get("server") or os.environ.get(SERVER_VARIABLE) or DEFAULT_SERVER)
    ca_file, token_file = context.params.get("ca_file") or os.environ.get(CA_VARIABLE), context.params.get("token_file")
    if not token_file and not os.environ.get(ENVIRONMENT) and KeptTokens().place(server) == "keyring":
        return None
    source = token_source(server, file=Path(str(token_file)) if token_file else None)
    return Connection(server, credentials=Credentials(server, source, warn=lambda sentence: None), ca_file=ca_file)
