"""Request links over HTTP, for who makes them: making, listing and revoking. Their visitors upload as on any `/ws`."""

from fastapi import APIRouter, Depends, Request

from storage.errors import NotFound
from storage.grants import Grant
from storage.store import Store, utc_now
from transfer.access.callers import Linker, caller
from transfer.access.principal import Principal
from transfer.bodies import body_of, described
from transfer.grants.handing_out import Lasting, PrefixField, expiry
from transfer.grants.issuing import new_request
from transfer.grants.link_entries import REQUEST_PATH, NewRequest, RequestEntry, RequestListing, request_entry
from transfer.grants.token_routes import unstored
from transfer.problems import PROBLEM_RESPONSES
from transfer.protocol.messages import Positive


class RequestWanted(Lasting):
    """A link for uploads below `prefix`, by default anywhere that the caller may; `size` is what may come through it in
    all, in bytes."""

    prefix: PrefixField | None = None
    size: Positive | None = None


def router(store: Store) -> APIRouter:
    """The routes of request links in `store`."""
    routes = APIRouter(responses=PROBLEM_RESPONSES, dependencies=[Depends(caller), Depends(unstored)])

    @routes.post("/requests", status_code=201, openapi_extra=described(RequestWanted))
    async def make_request(request: Request, principal: Linker) -> NewRequest:
        """Make a link through which anybody uploads. Its secret is in this answer, and nowhere else ever."""
        principal.require("upload")
        wanted, now = await body_of(request, RequestWanted), utc_now()
        prefix = principal.prefix if wanted.prefix is None else wanted.prefix
        principal.require_prefix(prefix)
        end = expiry(wanted, principal, now)
        secret, grant = new_request(principal, now=now, prefix=prefix, expires=end, size=wanted.size)
        await store.grants.add(grant)
        return NewRequest(**request_entry(grant, 0, now).model_dump(), url=REQUEST_PATH + secret.in_link)

    @routes.get("/requests")
    async def list_requests(principal: Linker) -> RequestListing:
        """List the caller's request links, for administrators everybody's; those that have ended too."""
        return RequestListing(requests=[await _entry(store, link) for link in await _links(store, principal)])

    @routes.delete("/requests/{link_id}", status_code=204)
    async def revoke_request(principal: Linker, link_id: str) -> None:
        """Revoke a link. What is on its way through it is cut; what is complete stays."""
        if not any(link.grant_id == link_id for link in await _links(store, principal)):
            raise NotFound("this link")
        await store.grants.revoke(link_id)

    return routes


async def _links(store: Store, principal: Principal) -> list[Grant]:
    """Those that the caller has to do with: their own; for administrators everybody's; within the prefix."""
    subject = None if principal.may("admin") else principal.subject
    links = await store.grants.list(kind="request", subject=subject)
    return [link for link in links if principal.reaches_all_of(link.prefix)]


async def _entry(store: Store, link: Grant) -> RequestEntry:
    return request_entry(link, await store.usage_via(link.grant_id), utc_now())
