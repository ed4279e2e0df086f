"""What was handed out: tokens, share links and request links, as rows.

Tokens are never deleted, only revoked: that there was one closes the door for ever. Links are forgotten a month after
their end, and of each kind a subject has so many, since whoever may make one may make many.

The store keeps them beside the files that they are about. It does not know secrets, only what they hash to, and does
not decide what a scope allows.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol

MAX_LINKS: Final = 10_000
"""Of one kind, for one subject, those that have ended lately too."""
REMEMBERED_FOR: Final = timedelta(days=30)
"""How long a link that has ended is still listed."""
GrantKind = Literal["token", "share", "request"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A token, or a link. `parent` is the token that made a link: who revokes it revokes the link."""

    grant_id: str
    kind: GrantKind
    secret_hash: bytes
    """SHA-256 of the secret."""
    subject: str
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None
    parent: str | None = None
    scopes: tuple[str, ...] = ()
    prefix: str = ""
    quota: int | None = None
    """Bytes: of a token's subject, or what may come through a request link in all."""
    account_quota: int | None = None
    """Bytes: of the subject of who made a request link. They may have had it by a token that is not kept here."""
    file_id: str | None = None
    """The content that a share link is for."""
    downloads: int | None = None
    """How many downloads a share link allows."""
    begun: int = 0
    """How many were begun."""
    resumed_bytes: int = 0
    """What was sent, or is being sent, of contents from behind their first byte on."""
    password_hash: str | None = None

    def in_force(self, now: datetime) -> bool:
        return self.revoked is None and (self.expires is None or now < self.expires)


class Grants(Protocol):
    """What a store keeps of them. Every change is durable when its method returns."""

    async def add(self, grant: Grant) -> None:
        """A new one. Raises NotFound where its parent is revoked, or not there; TooManyLinks."""
        ...

    async def find(self, grant_id: str) -> Grant | None:
        """One of any kind, in force or not."""
        ...

    async def list(self, *, kind: GrantKind | None = None, subject: str | None = None) -> "list[Grant]":
        """All of that kind and subject, in force or not, the newest first."""
        ...

    async def revoke(self, grant_id: str) -> None:
        """Revoke it, and the links that were made with it; again changes nothing. Raises NotFound."""
        ...

    async def revoked_of(self, grant_ids: Collection[str]) -> frozenset[str]:
        """Which of these are revoked, or not there; also what another process has revoked."""
        ...

    async def any_tokens(self) -> bool:
        """Whether a token was ever made, here or by another process. One that is revoked or has expired counts: a
        server does not open its door because the last key was taken away."""
        ...

    async def begin_download(self, grant_id: str, *, resumed: int | None = None, size: int = 0) -> bool:
        """Count a download of a share link that begins at the first byte; or, with `resumed`, that many bytes from
        behind it, of which there may be as many as there are in the downloads that were begun (`size` is the
        content's). Returns whether that is allowed: of a link that is in force."""
        ...

    async def not_sent(self, grant_id: str, resumed: int) -> None:
        """Give back what `begin_download` counted as `resumed` and was not sent."""
        ...
