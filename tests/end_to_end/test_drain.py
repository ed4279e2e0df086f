"""A server that is stopped: what has come is made safe and told, and clients go on by themselves when it is back."""

import asyncio
import hashlib
import json
import os
import signal
from collections import defaultdict
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

import client
from client.progress import Ack, Complete, Event, Ready, Waiting
from tests.end_to_end.conftest import Peer, Service, digest, eof, header, small
from tests.end_to_end.scene import MIB, Recorder, content, sha256
from tests.end_to_end.waiting import busy_catalog, stuck_disk
from tests.server import ServerProcess, alarms, http_client

# ------------------------------------------------------------------------------------------------------- what is open


async def read_by_the_server(peer: Peer) -> None:
    """Until the server has read all that was sent: it answers pings in their turn."""
    await (await peer.connection.ping())


async def told_to_stop(service: Service) -> None:
    """Stop it, and return when every session has been told: an idle one is closed then."""
    async with service.connected() as idle:
        await read_by_the_server(idle)
        service.server.stop()
        assert await idle.closed() == 1012


@pytest.mark.parametrize("size", [10, None])
async def test_what_has_come_of_an_open_upload_is_acknowledged_before_the_close(
    service: Service, size: int | None
) -> None:
    async with service.connected() as peer:
        await peer.begin("a", size)
        async with busy_catalog(service.store) as queued:
            await peer.send(b"abcd")
            await queued(1)  # its durable point
            await told_to_stop(service)
        await peer.acked(4)
        assert (await peer.refused("shutting_down"))["retryable"] is True
        assert await peer.closed() == 1012
    (ended,) = [event for event in service.log.events if event.get("mode") == "upload"]
    assert (ended["bytes"], ended["outcome"]) == (4, "shutting_down")


async def test_what_still_comes_is_dropped_and_new_headers_are_refused(service: Service) -> None:
    async with service.connected() as peer:
        await peer.begin("a", 10, ref=1)
        async with busy_catalog(service.store) as queued:
            await peer.send(b"abcd")
            await queued(1)
            await told_to_stop(service)
            await peer.send(b"efghij", eof(b"abcdefghij"))
            await peer.send(*small("b", b"cargo", ref=2), {"type": "text", "text": "anybody?", "ref": 3})
            await peer.send(header("c", 3, ref=4), b"xyz", eof(b"xyz"))
            await read_by_the_server(peer)
        await peer.acked(4)
        assert [(await peer.refused("shutting_down"))["ref"] for _ in range(4)] == [1, 2, 3, 4]
        assert await peer.closed() == 1012
    assert service.log.refusals == ["shutting_down"] * 4


@pytest.mark.parametrize("way", ["small", "large"])
async def test_a_file_that_came_whole_is_completed(service: Service, way: str) -> None:
    data = b"cargo"
    async with service.connected() as peer:
        if way == "large":
            await peer.hold("a", len(data), data)
        async with busy_catalog(service.store) as queued:
            await peer.send(*(small("a", data) if way == "small" else [eof(data)]))
            await queued(1)
            await told_to_stop(service)
            await peer.send(header("late", 3))
            await read_by_the_server(peer)
        assert (await peer.hear("complete"))["file"]["digest"] == digest(data)
        await peer.refused("shutting_down")
        assert await peer.closed() == 1012


async def test_a_small_file_of_which_something_is_missing_is_refused(service: Service) -> None:
    async with service.connected() as peer:
        await peer.send(header("a", 10, offset=0), b"abcd")
        await read_by_the_server(peer)
        service.server.stop()
        await peer.refused("shutting_down")
        assert await peer.closed() == 1012


async def test_a_tunnel_is_closed_with_1012(service: Service) -> None:
    async with service.connected() as peer:
        await peer.send({"type": "proxy", "upstream": "echo"})
        await peer.hear("ready")
        await peer.send(b"cargo")
        assert await peer.connection.recv() == b"cargo"
        service.server.stop()
        assert await peer.closed() == 1012


@pytest.mark.parametrize("overrides", [{"drain_timeout": 0.1}])
async def test_what_takes_longer_than_the_drain_timeout_is_closed_with_1012_too(service: Service) -> None:
    async with service.connected() as peer:
        await peer.begin("a", 10)
        async with stuck_disk(service.store):
            await peer.send(b"abcd")
            await read_by_the_server(peer)
            service.server.stop()
            assert await peer.closed() == 1012


async def test_what_was_acknowledged_while_it_stopped_is_there_afterwards(tmp_path: Path) -> None:
    heard = Recorder()
    async with ServerProcess(tmp_path / "data") as server:
        uploading = asyncio.create_task(client.upload(server.url, endless(), name="a", on_event=heard))
        await heard.acked(1)
        assert await server.terminate() == 0
        await heard.until(lambda event: isinstance(event, Waiting))
        acked = max(event.offset for event in heard.of(Ack))
        uploading.cancel()
        await asyncio.wait([uploading])
        await server.restart()
        (upload,) = await uploads(server.url)
    assert upload.offset >= acked > 0
    assert alarms(server.log_lines) == []


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield bytes(MIB)


async def uploads(url: str) -> list[client.UnfinishedUpload]:
    async with client.connect(url) as connection:
        return await connection.uploads()


