"""The client sends one file by several connections: whatever breaks, it is that file in the end, and sent once."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import client
from client.progress import Ack, Connections, Ready, Resending, Waiting
from client.retry import JITTER
from tests.end_to_end.conftest import Service
from tests.end_to_end.scene import MIB, Recorder, content
from tests.links import Happening, Link, Passage, after
from transfer.protocol.errors import Superseded

DATA = content(24 * MIB + 17)
LONGEST_FIRST_DELAY = 0.5
"""Seconds; see `client.wire.delays`."""
BEGUN = 300_000
"""More than the first frame: a connection that has sent so much sends a part of its own."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "large.bin"
    path.write_bytes(DATA)
    return path


@pytest.fixture
async def link(service: Service) -> AsyncIterator[Link]:
    async with Link("127.0.0.1", service.port) as link:
        yield link


async def upload(url: str, source: Path, events: Recorder, connections: int = 3) -> None:
    async with client.connect(url, connections=connections) as connection:
        await connection.upload(source, on_event=events)


@asynccontextmanager
async def uploading(
    url: str, source: Path, events: Recorder, connections: int = 3
) -> AsyncIterator["asyncio.Task[None]"]:
    """As long as the body lasts, and no longer."""
    task = asyncio.create_task(upload(url, source, events, connections))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_one_file_goes_by_as_many_connections_as_were_asked_for(
    service: Service, link: Link, source: Path
) -> None:
    """Each of them sends parts of it, and nothing is sent twice. Progress is what is durable in all."""
    events, carried = Recorder(), dict[int, int]()

    def hold_the_first(passage: Passage, piece: bytes) -> Iterator[bytes | Happening]:
        carried[passage.number] = passage.passed_bytes
        if passage.number == 0 and passage.passed_bytes > BEGUN:
            yield Passage.hold
        yield piece

    link.upstream.fault = hold_the_first
    async with uploading(link.url, source, events) as task:
        await link.until(lambda _: len(carried) == 3 and min(carried.values()) > BEGUN)
        link.thaw()
        await task
    assert link.connections == 3
    assert [event.count for event in events.of(Connections)] == [3]
    assert events.complete.sent_bytes == len(DATA)
    offsets = [event.offset for event in events.of(Ack)]
    assert offsets == sorted(offsets)
    assert offsets[-1] == len(DATA)
    assert await service.stored("large.bin") == DATA
    assert service.log.refusals == []


async def test_a_near_server_gets_one_connection(link: Link, source: Path) -> None:
    await client.upload(link.url, source)
    assert link.connections == 1


async def test_a_stream_goes_by_one_connection(link: Link) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield DATA[:MIB]

    async with client.connect(link.url, connections=3) as connection:
        await connection.upload(pieces(), name="stream")
    assert link.connections == 1


@pytest.mark.parametrize("number", [0, 1])
async def test_one_connection_that_breaks_comes_back_and_the_others_go_on(
    service: Service, link: Link, source: Path, number: int
) -> None:
    """Whichever it is, the upload is not opened again, so nobody is superseded who was heard to leave."""
    events = Recorder()

    def cut_one(passage: Passage, piece: bytes) -> Iterator[bytes | Happening]:
        if passage.passed_bytes > BEGUN and passage.number < 3:
            yield Passage.cut if passage.number == number else Passage.hold
        yield piece

    link.upstream.fault = cut_one
    async with uploading(link.url, source, events) as task:
        await link.until(lambda link: link.connections == 4)
        await service.log.until("session ended")
        link.thaw()
        await task
    assert len(events.of(Ready)) == 1
    assert await service.stored("large.bin") == DATA
    assert service.log.refusals == []


async def test_what_comes_after_an_upload_whose_first_connection_broke_gets_another_one(
    link: Link, source: Path
) -> None:
    def cut_the_first(passage: Passage, piece: bytes) -> Iterator[bytes | Happening]:
        if passage.number == 0 and passage.passed_bytes > BEGUN:
            yield Passage.cut
        yield piece

    link.upstream.fault = cut_the_first
    async with client.connect(link.url, connections=3) as connection:
        await connection.upload(source)
        assert await connection.echo("still there") == "still there"


async def test_where_a_proxy_lets_one_connection_through_that_one_sends_it_all(link: Link, source: Path) -> None:
    """What it says to the others would be no reason to try again."""
    events = Recorder()

    def forbid_others(passage: Passage, piece: bytes) -> Iterator[bytes | Happening]:
        yield piece if passage.number == 0 else b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"

    link.downstream.fault = forbid_others
    await upload(link.url, source, events)
    assert events.of(Connections)[-1].count == 1
    assert events.complete.sent_bytes == len(DATA)


