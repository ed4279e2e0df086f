"""Who is calling, and what they may do. Pure: how somebody proves who they are is elsewhere."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, get_args

from transfer.protocol.errors import Forbidden
from transfer.protocol.names import Name

Scope = Literal["upload", "read", "delete", "proxy", "admin"]
SCOPES: Final[frozenset[Scope]] = frozenset(get_args(Scope))
MAX_SUBJECT_CHARACTERS: Final = 255
_OF_LINKS: Final = "request:"
VISITOR: Final = "visitor"


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

    @property
    def kind(self) -> Literal["anonymous", "token", "request"]:
        """How they came."""
        if self.visit is not None:
            return "request"
        return "anonymous" if self is ANONYMOUS else "token"

    @property
    def called(self) -> str:
        """What they are told who they are: a visitor does not learn whose link it is."""
        return self.subject if self.visit is None else VISITOR

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes

    def reaches(self, name: Name) -> bool:
        """Whether the name is within the prefix, in exactly this spelling."""
        return name.value.startswith(self.prefix)

    def reaches_all_of(self, prefix: str) -> bool:
        """Whether every name that begins so is within the prefix."""
        return prefix.startswith(self.prefix)

    def may_read(self, name: Name, owner: str) -> bool:
        """Whether they may learn anything of this file: their own, or one within the prefix."""
        return self.reaches(name) and (self.may("read") or (self.visit is None and owner == self.subject))

    def require(self, *scopes: Scope) -> None:
        """Raises Forbidden when one of them is lacking."""
        for scope in scopes:
            if scope not in self.scopes:
                raise Forbidden(f"this needs the scope {scope!r}, which the token does not have", scope=scope)

    def require_one_of(self, *scopes: Scope) -> None:
        """Raises Forbidden when they have none of them, and for visitors of a request link, whatever they may."""
        if self.visit is not None or self.scopes.isdisjoint(scopes):
            named = " or ".join([", ".join(map(repr, scopes[:-1])), repr(scopes[-1])])
            raise Forbidden(f"this needs the scope {named}, which the token does not have")

    def require_name(self, name: Name) -> None:
        """Raises Forbidden for a name to write to that is outside of the prefix, whatever has it."""
        if not self.reaches(name):
            sentence = f"the token is for names that begin with {self.prefix!r}, which {name.value!r} does not"
            raise Forbidden(sentence, prefix=self.prefix)

    def require_prefix(self, prefix: str) -> None:
        """Raises Forbidden when names that begin so may lie outside of the prefix."""
        if not self.reaches_all_of(prefix):
            sentence = f"the token is for names that begin with {self.prefix!r}, and can hand out no others"
            raise Forbidden(sentence, prefix=self.prefix)


ANONYMOUS: Final = Principal(subject="anonymous", scopes=SCOPES - {"admin"})
"""Everybody, while nobody has to prove who they are. Nobody becomes an administrator that way."""
NOBODY: Final = Principal(subject="unknown", scopes=frozenset())
"""Somebody who has not said who they are where that is asked for."""


def parse_scopes(text: str) -> frozenset[Scope]:
    """Scopes with commas between them. Raises ValueError."""
    named = {part.strip() for part in text.split(",")}
    if unknown := sorted(named - SCOPES):
        raise ValueError(f"{unknown[0]!r} is no scope: write upload,read,delete, or proxy or admin among them")
    return frozenset(scope for scope in SCOPES if scope in named)


def parse_subject(text: str) -> str:
    """The subject of a token. Raises ValueError: nobody else may look like the anonymous one, or like a visitor."""
    if not 0 < len(text) <= MAX_SUBJECT_CHARACTERS:
        raise ValueError(f"a subject has 1 to {MAX_SUBJECT_CHARACTERS} characters, this one has {len(text)}")
    if not text.isprintable() or text != text.strip():
        raise ValueError("a subject has printable characters, and no space at its ends")
    if text == ANONYMOUS.subject or text.startswith(_OF_LINKS):
        raise ValueError(f"a subject is not {ANONYMOUS.subject!r}, and does not begin with {_OF_LINKS!r}")
    return text
