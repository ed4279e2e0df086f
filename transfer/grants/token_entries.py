"""How a token looks to who administers them: everything but its secret."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from storage.grants import Grant
from transfer.grants.handing_out import State, state_of
from transfer.protocol.messages import TimeField


class TokenEntry(BaseModel):
    """A token. `used` bytes are stored and reserved of its subject, whatever token they came by. `links` are the ids of
    those in force that were made with it, and end with it."""

    model_config = ConfigDict(frozen=True)

    id: str
    subject: str
    scopes: list[str]
    prefix: str
    quota: int | None
    used: int
    created: TimeField
    expires: TimeField | None
    state: State
    links: list[str]


class NewToken(TokenEntry):
    """A token that was just made, with its secret: nobody can show that again."""

    token: str


class TokenListing(BaseModel):
    """Tokens, the newest first."""

    tokens: list[TokenEntry]


def token_entries(grants: Iterable[Grant], used: Mapping[str, int], now: datetime) -> list[TokenEntry]:
    """The entries of the tokens among all that was handed out; `used` are the bytes of each of their subjects."""
    handed_out = list(grants)
    links: dict[str, list[str]] = {}
    for grant in handed_out:
        if grant.parent is not None and grant.in_force(now):
            links.setdefault(grant.parent, []).append(grant.grant_id)
    tokens = [grant for grant in handed_out if grant.kind == "token"]
    return [entry_of(token, used[token.subject], now, links.get(token.grant_id, [])) for token in tokens]


def entry_of(token: Grant, used: int, now: datetime, links: list[str]) -> TokenEntry:
    return TokenEntry(
        id=token.grant_id,
        subject=token.subject,
        scopes=list(token.scopes),
        prefix=token.prefix,
        quota=token.quota,
        used=used,
        created=token.created,
        expires=token.expires,
        state=state_of(token, now),
        links=links,
    )


def new_entry(token: Grant, used: int, secret: str, now: datetime) -> NewToken:
    return NewToken(**entry_of(token, used, now, []).model_dump(), token=secret)
