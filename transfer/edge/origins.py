"""Origins of web pages: untrusted text becomes one here, so that two spellings of the same are equal."""

import re
from dataclasses import dataclass
from typing import Final

DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_AUTHORITY: Final = re.compile(r"(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port (RFC 6454); two spellings of one origin are equal."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


def parse_origin(text: str) -> Origin | None:
    """The origin that is written as `scheme://host[:port]`; None for anything else, `null` included."""
    scheme, separator, authority = text.lower().partition("://")
    if not separator or scheme not in DEFAULT_PORTS:
        return None
    return origin_of(scheme, authority)


def origin_of(scheme: str, authority: str) -> Origin | None:
    """The origin of a lower-case scheme and what a `Host` header says."""
    match = _AUTHORITY.fullmatch(authority.lower())
    return Origin(scheme, match["host"], int(match["port"] or DEFAULT_PORTS[scheme])) if match is not None else None
