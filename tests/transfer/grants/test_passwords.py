"""Passwords of share links: read, hashed a few at a time, and wrong ones counted."""

import asyncio
import base64
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI

from storage.memory import MemoryStore
from storage.store import Store, utc_now
from tests.clock import Clock
from tests.server import http_client, serving_apart
from tests.transfer.seeds import put
from transfer import problems
from transfer.access.attempts import FREE, LONGEST_SECONDS, MAX_WAITING_PER_ADDRESS, FailedAttempts
from transfer.access.principal import ANONYMOUS
from transfer.access.watch import Watch
from transfer.grants import shared_downloads
from transfer.grants.issuing import new_share
from transfer.grants.passwords import AT_A_TIME, MAX_TO_MAKE, Passwords, parse_password, password_of
from transfer.grants.shared_downloads import Links
from transfer.pace.pacing import LoopClock
from transfer.pace.rates import Rates
from transfer.protocol.errors import TooMany
from transfer.settings import Settings


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("header", "meant"),
    [
        (basic(":secret"), "secret"),
        (basic("user:with:colons"), "with:colons"),
        (basic("user:schlu\u0308ssel"), "schl\u00fcssel"),
        (basic(":x").replace("Basic", "bASIC"), "x"),
        (None, None),
        ("", None),
        ("Basic", None),
        ("Basic !", None),
        ("Basic " + base64.b64encode(b":\xff").decode(), None),
        (basic("no colon"), None),
        (basic(":"), None),
        (basic(":" + "x" * 1_025), None),
        ("Bearer " + basic(":x").split()[1], None),
    ],
)
def test_a_password_is_read_from_what_browsers_send(header: str | None, meant: str | None) -> None:
    assert password_of(header) == meant


@pytest.mark.parametrize("text", ["", "x" * 1_025, "secret\n", "sec\0ret", "sec\u202eret"])
def test_what_is_no_password_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match="a password has") as refused:
        parse_password(text)
    assert "sec" not in str(refused.value)


async def test_a_hash_is_of_one_password() -> None:
    passwords = Passwords()
    kept = await passwords.hashed("right")
    assert await passwords.match("right", kept)
    assert not await passwords.match("wrong", kept)


class Watched(PasswordHasher):
    """Knows how many are computed at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._now = self.at_most = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        with self._lock:
            self._now += 1
            self.at_most = max(self.at_most, self._now)
        try:
            return super().verify(hash, password)
        finally:
            with self._lock:
                self._now -= 1


async def test_no_more_hashes_are_computed_at_a_time_than_there_is_memory_for() -> None:
    hasher = Watched()
    passwords = Passwords(hasher)
    kept = await passwords.hashed("right")
    assert all(await asyncio.gather(*(passwords.match("right", kept) for _ in range(3 * AT_A_TIME))))
    assert hasher.at_most == AT_A_TIME


class Stuck(PasswordHasher):
    """Makes none until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.let_go.wait()
        return super().hash(password, salt=salt)


async def test_who_makes_many_links_holds_up_nobody_who_comes_by_one() -> None:
    kept, hasher = PasswordHasher().hash("right"), Stuck()
    passwords = Passwords(hasher)
    making = [asyncio.create_task(passwords.hashed("another")) for _ in range(MAX_TO_MAKE)]
    try:
        assert await passwords.match("right", kept)
        with pytest.raises(TooMany) as refused:
            await passwords.hashed("one more")
        assert refused.value.retryable
    finally:
        hasher.let_go.set()
        await asyncio.gather(*making)
    assert await passwords.match("one more", await passwords.hashed("one more"))


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with MemoryStore() as store:
        yield store


async def shared(store: Store, password: str) -> str:
    """The path of a link with a password."""
    file = await put(store, "a", b"content")
    kept = await Passwords().hashed(password)
    secret, grant = new_share(ANONYMOUS, file.file_id, now=utc_now(), password_hash=kept)
    await store.grants.add(grant)
    return f"/s/{secret.in_link}"


async def test_wrong_passwords_cost_time_and_while_they_wait_nobody_there_guesses_on(
    store: Store, tmp_path: Path
) -> None:
    app, settings, clock = FastAPI(), Settings(data=tmp_path), Clock()
    problems.install(app)
    links = Links(store, FailedAttempts(clock), Passwords())
    app.include_router(shared_downloads.router(links, Watch(store), Rates(settings, LoopClock())))
    path = await shared(store, "right")
    async with serving_apart(app, settings) as (url, _), http_client(url) as http:

        async def status(authorization: str | None) -> int:
            headers = {} if authorization is None else {"Authorization": authorization}
            return (await http.get(path, headers=headers)).status_code

        assert [await status(basic(":wrong")) for _ in range(FREE)] == [401] * FREE
        assert [await status(None), await status("Basic !"), await status(basic(":right"))] == [401, 401, 200]
        waiting = [asyncio.create_task(status(basic(":wrong"))) for _ in range(MAX_WAITING_PER_ADDRESS)]
        await clock.waited_for(MAX_WAITING_PER_ADDRESS)
        assert await status(basic(":right")) == 429
        clock.advance(LONGEST_SECONDS)
        assert await asyncio.gather(*waiting) == [401] * MAX_WAITING_PER_ADDRESS
        assert await status(basic(":right")) == 200
