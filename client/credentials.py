"""Which token a connection presents to its one server: the newest that its source has.

The source is looked at before the first request and again every half minute, so that a program or a file can renew
a token while a transfer runs. What a source is, is in `client.token_sources`.
"""

import asyncio
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from pydantic import JsonValue, SecretStr

from client.errors import ClientError
from client.server_url import base_url
from transfer.protocol.errors import Unauthorized

LOOK_AGAIN_SECONDS: Final = 30.0


class TokenInTheClear(UserWarning):
    """A token goes over plain HTTP to another machine."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a token comes from. `look` may block, and is called in a thread; what else it raises than ClientError and
    OSError ends the transfer."""

    look: Callable[[], SecretStr | None]
    origin: str
    """Completes the sentence `it is …`."""
    remedy: str
    """What to do when the server does not take it."""


class TokenRefused(Unauthorized):
    """The server wants a token, or another one, or this one has expired. `str()` says where it came from and what to
    do; the token itself is in no sentence."""

    def __init__(self, message: str, credentials: "Credentials", token: SecretStr | None, **facts: JsonValue) -> None:
        super().__init__(message, **facts)
        self.token = token
        self.resumable = False
        """Whether it cut an upload, of which there is something on the server."""
        self._credentials = credentials

    async def renewed(self) -> bool:
        """Whether there is another token by now. Raises what looking at the source does."""
        newest = await self._credentials.look()
        return newest is not None and newest != self.token

    def __str__(self) -> str:
        source = self._credentials.source
        came = f" (the token is {source.origin})" if self.token is not None else ""
        said = self.message if self.token is not None else "this server asks for a token"  # and how to, for programs
        remedy = source.remedy if self.token is not None else how_to_get_one(self._credentials.server)
        kept = "; what is durable stays, and the same command goes on with a new token" if self.resumable else ""
        return f"{said}{came}: {remedy}{kept}"


class Credentials:
    """The token for one server. `visitor` tells who comes through a request link from the others who do. `warn` is told
    once when the token goes there in the clear."""

    def __init__(
        self,
        server: str,
        source: Source,
        *,
        visitor: str | None = None,
        warn: Callable[[str], None] | None = None,
        look_again_after: float = LOOK_AGAIN_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.server = server
        self.source = source
        self._warn = warn or (lambda sentence: warnings.warn(sentence, TokenInTheClear, stacklevel=2))
        self._look_again_after = look_again_after
        self._clock = clock
        self._visitor = visitor
        self._token: SecretStr | None = None
        self._looked: float | None = None
        self._warned = False

    async def current(self) -> SecretStr | None:
        """The token to present; None: there is none. Raises ClientError, OSError where there is none to be had."""
        first = self._looked is None
        if self._looked is None or self._clock() - self._looked >= self._look_again_after:
            try:
                await self.look()
            except (ClientError, OSError):
                if first:
                    raise
                self._looked = self._clock()  # the one in use may be good still; when it is not, `renewed` raises this
        return self._token

    async def look(self) -> SecretStr | None:
        """Look at the source now."""
        self._token = await asyncio.to_thread(self.source.look)
        self._looked = self._clock()
        if self._token is not None and not self._warned and travels_in_the_clear(self.server):
            self._warned = True
            self._warn(f"the token travels in the clear to {self.server}: use https where others can listen")
        return self._token

    def presented(self, token: SecretStr | None) -> dict[str, str]:
        """The headers that say who calls."""
        return authorization(token) | ({} if self._visitor is None else {"Towline-Visitor": self._visitor})

    def refused(self, error: Unauthorized, token: SecretStr | None) -> TokenRefused:
        """The server said this to that token."""
        return TokenRefused(error.message, self, token, **error.facts)


def without_token(server: str) -> Source:
    """The source of those who have none."""
    return Source(lambda: None, "none", how_to_get_one(server))


def how_to_get_one(server: str) -> str:
    return f"`towline login {server}` keeps a token for that server; TOWLINE_TOKEN or --token-file gives one once"


def authorization(token: SecretStr | None) -> dict[str, str]:
    """The header that presents a token (RFC 6750, section 2.1)."""
    return {} if token is None else {"Authorization": f"Bearer {token.get_secret_value()}"}


def travels_in_the_clear(server: str) -> bool:
    """Whether what is sent to a server can be read on the way: plain HTTP to another machine. Raises CannotConnect."""
    parts = urlsplit(base_url(server))
    return parts.scheme == "http" and not _is_loopback(parts.hostname or "")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")  # RFC 6761, section 6.3
