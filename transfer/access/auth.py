"""Who is calling: what stands on a request, on an upgrade or in a first frame becomes a principal, or is refused.

A token may stand in `Authorization: Bearer` (RFC 6750, section 2.1), in the frame `auth` of `/ws`, and in the cookie
that the page's own login has set. It never stands in a URL, which whoever is in between writes to a log.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Final, Protocol
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from storage.grants import Grant
from storage.store import Clock, Store, utc_now
from transfer.access.principal import ANONYMOUS, SCOPES, Principal, Visit
from transfer.access.tokens import Secret, holds_secret
from transfer.problems import problem_response
from transfer.protocol import limits
from transfer.protocol.errors import Unauthorized
from transfer.protocol.tokens import VISITOR

COOKIE: Final = "towline"
SECURE_COOKIE: Final = "__Host-towline"
"""The same over TLS: a browser keeps pages of other hosts from setting it (RFC 6265bis, section 4.1.3.2)."""
VISITOR_HEADER: Final = "towline-visitor"
UNSAFE_METHODS: Final = frozenset(["POST", "PUT", "PATCH", "DELETE"])

_BEARER: Final = re.compile(r"bearer +([!-~]+) *", re.IGNORECASE)
_VISITOR: Final = re.compile(VISITOR)
_PARAMETERS: Final = frozenset(["token", "access_token", "auth", "authorization", "bearer", "jwt", "api_key"])
_UNKNOWN: Final = "the token is not known here"


class Verifier(Protocol):
    """Knows the tokens of an identity provider."""

    def verify(self, token: str) -> Principal:
        """Raises Unauthorized."""
        ...


class Authenticator:
    """Says who is calling. `failed` is awaited before a wrong token is refused; it may take its time, or raise."""

    def __init__(
        self,
        store: Store,
        *,
        verifier: Verifier | None = None,
        failed: Callable[[str], Awaitable[None]] | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self._store = store
        self._verifier = verifier
        self._failed = failed
        self._clock = clock
        self._closed = verifier is not None

    async def tokens_needed(self) -> bool:
        """Whether callers have to say who they are: once a token was made, for ever."""
        self._closed = self._closed or await self._store.grants.any_tokens()
        return self._closed

    async def caller(self, connection: HTTPConnection) -> Principal:
        """Who sends this request, or asks for this upgrade. Raises Unauthorized, TooMany, StorageError."""
        principal = await self.caller_if_said(connection)
        if principal is None:
            raise Unauthorized("this server asks for a token: send it as Authorization: Bearer, or log in on its page")
        return principal

    async def caller_if_said(self, connection: HTTPConnection) -> Principal | None:
        """The same; None for somebody who has to say who they are and has not, yet."""
        token = presented(connection)
        if token is not None:
            try:
                return await self.principal_of(token, address_of(connection), visitor_of(connection.headers))
            except Unauthorized:
                # No page can read why its upgrade was refused; and a frame `auth` may follow.
                if says_token(connection) or connection.scope["type"] != "websocket":
                    raise
        return None if await self.tokens_needed() else ANONYMOUS

    async def principal_of(self, token: str, address: str, visitor: str | None = None) -> Principal:
        """Whose token this is. Raises Unauthorized, TooMany, StorageError."""
        try:
            return await self._recognised(token, visitor)
        except Unauthorized:
            if self._failed is not None:
                await self._failed(address)
            raise

    async def _recognised(self, token: str, visitor: str | None) -> Principal:
        if len(token) > limits.MAX_TOKEN_BYTES:
            raise Unauthorized(f"the token has more than {limits.MAX_TOKEN_BYTES} characters")
        secret = Secret.parse(token)
        if secret is None and self._verifier is not None:
            return self._verifier.verify(token)
        grant = await self._store.grants.find(secret.grant_id) if secret is not None else None
        if secret is None or grant is None or not secret.hashes_to(grant.secret_hash) or grant.kind == "share":
            raise Unauthorized(_UNKNOWN if await self.tokens_needed() else f"{_UNKNOWN}: this server asks for none")
        shown = "link" if grant.kind == "request" else "token"
        if grant.revoked is not None:
            raise Unauthorized(f"the {shown} was revoked")
        if not grant.in_force(self._clock()):
            raise Unauthorized(f"the {shown} has expired")
        return principal_of(grant, visitor)


def principal_of(grant: Grant, visitor: str | None) -> Principal:
    """Who comes with a token, or through a request link: what they send counts against its maker's quota too."""
    if grant.kind == "request":
        return Principal(
            subject=grant.subject,
            scopes=frozenset(["upload"]),
            prefix=grant.prefix,
            quota=grant.account_quota,
            expires=grant.expires,
            grant_id=grant.grant_id,
            visit=Visit(grant.grant_id, visitor or Secret.new().grant_id, grant.quota),
        )
    return Principal(
        subject=grant.subject,
        scopes=frozenset(scope for scope in SCOPES if scope in grant.scopes),
        prefix=grant.prefix,
        quota=grant.quota,
        expires=grant.expires,
        grant_id=grant.grant_id,
    )


def presented(connection: HTTPConnection) -> str | None:
    """The token on a request or an upgrade, if there is one. Raises Unauthorized for what is none.

    A cookie comes along whatever page makes the browser ask, so where something can change it counts only together
    with an `Origin`, of which `transfer.edge.hosts` has seen that it is welcome.
    """
    values = connection.headers.getlist("authorization")
    if values:
        match = _BEARER.fullmatch(values[0]) if len(values) == 1 else None
        if match is None:
            raise Unauthorized("the Authorization header is not one of the form: Bearer TOKEN")
        return match[1]
    name = SECURE_COOKIE if is_secure(connection) else COOKIE
    cookie = connection.cookies.get(name)
    changes = connection.scope["type"] == "websocket" or connection.scope["method"] in UNSAFE_METHODS
    if cookie and changes and "origin" not in connection.headers:
        raise Unauthorized("a cookie is not enough for this without an Origin header: send Authorization: Bearer")
    return cookie or None


def says_token(connection: HTTPConnection) -> bool:
    """Whether who sends this has put a token on it; a cookie is put there by the browser, unasked."""
    return "authorization" in connection.headers


def is_secure(connection: HTTPConnection) -> bool:
    """Whether it came over TLS."""
    return connection.scope["scheme"] in ("https", "wss")


def address_of(connection: HTTPConnection) -> str:
    """Where it came from."""
    return connection.client.host if connection.client is not None else ""


def visitor_of(headers: Headers) -> str | None:
    """How a visitor of a request link wants to be known again."""
    text = headers.get(VISITOR_HEADER, "")
    return text if _VISITOR.fullmatch(text) else None


class NoTokenInUrl:
    """ASGI middleware that refuses requests whose URL bears a token, whatever they ask for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] != "lifespan" and bears_token(scope["path"], scope["query_string"].decode("latin-1")):
            app = problem_response(
                400,
                Unauthorized.code,
                "a token never stands in a URL, which ends up in logs and histories: revoke this one, and send the next"
                " as Authorization: Bearer",
            )
        await app(scope, receive, send)


def bears_token(path: str, query: str) -> bool:
    """Whether there is a token in a path, or in a query string, by its name or by its looks."""
    parameters = parse_qsl(query, keep_blank_values=True)
    named = any(name.lower() in _PARAMETERS for name, _ in parameters)
    return named or holds_secret(path) or any(holds_secret(name + value) for name, value in parameters)
