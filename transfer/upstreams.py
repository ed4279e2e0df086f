"""Upstreams: the WebSocket servers that proxy mode may forward to, as the operator names them and as clients ask.

A client's text becomes a `WebSocketUrl` or is refused. The grammar is a narrow one on purpose (ASCII, no userinfo, no
fragment, no backslash), so that nobody who reads the URL later reads another host than we have compared.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator, model_validator

from transfer.protocol.limits import MAX_URL_CHARACTERS

OWN_ECHO: Final = "/echo"
"""Written instead of a URL: this server's own `/echo`, wherever it listens."""
DEFAULT_PORTS: Final = {"ws": 80, "wss": 443}
FORBIDDEN_HEADERS: Final = frozenset(["connection", "content-length", "host", "transfer-encoding", "upgrade"])
"""Those of the handshake itself, beside `Sec-WebSocket-…`."""

_URL: Final = re.compile(
    r"(?P<scheme>wss?)://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[1-9][0-9]{0,4}))?(?P<target>[/?][!-~]*)?",
    re.IGNORECASE | re.ASCII,
)
_NOT_IN_TARGET: Final = frozenset('"#<>\\^`{|}')
"""RFC 3986, appendix A: none of these stands in a path or a query."""
_UPSTREAM_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[!-~]([ \t!-~]*[!-~])?")


@dataclass(frozen=True, slots=True)
class WebSocketUrl:
    """Scheme, host and port, lower case and explicit, and what is asked for there (RFC 6455, section 3)."""

    scheme: str
    host: str
    port: int
    target: str = "/"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError for what is none, or could be read in two ways."""
        match = _URL.fullmatch(text) if len(text) <= MAX_URL_CHARACTERS else None
        if match is None or _NOT_IN_TARGET.intersection(match["target"] or ""):
            raise ValueError("a WebSocket URL is written like wss://example.org/feed, in ASCII, without user and #")
        scheme, port = match["scheme"].lower(), int(match["port"] or DEFAULT_PORTS[match["scheme"].lower()])
        if port > 65_535:
            raise ValueError(f"there is no port {port}")
        target = match["target"] or "/"
        return cls(scheme, match["host"].lower(), port, target if target.startswith("/") else f"/{target}")

    def __str__(self) -> str:
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}{self.target}"

    @property
    def address(self) -> str:
        """The host as resolvers take it: without brackets."""
        return self.host.strip("[]")

    def is_at(self, other: "WebSocketUrl") -> bool:
        """Whether scheme, host and port are the same."""
        return (self.scheme, self.host, self.port) == (other.scheme, other.host, other.port)


def _parse_url(value: object) -> WebSocketUrl | None:
    if not isinstance(value, str):
        raise ValueError("not a string")
    return None if value == OWN_ECHO else WebSocketUrl.parse(value)


class Upstream(BaseModel):
    """One entry of `[proxy.upstreams]`: a URL, or a table."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    url: Annotated[WebSocketUrl | None, BeforeValidator(_parse_url)] = Field(
        description="where it is; /echo stands for this server's own"
    )
    """None for our own echo."""
    headers: dict[str, SecretStr] = Field(default_factory=dict, description="sent to it, never shown to clients")
    allow_private: bool = Field(default=False, description="its address need not be a public one")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return {"url": value} if isinstance(value, str) else value

    @field_validator("headers")
    @classmethod
    def _sendable(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value.get_secret_value()):
                raise ValueError(f"{name!r} is no header that can be sent (RFC 9110, section 5)")
            if name.lower() in FORBIDDEN_HEADERS or name.lower().startswith("sec-websocket-"):
                raise ValueError(f"{name} belongs to the handshake")
        return headers


@dataclass(frozen=True, slots=True)
class Route:
    """Where a client wants to go, and the entry that allows it."""

    asked: str
    """What the client calls it."""
    upstream: Upstream
    url: WebSocketUrl | None
    """None for our own echo."""


def route_to_name(upstreams: Mapping[str, Upstream], name: str) -> Route | None:
    """The way to the upstream of this name; None where there is none."""
    entry = upstreams.get(name)
    return None if entry is None else Route(name, entry, entry.url)


def route_to_url(upstreams: Mapping[str, Upstream], text: str) -> Route | None:
    """The way to this URL, by the first entry with its scheme, host and port; None where there is none."""
    try:
        url = WebSocketUrl.parse(text)
    except ValueError:
        return None
    for entry in upstreams.values():
        if entry.url is not None and entry.url.is_at(url):
            return Route(text, entry, replace(entry.url, target=url.target))
    return None


def check_names(upstreams: Mapping[str, Upstream]) -> Mapping[str, Upstream]:
    """Raises ValueError for a name that cannot stand in a URL as it is."""
    for name in upstreams:
        if not _UPSTREAM_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name: small letters, digits, dots, hyphens and underscores, at most 64")
    return upstreams
