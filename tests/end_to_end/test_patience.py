"""A client gives up after a time without progress: what it hashes meanwhile is not time that it waited."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import client
from client.downloader import Downloader
from client.headers import upload_header
from client.http import HttpApi
from client.progress import Comparing, Event, Waiting
from client.retry import Patience
from client.source import open_source
from client.speed import SpeedLimit
from client.uploader import Uploader
from client.wire import open_wire
from tests.end_to_end.conftest import Service, digest
from tests.end_to_end.scene import MIB, content
from tests.links import Link

DATA = content(26 * MIB)
STEP_SECONDS = 400.0
"""What each piece that is hashed takes by the clock of `Slow`: two of them are more than anybody waits for a server."""


class Slow:
    """A listener by whose clock hashing takes long; the connections break when all is hashed."""

    def __init__(self, link: Link) -> None:
        self._link, self._hashed, self.steps = link, 0.0, 0
        self.patience = Patience(clock=lambda: time.monotonic() + self._hashed)

    def __call__(self, event: Event) -> None:
        if isinstance(event, Comparing):
            self._hashed += STEP_SECONDS
            self.steps += 1
            if event.offset == event.size:
                self._link.refusing = True
                self._link.cut()
        elif isinstance(event, Waiting):
            self._link.refusing = False


@pytest.fixture
async def link(service: Service) -> AsyncIterator[Link]:
    async with Link("127.0.0.1", service.port) as link:
        yield link


async def test_an_upload_goes_on_after_a_break_behind_long_hashing(service: Service, link: Link) -> None:
    async with client.connect(service.url) as connection:
        await connection.upload(DATA, name="x")
    slow = Slow(link)
    async with open_source(DATA) as source:
        header = upload_header("x", size=len(DATA), if_exists="error", digest_algorithm="sha256")
        uploader = Uploader(
            lambda: open_wire(link.url),
            source,
            header,
            slow.patience,
            slow,
            SpeedLimit(None),
            lambda: open_wire(link.url),
            connections=1,
        )
        assert (await uploader.run()).unchanged
    assert slow.steps > 1
    assert link.connections == 2


async def test_a_download_goes_on_after_a_break_behind_long_hashing(
    service: Service, link: Link, tmp_path: Path
) -> None:
    async with client.connect(service.url) as connection:
        await connection.upload(DATA, name="x")
    (tmp_path / "x").write_bytes(content(len(DATA), 1))
    slow = Slow(link)
    async with HttpApi(link.url) as api:
        path = await Downloader(api, slow.patience, slow, SpeedLimit(None)).download("x", tmp_path / "x", force=True)
    assert slow.steps > 1
    assert digest(path.read_bytes()) == digest(DATA)


async def test_no_connection_is_opened_before_there_is_something_to_send(link: Link, tmp_path: Path) -> None:
    """A server waits for the header so long, and what is first looked at may be much and unchanged."""
    (tmp_path / "x").write_bytes(b"content")

    async with client.connect(link.url) as connection:
        stored = await connection.upload(b"content", name="x")
        before = link.connections

    async def items() -> AsyncIterator[client.Item]:
        for _ in range(3):
            yield client.Item(tmp_path / "x", "x", stored)
            assert link.connections == before

    async with client.connect(link.url) as connection:
        results = [result async for result in connection.upload_many(items())]
    assert len(results) == 3
    assert link.connections == before
