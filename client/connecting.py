"""Connections as callers ask for them: with a token, or through a request link."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Unpack

from client.connection import Connection
from client.connection_options import ConnectionOptions
from client.credentials import Credentials
from client.credentials import Source as TokenSource
from client.link_urls import parse_link
from client.token_sources import TokenGiven, token_source
from client.visitor import visitor_id


def connect(
    server: str,
    *,
    token: TokenGiven | None = None,
    ca_file: Path | str | None = None,
    **options: Unpack[ConnectionOptions],
) -> Connection:
    """A connection to `server`, written like `https://files.example.org`; for `async with`.

    `token` says who one is: a text, or a function that gives the newest one, so that a long transfer outlives the
    token with which it began. It is called in a thread, and gives None to be nobody. Without `token` it is that of
    TOWLINE_TOKEN, else the one that `towline login` kept for this server, if any.

    Nothing is sent before the first operation, so a server that is away for a moment is no error. Uploads give up
    after `give_up_after` seconds without progress. Certificates of `https` servers are verified: with the authorities
    in the PEM file `ca_file`, or with those that the system trusts. Raises CannotConnect for a file that has none.
    Its uploads and downloads together move at most `limit_rate` bytes of files a second, on average. `congestion` is
    what uploads go by; see `client.congestion`.

    A large file goes by as many `connections`, at most 16; `auto` opens others beside the first where one does not fill
    the link, as far away and with losses, and keeps them only if they make it faster. Raises ValueError for others.
    """
    credentials = Credentials(server, token_source(server, given=token))
    return Connection(server, credentials=credentials, ca_file=ca_file, **options)


def visit(
    url: str,
    *,
    ca_file: Path | str | None = None,
    warn: Callable[[str], None] | None = None,
    **options: Unpack[ConnectionOptions],
) -> Connection:
    """A connection through a request link, for uploads only; for `async with`. The server puts the names below the
    link's folder. The same upload again goes on where it ended. Raises NoLink, NotPrivate."""
    link = parse_link(url, "request")
    source = TokenSource(
        lambda: link.secret, "that of the request link", "ask whoever gave you the link for another one"
    )
    credentials = Credentials(link.server, source, visitor=visitor_id(link, warn or _warned), warn=warn)
    return Connection(link.server, credentials=credentials, ca_file=ca_file, **options)


def _warned(sentence: str) -> None:
    warnings.warn(sentence, stacklevel=3)
