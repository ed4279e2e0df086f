"""Share links over HTTP, for who makes them: making, listing and revoking.

A link is to a content, not to a name: it goes on when the file is renamed, and is gone when the file is deleted or
replaced.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BeforeValidator, Field, SecretStr

from storage.errors import NotFound
from storage.grants import Grant
from storage.store import Store, StoredFile, utc_now
from transfer.access.callers import Linker, Reader, caller
from transfer.access.principal import Principal
from transfer.bodies import body_of, described
from transfer.grants.handing_out import Lasting, expiry
from transfer.grants.issuing import new_share
from transfer.grants.link_entries import SHARE_PATH, NewShare, ShareListing, share_entry
from transfer.grants.passwords import Passwords, parse_password
from transfer.grants.token_routes import unstored
from transfer.problems import PROBLEM_RESPONSES
from transfer.protocol.messages import NameField, Positive
from transfer.protocol.names import Name


def _secret(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not a string")
    return parse_password(value)


PasswordField = Annotated[SecretStr, BeforeValidator(_secret), Field(strict=False)]


class ShareWanted(Lasting):
    """A link to a file: for so many downloads, and for who has the password, where these are given."""

    name: NameField
    downloads: Positive | None = None
    password: PasswordField | None = None


def router(store: Store, passwords: Passwords) -> APIRouter:
    """The routes of share links in `store`."""
    routes = APIRouter(responses=PROBLEM_RESPONSES, dependencies=[Depends(caller), Depends(unstored)])

    @routes.post("/shares", status_code=201, openapi_extra=described(ShareWanted))
    async def share(request: Request, principal: Reader) -> NewShare:
        """Make a link by which anybody downloads a file. Its secret is in this answer, and nowhere else ever."""
        wanted, now = await body_of(request, ShareWanted), utc_now()
        file = await _seen(store, wanted.name, principal)
        end = expiry(wanted, principal, now)
        password = wanted.password
        kept = None if password is None else await passwords.hashed(password.get_secret_value())
        secret, grant = new_share(
            principal, file.file_id, now=now, expires=end, downloads=wanted.downloads, password_hash=kept
        )
        await store.grants.add(grant)
        entry = share_entry(grant, file, principal, now)
        return NewShare(**entry.model_dump(), url=SHARE_PATH + secret.in_link)

    @routes.get("/shares")
    async def list_shares(principal: Linker) -> ShareListing:
        """List the caller's share links, for administrators everybody's; those that have ended too."""
        now = utc_now()
        return ShareListing(shares=[share_entry(*found, principal, now) for found in await _links(store, principal)])

    @routes.delete("/shares/{link_id}", status_code=204)
    async def revoke_share(principal: Linker, link_id: str) -> None:
        """Revoke a link. Downloads by it are cut."""
        if not any(link.grant_id == link_id for link, _ in await _links(store, principal)):
            raise NotFound("this link")
        await store.grants.revoke(link_id)

    return routes


async def _seen(store: Store, name: Name, principal: Principal) -> StoredFile:
    """Raises NotFound, also for what the caller may not see."""
    file = await store.find(name) if principal.reaches(name) else None
    if file is None:
        raise NotFound(f"the file {str(name)!r}")
    return file


async def _links(store: Store, principal: Principal) -> list[tuple[Grant, StoredFile | None]]:
    """Those that the caller has to do with, and what they are for: for an administrator of all names everybody's, for
    others their own, and with a prefix only those that were made with the same token, or are for what it reaches."""
    everybodys = principal.may("admin") and not principal.prefix
    links = await store.grants.list(kind="share", subject=None if everybodys else principal.subject)
    found = [(link, await _file_of(store, link)) for link in links]
    return [(link, file) for link, file in found if _concerns(link, file, principal)]


async def _file_of(store: Store, link: Grant) -> StoredFile | None:
    return await store.find_by_id(link.file_id) if link.file_id is not None else None


def _concerns(link: Grant, file: StoredFile | None, principal: Principal) -> bool:
    if not principal.prefix or (link.parent is not None and link.parent == principal.grant_id):
        return True
    return file is not None and principal.reaches(file.name)
