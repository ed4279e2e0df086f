"""Addresses of share and request links: untrusted text becomes a server, a kind and a secret here, once. Pure."""

import re
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from client.errors import ClientError

_PATH: Final = re.compile(r"(.*)/([sr])/([0-9a-f]{12}_[0-9a-f]{64})/?")


class NoLink(ClientError):
    """An address that is none of a link. `str()` does not show it: it may be one with a letter missing."""

    def __init__(self, wanted: str, other: str | None = None) -> None:
        super().__init__(wanted, other)
        self.wanted = wanted
        self.other = other
        """The other kind, where it is one of that."""

    def __str__(self) -> str:
        if self.other:
            return f"that is the address of a {self.other} link: {_USES[self.other]}"
        return f"that is not the address of a {self.wanted} link, which ends in {_LOOKS[self.wanted]}: copy all of it"


_LOOKS: Final = {"share": "/s/ and 77 letters and digits", "request": "/r/ and 77 letters and digits"}
_USES: Final = {"share": "towline download URL takes it", "request": "towline upload FILE --to URL takes it"}
_KINDS: Final = {"s": "share", "r": "request"}


@dataclass(frozen=True, slots=True)
class LinkUrl:
    """A link: at which server, and its secret."""

    server: str
    secret: SecretStr

    @property
    def link_id(self) -> str:
        """What names it, and is no secret."""
        return self.secret.get_secret_value().partition("_")[0]


def is_url(text: str) -> bool:
    """Whether somebody means an address, and no name of a file."""
    return text.lower().startswith(("http://", "https://"))


def parse_link(text: str, wanted: Literal["share", "request"]) -> LinkUrl:
    """The link that an address is of. Raises NoLink."""
    parts = urlsplit(text.strip())
    match = _PATH.fullmatch(parts.path)
    if not is_url(text.strip()) or match is None or parts.query:
        raise NoLink(wanted)
    if (kind := _KINDS[match[2]]) != wanted:
        raise NoLink(wanted, kind)
    return LinkUrl(f"{parts.scheme.lower()}://{parts.netloc}{match[1]}", SecretStr(match[3]))
