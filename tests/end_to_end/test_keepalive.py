"""Healthy connections last: through long writes, through a disk that is stuck, and through links that cut what is idle.

Times are scaled down. What passes meanwhile is told by connections of other kinds that are given up.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

import client
from client import wire
from client.progress import Waiting
from storage.local import LocalStore
from tests.echoing import echo_endpoint
from tests.end_to_end.conftest import PATIENCE, Service, chunks, eof
from tests.end_to_end.scene import MIB, Recorder, content, sha256, stored
from tests.end_to_end.waiting import stuck_disk
from tests.links import Link
from tests.namespaces import lacking_namespaces
from tests.server import CHECKOUT, serving_apart
from transfer import window
from transfer.app import create_app
from transfer.server import PING_SECONDS
from transfer.settings import Settings
from transfer.uploads import WRITE_BYTES

IDLE_LIMIT = 60.0
"""Seconds after which common proxies cut an idle connection."""
HELD_UP = 30.0
"""Seconds for which a server or its disk may be held up."""
SCALE = 1.5 / IDLE_LIMIT
PING, PONG, LATE = 0.1, 0.5, 2.0


async def closed_by_server(url: str) -> int:
    """Connect to `/ws` and wait to be given up, after the header timeout."""
    async with connect(url.replace("http:", "ws:") + "/ws", compression=None, proxy=None) as silent:
        await silent.recv()  # the error
        with pytest.raises(ConnectionClosed) as closed:
            await silent.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


async def cut_by_link(link: Link) -> None:
    """Connect, say nothing, and wait to be cut."""
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("overrides", [{"window": 6 * MIB}])
async def test_pings_are_answered_while_a_write_takes_long(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also behind more than waits in memory where a disk keeps up."""
    monkeypatch.setattr(window, "STUCK_SECONDS", PING)
    data = content(7 * MIB)
    assert WRITE_BYTES + window.WAITING_BYTES < 6 * MIB
    async with service.connected() as peer:
        ready = await peer.begin("a", len(data))
        async with stuck_disk(service.store):
            await peer.send(*chunks(data[: ready["window"]]))
            async with asyncio.timeout(PATIENCE):
                for _ in range(3):
                    await (await peer.connection.ping())
        await peer.send(*chunks(data[ready["window"] :]), eof(data))
        await peer.hear("complete")


@asynccontextmanager
async def serving_quickly(tmp_path: Path) -> AsyncIterator[tuple[str, LocalStore]]:
    """A server that pings often and gives up early."""
    settings = Settings(data=tmp_path / "data", min_free_bytes=0, header_timeout=LATE)
    app = create_app(settings)
    async with serving_apart(app, settings, ping_interval=PING, ping_timeout=PONG) as (url, _):
        yield url, app.state.store


async def test_a_disk_that_is_stuck_for_long_loses_no_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "PING_SECONDS", PING)
    monkeypatch.setattr(wire, "PONG_SECONDS", PONG)
    monkeypatch.setattr(window, "STUCK_SECONDS", PING)
    data, recorder = content(40 * MIB), Recorder()
    async with (
        serving_quickly(tmp_path) as (url, store),
        Link("127.0.0.1", int(url.rpartition(":")[2])) as link,
        client.connect(link.url) as connection,
    ):
        link.hold_after(upstream=20 * MIB)
        uploading = asyncio.create_task(connection.upload(data, name="a", on_event=recorder))
        await recorder.acked(8 * MIB)
        async with stuck_disk(store):
            link.thaw()
            assert await closed_by_server(url) == 4408
        file = await uploading
        assert str(file.digest) == sha256(data)
        assert link.connections == 1
        assert recorder.of(Waiting) == []
        assert await stored(url, "a") == data


def test_nobody_waits_less_for_a_pong_than_a_server_may_be_held_up() -> None:
    assert wire.PONG_SECONDS > HELD_UP + wire.PING_SECONDS


def test_both_sides_ping_often_enough_for_links_that_cut_what_is_idle() -> None:
    assert 2 * PING_SECONDS < IDLE_LIMIT
    assert 2 * wire.PING_SECONDS < IDLE_LIMIT


NEVER = 3600.0


@pytest.mark.parametrize(
    ("server_pings", "client_pings"),
    [(SCALE * PING_SECONDS, None), (NEVER, SCALE * wire.PING_SECONDS), (NEVER, None)],
    ids=["server", "client", "nobody"],
)
async def test_a_link_that_cuts_what_is_idle_does_not_cut_it_where_one_side_pings(
    server_pings: float, client_pings: float | None
) -> None:
    app = FastAPI()
    app.add_api_websocket_route("/echo", echo_endpoint)
    async with (
        serving_apart(app, Settings(), ping_interval=server_pings, ping_timeout=server_pings) as (url, _),
        Link("127.0.0.1", int(url.rpartition(":")[2])) as link,
    ):
        link.idle_limit = SCALE * IDLE_LIMIT
        address = link.url.replace("http:", "ws:") + "/echo"
        async with connect(address, compression=None, proxy=None, ping_interval=client_pings) as idle:
            for _ in range(2):
                await cut_by_link(link)
            if server_pings == NEVER and client_pings is None:
                with pytest.raises(ConnectionClosed):
                    await idle.recv()
            else:
                await idle.send("still there")
                assert await idle.recv() == "still there"


def test_a_network_that_is_dead_is_noticed_while_nothing_is_read() -> None:
    """In a namespace whose loopback goes down: no reset comes, and no acknowledgement."""
    if lack := lacking_namespaces():
        pytest.skip(f"not shown here: {lack}")
    command = [sys.executable, "-m", "tests.end_to_end.dead_network"]
    ended = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "gone\n"), ended.stderr
