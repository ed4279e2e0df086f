"""What a share link is for: its content, without a token, a cookie, or a page around it.

Every link that leads nowhere is answered the same, to the byte: one that never was, has ended, was used up, or whose
content is gone. Downloads are counted by the bytes that were asked for before the first of them is sent, so that a
hundred at the same time are no more than one after another; what was not sent is given back.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from storage.errors import NotFound as NotStored
from storage.errors import StorageError
from storage.grants import Grant
from storage.store import Content, Store, StoredFile, utc_now
from transfer.access.attempts import FailedAttempts
from transfer.access.auth import address_of
from transfer.access.principal import ANONYMOUS, Principal
from transfer.access.tokens import Secret
from transfer.access.watch import Watch
from transfer.downloads import DOWNLOAD_RESPONSES, download, wanted_bytes
from transfer.grants.passwords import Passwords, password_of
from transfer.pace.rates import Rates, caller_of
from transfer.problems import PROBLEM_RESPONSES, PasswordWanted
from transfer.protocol.errors import NotFound
from transfer.protocol.ranges import Range

logger = logging.getLogger("towline.http")
UNSAID: Final = {"referrer-policy": "no-referrer", "cache-control": "private, no-store"}
"""The address is a secret, and so is what is there."""


class NoSuchLink(NotFound):
    """The one answer for links that lead nowhere."""

    def __init__(self) -> None:
        super().__init__("nothing is shared at this address: it was never given out, has ended, or the file is gone")


@dataclass(slots=True)
class Tally:
    """One download by a link: what was counted, and what was sent of it."""

    store: Store
    link: Grant
    resumed: int = 0
    sent: int = 0

    async def begin(self, span: Range, size: int) -> None:
        """Count it. Raises NoSuchLink when that is more than the link allows."""
        resumed = span.size if span.start else None
        if not await self.store.grants.begin_download(self.link.grant_id, resumed=resumed, size=size):
            raise NoSuchLink
        self.resumed = resumed or 0

    def count(self, sent: int) -> None:
        self.sent += sent

    async def end(self) -> None:
        """Give back what was not sent, whatever ended it."""
        rest = self.resumed - self.sent
        if rest <= 0:
            return
        try:
            await asyncio.shield(self.store.grants.not_sent(self.link.grant_id, rest))
        except StorageError as failed:
            logger.error("what was not sent of a shared file could not be given back: %s", failed)


@dataclass(frozen=True, slots=True)
class Shared:
    """An open content, and the download of it that is counted."""

    content: Content
    tally: Tally


class Links:
    """The share links of a store, for who has one."""

    def __init__(self, store: Store, attempts: FailedAttempts, passwords: Passwords) -> None:
        self._store = store
        self._attempts = attempts
        self._passwords = passwords

    async def opened(self, request: Request, secret: str) -> AsyncIterator[Shared]:
        """What a link is for, counted, and open until the response was sent. Raises NoSuchLink, PasswordWanted,
        TooMany."""
        link = await self._found(secret)
        file = await self._file_of(link)
        if link.password_hash is not None:
            await self._check_password(request, link.password_hash)
        async with AsyncExitStack() as stack:
            try:
                content = await stack.enter_async_context(self._store.open(file))
            except NotStored:
                raise NoSuchLink from None
            tally = Tally(self._store, link)
            stack.push_async_callback(tally.end)
            if (span := wanted_bytes(file, request.method, request.headers)) is not None:
                await tally.begin(span, file.size)
            yield Shared(content, tally)

    async def _found(self, text: str) -> Grant:
        secret = Secret.parse(text)
        link = await self._store.grants.find(secret.grant_id) if secret is not None else None
        if secret is None or link is None or link.kind != "share" or not secret.hashes_to(link.secret_hash):
            raise NoSuchLink
        return link

    async def _file_of(self, link: Grant) -> StoredFile:
        file = await self._store.find_by_id(link.file_id) if link.file_id is not None else None
        if file is None or not link.in_force(utc_now()) or _is_used_up(link, file.size):
            raise NoSuchLink
        return file

    async def _check_password(self, request: Request, kept: str) -> None:
        password = password_of(request.headers.get("authorization"))
        if password is None:
            raise PasswordWanted("this link asks for a password, with any user name")
        address = address_of(request)
        with self._attempts.guess(address):
            right = await self._passwords.match(password, kept)
        if not right:
            await self._attempts.failed(address)
            raise PasswordWanted("that is not the password of this link")


def router(links: Links, watch: Watch, rates: Rates) -> APIRouter:
    """The route of share links themselves. Who comes by one is as fast as anybody without a name may be."""

    async def within_rate(request: Request) -> None:
        rates.take_request(caller_of(ANONYMOUS, address_of(request)))

    routes = APIRouter(responses=PROBLEM_RESPONSES, dependencies=[Depends(within_rate)])

    @routes.get("/s/{secret}", response_class=Response, responses=DOWNLOAD_RESPONSES)
    async def get_shared(request: Request, what: Annotated[Shared, Depends(links.opened)]) -> Response:
        """Download what a link shares, or a range of it."""
        return download(
            what.content,
            request.method,
            request.headers,
            partial(watch.over, visitor_of(what.tally.link)),
            partial(rates.downloads.share, caller_of(ANONYMOUS, address_of(request))),
            said_besides=UNSAID,
            counting=what.tally.count,
        )

    routes.add_api_route("/s/{secret}", get_shared, methods=["HEAD"], include_in_schema=False)

    return routes


def _is_used_up(link: Grant, size: int) -> bool:
    """Whether nobody can begin another download, nor go on with one that was begun."""
    return link.downloads is not None and link.begun >= link.downloads and link.resumed_bytes >= link.begun * size


def visitor_of(link: Grant) -> Principal:
    """Whoever comes by a share link: may nothing else, for as long as it is in force."""
    return Principal(subject=f"share:{link.grant_id}", scopes=frozenset(), expires=link.expires, grant_id=link.grant_id)