# ----------------------------------------------------------------------------------------------------- a second signal


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_it_at_once_and_loses_nothing(tmp_path: Path, number: signal.Signals) -> None:
    heard, large = Recorder(), bytes(64 * MIB)
    async with ServerProcess(tmp_path / "data", environment={"TOWLINE_DRAIN_TIMEOUT": "600"}) as server:
        await client.upload(server.url, large, name="large")
        async with http_client(server.url) as http, http.stream("GET", "/files/large"):  # what holds it up
            uploading = asyncio.create_task(client.upload(server.url, endless(), name="a", on_event=heard))
            await heard.acked(1)
            os.kill(server.pid, number)
            await server.until_logged("stopping")
            assert await server.terminate(number) == -number
        await heard.until(lambda event: isinstance(event, Waiting))
        uploading.cancel()
        await asyncio.wait([uploading])
        await server.restart()
        (upload,) = await uploads(server.url)
    assert upload.offset >= max(event.offset for event in heard.of(Ack))
    assert alarms(server.log_lines) == []


# ------------------------------------------------------------------------------------------------------- ten restarts

RESTARTS = 10
LARGE, STREAM, SMALL = ("large-1", "large-2"), "stream", ("small-1", "small-2")
END = -1
SMALL_FILES = 60
"""Of each client between two restarts."""
SLOWLY = f"window = {MIB}\nchunk_size = {MIB // 4}\n"
"""With a window this small a client waits for each durable point."""


class Load:
    """What several clients do at the same time: large files, a stream that ends when it is told, many small files."""

    def __init__(self, folder: Path) -> None:
        self.recorders: defaultdict[str, Recorder] = defaultdict(Recorder)
        self.digests: dict[str, str] = {}
        self._folder = folder
        self._over = asyncio.Event()
        self._rounds = {name: asyncio.Queue[int]() for name in SMALL}

    def next_round(self, number: int) -> None:
        """Have the clients of small files send some more."""
        for rounds in self._rounds.values():
            rounds.put_nowait(number)

    def end(self) -> None:
        """Nothing new is begun."""
        self._over.set()
        self.next_round(END)

    async def large(self, url: str, name: str, seed: int) -> None:
        path = self._folder / name
        path.write_bytes(content(96 * MIB, seed))
        self.digests[name] = sha256(path)
        await client.upload(url, path, on_event=self.recorders[name])

    async def stream(self, url: str, name: str) -> None:
        await client.upload(url, self._pieces(name), name=name, on_event=self.recorders[name])

    async def _pieces(self, name: str) -> AsyncIterator[bytes]:
        hashed, number = hashlib.sha256(), 0
        while not self._over.is_set():
            number += 1
            piece = content(100_000, number)
            hashed.update(piece)
            yield piece
        self.digests[name] = f"sha256:{hashed.hexdigest()}"

    async def small(self, url: str, name: str) -> None:
        async with client.connect(url) as connection:
            async for result in connection.upload_many(self._items(name), on_event=self.recorders[name]):
                assert isinstance(result, Complete), result

    async def _items(self, name: str) -> AsyncIterator[client.Item]:
        while (number := await self._rounds[name].get()) != END:
            for index in range(number * SMALL_FILES, (number + 1) * SMALL_FILES):
                path = self._folder / f"{name}-{index}"
                path.write_bytes(content(1 + index * 7 % 5_000, index))
                self.digests[path.name] = sha256(path)
                yield client.Item(path, path.name)


async def goes_on(load: Load, restart: int) -> None:
    """Until each client has got further since the last restart, or has all it wanted."""

    def is_further(event: Event, acked: int) -> bool:
        return isinstance(event, Complete) or (isinstance(event, Ack) and event.offset > acked)

    def is_answered(event: Event, name: str) -> bool:
        return isinstance(event, Complete) and event.name == name

    async with asyncio.TaskGroup() as group:
        for name in (*LARGE, STREAM):
            recorder = load.recorders[name]
            further = partial(is_further, acked=max((event.offset for event in recorder.of(Ack)), default=0))
            group.create_task(recorder.until(further))
        for name in SMALL:
            answered = partial(is_answered, name=f"{name}-{restart * SMALL_FILES}")
            group.create_task(load.recorders[name].until(answered))


def lost_bytes(recorder: Recorder) -> list[tuple[int, int]]:
    """Where a server went on behind what it had acknowledged."""
    acked, lost = 0, []
    for event in recorder.events:
        if isinstance(event, Ack):
            acked = max(acked, event.offset)
        elif isinstance(event, Ready) and event.offset < acked:
            lost.append((event.offset, acked))
    return lost


async def test_ten_restarts_under_load_lose_nothing_and_every_upload_completes(tmp_path: Path) -> None:
    load, settings = Load(tmp_path), tmp_path / "towline.toml"
    settings.write_text(SLOWLY)
    async with ServerProcess(tmp_path / "data") as server:
        async with asyncio.TaskGroup() as group:
            for seed, name in enumerate(LARGE):
                group.create_task(load.large(server.url, name, seed))
            group.create_task(load.stream(server.url, STREAM))
            for name in SMALL:
                group.create_task(load.small(server.url, name))
            for restart in range(RESTARTS):
                load.next_round(restart)
                await goes_on(load, restart)
                assert await server.terminate() == 0
                settings.write_text(SLOWLY if restart < RESTARTS - 1 else "")
                await server.restart()
            load.end()
        listed = {str(file.name): str(file.digest) for file in await client.list_files(server.url)}
    assert listed == load.digests
    assert len(listed) == len(LARGE) + 1 + len(SMALL) * RESTARTS * SMALL_FILES
    assert {name: lost for name in load.recorders if (lost := lost_bytes(load.recorders[name]))} == {}
    assert len(load.recorders[STREAM].of(Ready)) > RESTARTS
    reasons = [event.reason for recorder in load.recorders.values() for event in recorder.of(Waiting)]
    assert any(reason.startswith("the server is stopping") for reason in reasons)
    assert {json.loads(line)["level"] for line in server.log_lines} == {"info"}, "something had to be cut off"