async def test_a_connection_that_the_server_does_not_take_yet_comes_later(
    service: Service, link: Link, source: Path
) -> None:
    """Being refused for a moment is no reason to send by fewer to the end."""
    events = Recorder()
    problem = b'{"code":"too_many","detail":"too many connections","retryable":true}'
    head = b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n"

    def refuse_one(passage: Passage, piece: bytes) -> Iterator[bytes | Happening]:
        yield piece if passage.number != 1 else head % len(problem) + problem

    def hold_the_first(passage: Passage, piece: bytes) -> Iterator[bytes | Happening]:
        if passage.number == 0 and passage.passed_bytes > BEGUN:
            yield Passage.hold
        yield piece

    link.downstream.fault, link.upstream.fault = refuse_one, hold_the_first
    async with uploading(link.url, source, events) as task:
        await link.until(lambda link: link.connections == 4)
        link.thaw()
        await task
    assert [event.count for event in events.of(Connections)] == [3]
    assert await service.stored("large.bin") == DATA


async def test_when_all_break_the_same_command_fills_the_holes(service: Service, link: Link, source: Path) -> None:
    """What is missing between the bytes that are there, and no more."""
    events, again = Recorder(), Recorder()

    def cut_all(_: Passage) -> None:
        link.refusing = True
        link.cut()

    link.upstream.fault = after(14 * MIB, cut_all)
    async with uploading(link.url, source, events):
        await link.until(lambda link: link.refused_connections > 0)
    await upload(service.url, source, again)
    assert again.complete.sent_bytes <= len(DATA) - max(event.offset for event in events.of(Ack))
    assert await service.stored("large.bin") == DATA


async def test_each_of_those_that_break_together_tries_again_as_soon_as_one_alone(link: Link, source: Path) -> None:
    """What is told is when the last of them does."""
    events = Recorder()

    def cut_all(_: Passage) -> None:
        link.refusing = True
        link.cut()

    link.upstream.fault = after(14 * MIB, cut_all)
    async with uploading(link.url, source, events, connections=6):
        waiting = await events.until(lambda event: isinstance(event, Waiting))
    assert isinstance(waiting, Waiting)
    assert waiting.seconds <= (1 + JITTER) * LONGEST_FIRST_DELAY


async def test_a_newcomer_supersedes_all_connections_of_a_client(service: Service, link: Link, source: Path) -> None:
    events = Recorder()
    link.hold_after(upstream=12 * MIB)
    async with uploading(link.url, source, events) as loser:
        await events.acked(4 * MIB)
        link.freeze()
        async with service.connected() as newcomer:
            await newcomer.begin("large.bin", len(DATA))
            link.thaw()
            with pytest.raises(Superseded):
                await loser


async def test_what_somebody_else_has_finished_meanwhile_is_complete(
    service: Service, link: Link, source: Path
) -> None:
    events = Recorder()

    def cut_all(_: Passage) -> None:
        link.refusing = True
        link.cut()

    link.upstream.fault = after(12 * MIB, cut_all)
    async with uploading(link.url, source, events) as task:
        await link.until(lambda link: link.refused_connections > 0)
        await client.upload(service.url, source)
        link.refusing = False
        await task
    assert str(events.complete.file.name) == "large.bin"


async def test_a_source_that_changed_since_is_mended_leaf_by_leaf(service: Service, link: Link, source: Path) -> None:
    events, again = Recorder(), Recorder()
    link.hold_after(upstream=16 * MIB)
    async with uploading(link.url, source, events):
        await events.acked(8 * MIB)
    ((left,), changed) = await service.unfinished(), bytearray(DATA)
    changed[left["offset"] // 2] ^= 1
    source.write_bytes(changed)  # noqa: ASYNC240 - nothing runs beside it
    await upload(service.url, source, again)
    assert {event.size for event in again.of(Resending)} == {MIB}  # told after each `ready` that still has it
    assert await service.stored("large.bin") == changed


async def test_an_end_that_the_disk_lost_meanwhile_is_sent_again(service: Service, link: Link, source: Path) -> None:
    """The server notices when it reads what came out of order: once the connection that was held has sent its part."""
    events, lost = Recorder(), 3 * MIB + 17

    def answer_the_first_no_more(passage: Passage, piece: bytes) -> Iterator[bytes | Happening]:
        """So that it has one span, and sends none of it."""
        if passage.number == 0 and passage.back.passed_bytes > MIB // 16:
            yield Passage.hold
        yield piece

    link.downstream.fault = answer_the_first_no_more
    async with uploading(link.url, source, events) as task:
        await events.acked(len(DATA) - MIB)
        with service.object_of(events.of(Ready)[0].upload_id).open("r+b") as stored:
            stored.seek(len(DATA) - lost)
            stored.write(bytes(lost))
        link.thaw()
        await task
    assert events.complete.sent_bytes == len(DATA) + lost
    assert await service.stored("large.bin") == DATA
