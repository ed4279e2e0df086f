"""What `towline login`, `logout` and `whoami` do: keep a token that the server took, forget it, show whose it is."""

import sys
from pathlib import Path

from pydantic import SecretStr

from client.connection import Connection
from client.credentials import Credentials, Source
from client.errors import ClientError
from client.http import WhoAmI
from client.kept_tokens import KeptTokens, Place
from client.terminal.display import Display
from client.terminal.options import warn
from client.terminal.outcome import Exit
from client.terminal.prompts import at_terminal, typed_unseen
from client.terminal.wording import printable, size_words
from client.token_sources import checked
from transfer.protocol import limits


def asked_token(server: str) -> SecretStr:
    """The token that somebody types, unseen, or the first line of a stdin that is no terminal. Raises BadToken."""
    if sys.stdin is None:
        raise ClientError("there is no stdin to read a token from")
    if at_terminal():
        return checked(typed_unseen(f"token for {printable(server)}: ").strip(), "what was typed")
    line = sys.stdin.buffer.readline(limits.MAX_TOKEN_BYTES + 3)
    return checked(line.decode("utf-8", "replace").strip(), "the first line of stdin")


async def login(display: Display, server: str, ca_file: Path | None, token: SecretStr, place: Place | None) -> Exit:
    """Ask the server whose token this is, and keep it. Raises Unauthorized, and keeps nothing then."""
    source = Source(lambda: token, "the one that was given here", "ask the server's operator for one that is good")
    credentials = Credentials(server, source, warn=warn)
    async with Connection(server, credentials=credentials, ca_file=ca_file) as connection:
        caller = await connection.whoami()
    where = KeptTokens().keep(server, token, place)
    sentence = f"{caller.subject} is logged in to {server}; the token is kept in {where}"
    display.notice("logged_in", sentence, {"server": server, "kept_in": where, **caller.model_dump(mode="json")})
    return Exit.DONE


async def logout(display: Display, server: str) -> Exit:
    """Forget the token; it stays good for whoever has it."""
    forgotten = KeptTokens().forget(server)
    sentence = "the token for {} is forgotten here" if forgotten else "there was no token for {}"
    display.notice("logged_out", sentence.format(server), {"server": server, "forgotten": forgotten})
    return Exit.DONE


async def whoami(display: Display, connection: Connection) -> Exit:
    caller = await connection.whoami()
    display.data(_lines(caller), caller.model_dump(mode="json"))
    return Exit.DONE


def _lines(caller: WhoAmI) -> str:
    rows = {"may": ", ".join(caller.scopes) or "nothing"}
    if caller.prefix:
        rows["names"] = f"those that begin with {caller.prefix}"
    if caller.quota is not None:
        used = f", of which {size_words(caller.used)} are used" if caller.used is not None else ""
        rows["quota"] = size_words(caller.quota) + used
    if caller.expires is not None:
        rows["expires"] = f"{caller.expires.astimezone():%Y-%m-%d %H:%M}"
    details = "".join(f"\n  {name + ':':<9}{printable(value)}" for name, value in rows.items())
    return printable(caller.subject) + details
