"""Those who only hold connections do not keep the others out."""

import asyncio
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

import client
from tests.attackers import Attack
from tests.end_to_end.scene import MIB, Recorder, content, stored
from tests.links import Link
from tests.server import ServerProcess, running
from transfer.descriptors import connections_that_fit, raise_descriptor_limit
from transfer.settings import Settings

ATTACKERS = 500


async def test_a_thousand_who_hold_connections_keep_nobody_from_uploading(tmp_path: Path) -> None:
    raise_descriptor_limit()
    if connections_that_fit() < 3 * ATTACKERS:
        pytest.skip("this system allows too few open files")
    data, recorder = content(16 * MIB), Recorder()
    async with (
        ServerProcess(tmp_path / "data") as server,
        Attack(server.url, half_open=ATTACKERS, trickling=ATTACKERS) as attack,
    ):
        for number in range(20):
            await client.upload(server.url, b"small", name=f"small/{number}")
        await client.upload(server.url, data, name="large", on_event=recorder)
        assert len(recorder.offsets) == 1  # it was never cut
        assert await stored(server.url, "large") == data
        held = await attack.held()
        assert held.half_open + held.trickling > ATTACKERS  # who was sent away for saying nothing is coming back
        assert await server.terminate() == 0
    assert not any("Traceback" in line for line in server.log_lines)


async def test_one_address_does_not_take_the_places_of_another(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data", max_connections=20, max_connections_per_address=10)
    async with running(settings) as url, Attack(url, half_open=10, trickling=0):
        address = url.replace("http:", "ws:") + "/echo"
        with pytest.raises(InvalidStatus) as refused:
            await connect(address, compression=None, proxy=None)
        assert refused.value.response.status_code == 503
        async with connect(address, compression=None, proxy=None, local_addr=("127.0.0.2", 0)) as other:
            await other.send("let in")
            assert await other.recv() == "let in"


async def test_a_client_that_finds_no_place_waits_for_one(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data", min_free_bytes=0, max_connections=1)
    recorder = Recorder()
    async with running(settings) as url, Link("127.0.0.1", int(url.rpartition(":")[2])) as link:
        address = url.replace("http:", "ws:") + "/echo"
        async with connect(address, compression=None, proxy=None):
            uploading = asyncio.create_task(client.upload(link.url, b"abc", name="a", on_event=recorder))
            await recorder.until(lambda event: "connections" in str(getattr(event, "reason", "")))
        assert (await uploading).size == 3
