"""Tokens over HTTP, for administrators: making, listing and revoking them.

An administrator whose token has a prefix deals with tokens within that prefix; others are not there. What they make
does not outlive their own right.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from storage.errors import NotFound
from storage.store import Store, utc_now
from transfer.access.callers import Administrator, caller
from transfer.access.principal import Scope
from transfer.bodies import body_of, described
from transfer.grants.handing_out import Lasting, PrefixField, expiry
from transfer.grants.issuing import new_token
from transfer.grants.token_entries import NewToken, TokenEntry, TokenListing, new_entry, token_entries
from transfer.problems import PROBLEM_RESPONSES
from transfer.protocol.errors import BadMessage
from transfer.protocol.messages import Size

UNSTORED: Final = {"cache-control": "no-store"}


class TokenWanted(Lasting):
    """A token to be made; `quota` is bytes."""

    subject: str
    scopes: Annotated[list[Scope], Field(min_length=1)]
    prefix: PrefixField = ""
    quota: Size | None = None


async def unstored(response: Response) -> None:
    """Have nobody on the way keep the answer."""
    response.headers.update(UNSTORED)


def router(store: Store) -> APIRouter:
    """The routes of tokens in `store`."""
    routes = APIRouter(responses=PROBLEM_RESPONSES, dependencies=[Depends(caller), Depends(unstored)])

    @routes.post("/tokens", status_code=201, openapi_extra=described(TokenWanted))
    async def make_token(request: Request, principal: Administrator) -> NewToken:
        """Make a token. Its secret is in this answer, and nowhere else ever."""
        wanted, now = await body_of(request, TokenWanted), utc_now()
        principal.require_prefix(wanted.prefix)
        end = expiry(wanted, principal, now)
        try:
            secret, grant = new_token(
                wanted.subject, set(wanted.scopes), now=now, prefix=wanted.prefix, quota=wanted.quota, expires=end
            )
        except ValueError as refused:
            raise BadMessage(f"the field subject is wrong: {refused}", field="subject") from None
        await store.grants.add(grant)
        return new_entry(grant, await store.usage(grant.subject), secret.text, now)

    @routes.get("/tokens")
    async def list_tokens(principal: Administrator) -> TokenListing:
        """List tokens, those that have ended too, the newest first."""
        return TokenListing(tokens=await _seen(store, principal))

    @routes.delete("/tokens/{token_id}", status_code=204)
    async def revoke_token(principal: Administrator, token_id: str) -> None:
        """Revoke a token, and the links that were made with it. What goes on by it is cut."""
        if not any(token.id == token_id for token in await _seen(store, principal)):
            raise NotFound("this token")
        await store.grants.revoke(token_id)

    return routes


async def _seen(store: Store, principal: Administrator) -> list[TokenEntry]:
    """What the administrator has to do with."""
    grants = await store.grants.list()
    used = {subject: await store.usage(subject) for subject in {grant.subject for grant in grants}}
    tokens = token_entries(grants, used, utc_now())
    return [token for token in tokens if principal.reaches_all_of(token.prefix)]
