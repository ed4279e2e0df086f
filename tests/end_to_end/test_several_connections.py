"""Several connections of one lease write to one upload: beside each other, and all of them fenced by a newcomer."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

import client
from client.progress import Ready
from tests.end_to_end.conftest import Json, Peer, Service, chunks, digest, eof
from tests.end_to_end.scene import MIB, content

DATA = content(6 * MIB + 17)


@pytest.fixture
async def peers(service: Service) -> AsyncIterator[list[Peer]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(service.connected()) for _ in range(4)]


def mine(ready: Json) -> Json:
    return {"upload_id": ready["upload_id"], "lease": ready["lease"]}


async def assert_superseded(peer: Peer) -> None:
    await peer.refused("superseded")
    assert await peer.closed() == 4409


async def join(peer: Peer, upload: Json, start: int, end: int) -> Json:
    return await peer.begin("a", len(DATA), range=[start, end], **mine(upload))


async def test_ranges_on_several_connections_become_one_file(service: Service, peers: list[Peer]) -> None:
    """They come by turns; each hears the acks of its own, and `eof` finishes the whole."""
    upload = await peers[0].begin("a", len(DATA))
    spans = [(0, 2 * MIB), (2 * MIB, 4 * MIB), (4 * MIB, len(DATA))]
    await join(peers[1], upload, *spans[1])
    await join(peers[2], upload, *spans[2])
    for at in range(0, 2 * MIB, MIB // 2):
        for peer, (start, end) in zip(peers, spans, strict=False):
            await peer.send(DATA[start + at : min(start + at + MIB // 2, end)])
    await peers[2].send(DATA[6 * MIB :])
    for peer, (_, end) in zip(peers[1:], spans[1:], strict=False):
        await peer.acked(end)
    await peers[1].send(eof(DATA, **mine(upload)))
    await peers[1].hear("complete")
    await assert_superseded(peers[0])  # its operation was of the whole, and never ended
    assert await service.stored("a") == DATA


async def test_one_connection_that_breaks_is_replaced_and_the_others_go_on(service: Service, peers: list[Peer]) -> None:
    upload = await peers[0].hold("a", len(DATA), DATA[:MIB])
    await join(peers[1], upload, 2 * MIB, 4 * MIB)
    await peers[1].send(DATA[2 * MIB : 3 * MIB])
    await peers[1].acked(3 * MIB)
    assert (await join(peers[2], upload, 2 * MIB, 4 * MIB))["offset"] == 3 * MIB
    await assert_superseded(peers[1])
    await peers[2].send(DATA[3 * MIB : 4 * MIB])
    await peers[2].acked(4 * MIB)
    await peers[0].send(*chunks(DATA[MIB:]), eof(DATA))
    await peers[0].hear("complete")
    assert await service.stored("a") == DATA


async def test_a_newcomer_without_the_lease_supersedes_all_of_them(service: Service, peers: list[Peer]) -> None:
    other = content(len(DATA), 1)
    upload = await peers[0].hold("a", len(DATA), DATA[:MIB])
    for peer, start in ((peers[1], 2 * MIB), (peers[2], 4 * MIB)):
        await join(peer, upload, start, start + MIB)
        await peer.send(DATA[start : start + 100_000])
    ready = await peers[3].begin("a", len(DATA))
    for peer in peers[:3]:
        await assert_superseded(peer)
    missing = ready.get("missing", [])
    for start, end in missing:
        await peers[3].begin("a", len(DATA), range=[start, end], **mine(ready))
        await peers[3].send(*chunks(other[start:end]))
        await peers[3].acked(end)
    ready = await peers[3].begin("a", len(DATA), **mine(ready))
    whole = bytearray(DATA[: ready["offset"]] + other[ready["offset"] :])
    for start, end in missing:
        whole[start:end] = other[start:end]
    complete = await peers[3].complete(bytes(whole), ready)
    assert complete["file"]["digest"] == digest(bytes(whole))


async def test_a_header_of_the_whole_replaces_all_who_have_its_lease(service: Service, peers: list[Peer]) -> None:
    upload = await peers[0].begin("a", len(DATA))
    await join(peers[1], upload, MIB, 2 * MIB)
    ready = await peers[2].begin("a", len(DATA), **mine(upload))
    assert ready["lease"] == upload["lease"]
    await assert_superseded(peers[0])
    await assert_superseded(peers[1])
    await peers[2].complete(DATA, ready)


async def test_who_finishes_too_early_hears_what_is_missing_and_disturbs_nobody(
    service: Service, peers: list[Peer]
) -> None:
    upload = await peers[0].begin("a", len(DATA))
    await peers[1].send(eof(DATA, **mine(upload)))
    assert (await peers[1].refused("size_mismatch"))["missing"] == [[0, len(DATA)]]
    await peers[0].complete(DATA, upload)


async def test_who_drops_the_upload_supersedes_the_others(service: Service, peers: list[Peer]) -> None:
    upload = await peers[0].begin("a", len(DATA))
    await join(peers[1], upload, MIB, 2 * MIB)
    await peers[1].send({"type": "cancel"})
    await peers[1].hear("cancelled")
    await assert_superseded(peers[0])
    assert await service.unfinished() == []


async def test_a_lost_connection_takes_no_other_along_and_its_durable_bytes_stay(service: Service) -> None:
    async with service.connected() as first:
        upload = await first.begin("a", len(DATA))
        async with service.connected() as second:
            await join(second, upload, MIB, 2 * MIB)
            await second.send(DATA[MIB : 2 * MIB])
            await second.acked(2 * MIB)
        await first.complete(DATA, upload)
    assert await service.stored("a") == DATA


async def test_an_upload_with_holes_is_said_once_to_go_on(service: Service, peers: list[Peer]) -> None:
    """What was beyond a hole is found when that is filled, on the same connection."""
    upload = await peers[0].hold("a", len(DATA), DATA[:MIB])
    await join(peers[1], upload, 2 * MIB, 4 * MIB)
    await peers[1].send(DATA[2 * MIB : 4 * MIB])
    await peers[1].acked(4 * MIB)
    events: list[client.Event] = []
    async with client.connect(service.url) as connection:
        await connection.upload(DATA, name="a", on_event=events.append)
    assert [event.offset for event in events if isinstance(event, Ready)] == [MIB]
    assert await service.stored("a") == DATA
