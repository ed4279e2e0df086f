"""Rights that end while somebody is connected, on a clock of the test's."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.local import LocalStore
from storage.memory import MemoryStore
from storage.store import Store
from tests.tokens import token_for
from transfer.access.auth import Authenticator
from transfer.access.principal import ANONYMOUS, SCOPES, Principal
from transfer.access.watch import Watch
from transfer.grants.issuing import new_request
from transfer.protocol.errors import Unauthorized


class Clock:
    """A time that stands still until it is set."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with MemoryStore() as store:
        yield store


async def shown(store: Store, clock: Clock, *, lasts: timedelta | None = None) -> Principal:
    """Who comes with a new token."""
    secret = await token_for(store, "alice", lasts=lasts)
    return await Authenticator(store, clock=clock).principal_of(secret.text, "192.0.2.1")


async def test_a_token_ends_at_its_moment_and_not_before(store: Store) -> None:
    clock, cuts = Clock(), list[str]()
    principal = await shown(store, clock, lasts=timedelta(hours=1))
    assert principal.expires is not None
    watch = Watch(store, clock)
    with watch.over(principal, cuts.append):
        clock.now = principal.expires - timedelta(microseconds=1)
        await watch.look()
        assert cuts == []
        clock.now = principal.expires
        await watch.look()
        await watch.look()
    assert cuts == ["the token has expired"]


async def test_an_expired_token_is_not_let_in(store: Store) -> None:
    clock = Clock()
    secret = await token_for(store, "alice", lasts=timedelta(hours=1))
    clock.now += timedelta(hours=2)
    with pytest.raises(Unauthorized, match="has expired"):
        await Authenticator(store, clock=clock).principal_of(secret.text, "192.0.2.1")


async def test_who_shows_another_token_outlives_the_first(store: Store) -> None:
    clock, cuts = Clock(), list[str]()
    first = await shown(store, clock, lasts=timedelta(hours=1))
    second = await shown(store, clock, lasts=timedelta(hours=2))
    watch = Watch(store, clock)
    with watch.over(first, cuts.append) as watched:
        watched.renew(second)
        clock.now += timedelta(hours=1, minutes=30)
        await watch.look()
        assert cuts == []
        clock.now += timedelta(hours=1)
        await watch.look()
    assert cuts == ["the token has expired"]


async def test_only_those_are_cut_whose_token_was_revoked(store: Store) -> None:
    clock, cuts = Clock(), list[str]()
    kept, gone = await shown(store, clock), await shown(store, clock)
    assert gone.grant_id is not None
    watch = Watch(store, clock)
    with watch.over(kept, lambda _: cuts.append("kept")), watch.over(gone, lambda _: cuts.append("gone")):
        await store.grants.revoke(gone.grant_id)
        await watch.look()
    assert cuts == ["gone"]


async def test_who_has_left_is_not_cut(store: Store) -> None:
    clock, cuts = Clock(), list[str]()
    principal = await shown(store, clock, lasts=timedelta(hours=1))
    watch = Watch(store, clock)
    with watch.over(principal, cuts.append):
        pass
    clock.now += timedelta(hours=2)
    await watch.look()
    assert cuts == []


async def test_who_leaves_while_the_catalog_is_asked_is_not_cut(tmp_path: Path) -> None:
    clock, cuts = Clock(), list[str]()
    async with LocalStore(tmp_path / "data", min_free_bytes=0) as store:
        principal = await shown(store, clock)
        assert principal.grant_id is not None
        await store.grants.revoke(principal.grant_id)
        watch = Watch(store, clock)
        with watch.over(principal, cuts.append):
            looking = asyncio.create_task(watch.look())
            await asyncio.sleep(0)  # it has asked, and another thread answers
        await looking
    assert cuts == []


async def test_nobody_stays_anonymous_once_there_is_a_token(store: Store) -> None:
    clock, cuts = Clock(), list[str]()
    watch = Watch(store, clock)
    with watch.over(ANONYMOUS, cuts.append):
        await watch.look()
        assert cuts == []
        await token_for(store, "alice")
        await watch.look()
    assert cuts == ["this server asks for a token by now"]


async def test_a_visitor_is_told_of_their_link(store: Store) -> None:
    clock, cuts = Clock(), list[str]()
    secret, grant = new_request(Principal(subject="alice", scopes=SCOPES), now=clock.now)
    await store.grants.add(grant)
    authenticator, watch = Authenticator(store, clock=clock), Watch(store, clock)
    with watch.over(await authenticator.principal_of(secret.text, "192.0.2.1"), cuts.append):
        await store.grants.revoke(grant.grant_id)
        await watch.look()
    assert cuts == ["the link was revoked"]
    with pytest.raises(Unauthorized, match=r"^the link was revoked$"):
        await authenticator.principal_of(secret.text, "192.0.2.1")
