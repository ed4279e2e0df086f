"""How a token looks to who administers them: everything but its secret."""

from collections.abc import Iterable
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from storage.grants import Grant
from transfer.handing_out import State, state_of
from transfer.protocol.messages import TimeField


class TokenEntry(BaseModel):
    """A token. `links` are the ids of those in force that were made with it, and end with it."""

    model_config = ConfigDict(frozen=True)

    id: str
    subject: str
    scopes: list[str]
    prefix: str
    quota: int | None
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


def token_entries(grants: Iterable[Grant], now: datetime) -> list[TokenEntry]:
    """The entries of the tokens among all that was handed out."""
    handed_out = list(grants)
    links: dict[str, list[str]] = {}
    for grant in handed_out:
        if grant.parent is not None and grant.in_force(now):
            links.setdefault(grant.parent, []).append(grant.grant_id)
    return [entry_of(grant, now, links.get(grant.grant_id, [])) for grant in handed_out if grant.kind == "token"]


def entry_of(token: Grant, now: datetime, links: list[str]) -> TokenEntry:
    return TokenEntry(
        id=token.grant_id,
        subject=token.subject,
        scopes=list(token.scopes),
        prefix=token.prefix,
        quota=token.quota,
        created=token.created,
        expires=token.expires,
        state=state_of(token, now),
        links=links,
    )


def new_entry(token: Grant, secret: str, now: datetime) -> NewToken:
    return NewToken(**entry_of(token, now, []).model_dump(), token=secret)
