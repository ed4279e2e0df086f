"""SIGKILL while several connections send one file: what was acknowledged on any of them is there."""

import asyncio
from pathlib import Path

import client
from client.progress import Ack
from tests.crash.forkserver import ForkedServer
from tests.end_to_end.scene import MIB, Recorder, content, stored
from transfer.settings import Settings

DATA = content(24 * MIB + 17)
KILLS = 3


async def send(url: str, source: Path, events: Recorder) -> None:
    async with client.connect(url, connections=3) as connection:
        await connection.upload(source, on_event=events)


async def test_nothing_that_was_acknowledged_on_any_of_them_is_lost(tmp_path: Path) -> None:
    """The command that comes after the last kill has not to send it again."""
    source, acknowledged = tmp_path / "large.bin", 0
    source.write_bytes(DATA)
    settings = Settings(data=tmp_path / "data", port=0, min_free_bytes=0)
    async with ForkedServer(settings, tmp_path / "log") as server:
        for number in range(1, KILLS + 1):
            await server.start()
            events = Recorder()
            sending = asyncio.create_task(send(server.url, source, events))
            await events.acked(number * 5 * MIB)
            await server.kill()
            sending.cancel()
            await asyncio.wait([sending])
            acknowledged = max(event.offset for event in events.of(Ack))
        await server.start()
        again = Recorder()
        await send(server.url, source, again)
        assert again.complete.sent_bytes <= len(DATA) - acknowledged
        assert await stored(server.url, "large.bin") == DATA
