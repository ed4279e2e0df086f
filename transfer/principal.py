"""Who is calling, and what they may do. Pure: how somebody proves who they are is elsewhere."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, get_args

Scope = Literal["upload", "read", "delete", "proxy", "admin"]
SCOPES: Final[frozenset[Scope]] = frozenset(get_args(Scope))
MAX_SUBJECT_CHARACTERS: Final = 255
_OF_LINKS: Final = "request:"


@dataclass(frozen=True, slots=True)
class Visit:
    """How somebody without a token came: through the request link `link`, as one of its visitors."""

    link: str
    visitor: str
    size: int | None
    """The bytes that may come through the link in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who is calling. `quota` counts bytes stored and reserved of the subject; `grant_id` names what can be revoked."""

    subject: str
    scopes: frozenset[Scope]
    prefix: str = ""
    quota: int | None = None
    expires: datetime | None = None
    grant_id: str | None = None
    visit: Visit | None = None

    @property
    def owner(self) -> str:
        """Whose uploads these are: visitors of one link do not have each other's."""
        return self.subject if self.visit is None else f"{_OF_LINKS}{self.visit.link}:{self.visit.visitor}"

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes

    def reaches(self, name: str) -> bool:
        """Whether the name is within the prefix, in exactly this spelling."""
        return name.startswith(self.prefix)


ANONYMOUS: Final = Principal(subject="anonymous", scopes=SCOPES - {"admin"})
"""Everybody, while nobody has to prove who they are. Nobody becomes an administrator that way."""


def parse_subject(text: str) -> str:
    """The subject of a token. Raises ValueError: nobody else may look like the anonymous one, or like a visitor."""
    if not 0 < len(text) <= MAX_SUBJECT_CHARACTERS:
        raise ValueError(f"a subject has 1 to {MAX_SUBJECT_CHARACTERS} characters, this one has {len(text)}")
    if not text.isprintable() or text != text.strip():
        raise ValueError("a subject has printable characters, and no space at its ends")
    if text == ANONYMOUS.subject or text.startswith(_OF_LINKS):
        raise ValueError(f"a subject is not {ANONYMOUS.subject!r}, and does not begin with {_OF_LINKS!r}")
    return text
