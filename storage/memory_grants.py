"""Tokens and links of the reference store: a dict."""

import builtins
from collections.abc import Collection
from dataclasses import replace

from storage.errors import NotFound, TooManyLinks
from storage.grants import MAX_LINKS, REMEMBERED_FOR, Grant, GrantKind
from storage.store import Clock


class MemoryGrants:
    """A `storage.grants.Grants` that keeps everything in memory."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._grants: dict[str, Grant] = {}

    async def add(self, grant: Grant) -> None:
        if grant.parent is not None and await self.revoked_of([grant.parent]):
            raise NotFound(f"the token {grant.parent!r}")
        if grant.kind != "token" and len(await self.list(kind=grant.kind, subject=grant.subject)) >= MAX_LINKS:
            raise TooManyLinks(MAX_LINKS)
        self._grants[grant.grant_id] = grant

    def forget_links(self) -> None:
        """Those that ended long ago."""
        before = self._clock() - REMEMBERED_FOR
        for grant in tuple(self._grants.values()):
            ends = [end for end in (grant.revoked, grant.expires) if end is not None]
            if grant.kind != "token" and ends and min(ends) < before:
                del self._grants[grant.grant_id]

    async def find(self, grant_id: str) -> Grant | None:
        return self._grants.get(grant_id)

    async def list(self, *, kind: GrantKind | None = None, subject: str | None = None) -> builtins.list[Grant]:
        found = [
            grant
            for grant in sorted(self._grants.values(), key=lambda grant: grant.grant_id)
            if kind in (None, grant.kind) and subject in (None, grant.subject)
        ]
        return sorted(found, key=lambda grant: grant.created, reverse=True)

    async def revoke(self, grant_id: str) -> None:
        if grant_id not in self._grants:
            raise NotFound(f"the token or link {grant_id!r}")
        for grant in tuple(self._grants.values()):
            if grant_id in (grant.grant_id, grant.parent) and grant.revoked is None:
                self._grants[grant.grant_id] = replace(grant, revoked=self._clock())

    async def revoked_of(self, grant_ids: Collection[str]) -> frozenset[str]:
        found = (self._grants.get(grant_id) for grant_id in grant_ids)
        return frozenset(grant_ids) - {grant.grant_id for grant in found if grant and grant.revoked is None}

    async def any_tokens(self) -> bool:
        return any(grant.kind == "token" for grant in self._grants.values())

    async def begin_download(self, grant_id: str, *, resumed: int | None = None, size: int = 0) -> bool:
        grant = self._grants.get(grant_id)
        if grant is None or grant.kind != "share" or not grant.in_force(self._clock()):
            return False
        if resumed is None:
            counted = replace(grant, begun=grant.begun + 1)
            allowed = grant.downloads is None or counted.begun <= grant.downloads
        else:
            counted = replace(grant, resumed_bytes=grant.resumed_bytes + resumed)
            allowed = grant.downloads is None or counted.resumed_bytes <= grant.begun * size
        if allowed:
            self._grants[grant_id] = counted
        return allowed

    async def not_sent(self, grant_id: str, resumed: int) -> None:
        if (grant := self._grants.get(grant_id)) is not None:
            self._grants[grant_id] = replace(grant, resumed_bytes=max(0, grant.resumed_bytes - resumed))
