"""The newcomer wins: one writer at a time, the others are told and stay away, and nothing of theirs lands later."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from itertools import pairwise
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

import client
from client.progress import Complete
from tests.end_to_end.conftest import Json, Peer, Service, chunks, digest, eof, header
from tests.end_to_end.scene import MIB, Recorder, content
from tests.end_to_end.waiting import busy_catalog, stuck_disk
from tests.links import Link
from transfer.protocol.digest import digest_bytes
from transfer.protocol.errors import Exists, Superseded

OLD, NEW = content(4 * MIB), content(4 * MIB, 1)


async def assert_superseded(peer: Peer) -> None:
    """It hears the error, the close code, and nothing after them."""
    await peer.refused("superseded")
    assert await peer.closed() == 4409


async def complete_after(service: Service, newcomer: Peer, ready: Json, old: bytes, new: bytes) -> None:
    """The newcomer completes what begins like `old` and goes on like `new`: a byte of the old holder's that landed
    after `ready` would make it another content."""
    whole = old[: ready["offset"]] + new[ready["offset"] :]
    complete = await newcomer.complete(whole, ready)
    assert complete["file"]["digest"] == digest(whole)
    assert await service.stored("a") == whole


async def send_until_closed(peer: Peer, data: bytes) -> None:
    with suppress(ConnectionClosed):
        await peer.send(*chunks(data))


# --------------------------------------------------------------------------------------------------- the newcomer wins


@pytest.mark.parametrize("by_id", [False, True])
async def test_an_idle_holder_is_told_and_closed(service: Service, by_id: bool) -> None:
    async with service.connected() as old, service.connected() as newcomer:
        first = await old.hold("a", len(OLD), OLD[:MIB])
        ready = await newcomer.begin("a", len(OLD), **({"upload_id": first["upload_id"]} if by_id else {}))
        assert (ready["upload_id"], ready["offset"]) == (first["upload_id"], MIB)
        assert ready["lease"] != first["lease"]
        await assert_superseded(old)
        await complete_after(service, newcomer, ready, OLD, NEW)
    assert service.log.refusals == ["superseded"]
    assert service.log.alarms == []


async def test_a_holder_that_is_sending_is_told_and_closed(service: Service) -> None:
    data, other = content(64 * MIB), content(64 * MIB, 1)
    async with service.connected() as old, service.connected() as newcomer:
        await old.begin("a", len(data))
        sending = asyncio.create_task(send_until_closed(old, data))
        while (await old.receive())["offset"] < 8 * MIB:
            pass
        ready = await newcomer.begin("a", len(data))
        assert ready["offset"] >= 8 * MIB
        await assert_superseded(old)
        await sending
        await complete_after(service, newcomer, ready, data, other)


async def test_what_the_old_holder_sends_after_the_newcomers_ready_is_not_written(service: Service) -> None:
    async with service.connected() as old, service.connected() as newcomer:
        await old.begin("a", len(OLD))
        ready = await newcomer.begin("a", len(OLD))
        await send_until_closed(old, OLD)
        await assert_superseded(old)
        await complete_after(service, newcomer, ready, OLD, NEW)


async def test_a_frozen_holder_does_not_stop_the_newcomer_and_is_told_when_it_thaws(service: Service) -> None:
    """What it had put on its way is carried to the server in the end, and lands nowhere."""
    async with (
        Link("127.0.0.1", service.port) as link,
        service.connected() as newcomer,
        service.connected(port=link.port) as old,
    ):
        await old.hold("a", len(OLD), OLD[:MIB])
        link.freeze()
        await old.send(OLD[MIB : MIB + 100_000])
        ready = await newcomer.begin("a", len(OLD))
        assert ready["offset"] == MIB
        link.thaw()
        await assert_superseded(old)
        await complete_after(service, newcomer, ready, OLD, NEW)


async def test_a_holder_that_vanished_does_not_stop_the_newcomer(service: Service) -> None:
    async with (
        Link("127.0.0.1", service.port) as link,
        service.connected() as newcomer,
        service.connected(port=link.port) as old,
    ):
        await old.hold("a", len(OLD), OLD[:MIB])
        link.freeze()
        ready = await newcomer.begin("a", len(OLD))
        assert ready["offset"] == MIB
        await complete_after(service, newcomer, ready, OLD, NEW)
        link.cut()


async def test_whoever_is_superseded_loses_that_upload_only(service: Service) -> None:
    """Its others stay resumable, with their leases, though its connection is closed."""
    async with service.connected() as old, service.connected() as newcomer:
        other = await old.leave_unfinished("b", 3, b"xy")
        await old.hold("a", 3, b"ab")
        await newcomer.complete(b"abc", await newcomer.begin("a", 3))
        await assert_superseded(old)
        ready = await newcomer.begin("b", 3, upload_id=other["upload_id"], lease=other["lease"])
        assert (ready["offset"], ready["lease"]) == (2, other["lease"])
        await newcomer.complete(b"xyz", ready)


async def test_whoever_was_superseded_does_not_drop_what_is_there_already(service: Service) -> None:
    """It asks with the digest of the name's content, late: by then the upload is somebody else's."""
    async with service.connected() as first, service.connected() as newcomer, service.connected() as late:
        await first.complete(OLD, await first.begin("a", len(OLD)))
        old = await first.begin("a", len(OLD))
        ready = await newcomer.begin("a", len(OLD))
        assert ready["upload_id"] == old["upload_id"]
        asked = {"upload_id": old["upload_id"], "lease": old["lease"], "digest": digest(OLD)}
        await late.send(header("a", len(OLD), **asked))
        await assert_superseded(late)
        await newcomer.send(header("a", len(OLD), **asked | {"lease": ready["lease"]}))
        assert (await newcomer.hear("complete"))["unchanged"] is True
    assert await service.unfinished() == []


async def test_who_takes_over_may_be_taken_over(service: Service) -> None:
    async with AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(service.connected()) for _ in range(5)]
        ready = await peers[0].begin("a", len(OLD))
        for before, peer in pairwise(peers):
            ready = await peer.begin("a", len(OLD))
            await assert_superseded(before)
        await complete_after(service, peers[-1], ready, OLD, NEW)
    assert service.log.refusals == ["superseded"] * 4


# ------------------------------------------------------------------------------------------------------------- leases


async def test_a_holder_comes_back_with_its_lease(service: Service) -> None:
    """Its old connection, which may be half-open, is replaced."""
    async with service.connected() as old, service.connected() as again:
        first = await old.hold("a", len(OLD), OLD[:MIB])
        ready = await again.begin("a", len(OLD), upload_id=first["upload_id"], lease=first["lease"])
        assert (ready["offset"], ready["lease"]) == (MIB, first["lease"])
        await assert_superseded(old)
        await complete_after(service, again, ready, OLD, NEW)


async def test_a_lease_is_good_for_as_long_as_nobody_takes_over(service: Service) -> None:
    mine: Json = {}
    for there in range(3):
        async with service.connected() as peer:
            ready = await peer.begin("a", 3, **mine)
            assert (ready["offset"], mine.get("lease", ready["lease"])) == (there, ready["lease"])
            await peer.send(b"abc"[there : there + 1])
            await peer.acked(there + 1)
            mine = {"upload_id": ready["upload_id"], "lease": ready["lease"]}
    async with service.connected() as peer:
        await peer.send(eof(b"abc", **mine))
        await peer.hear("complete")


def _header(mine: Json) -> Json:
    return header("a", len(OLD), **mine)


def _range(mine: Json) -> Json:
    return header("a", len(OLD), range=[MIB, 2 * MIB], **mine)


def _rewrite(mine: Json) -> Json:
    return header("a", len(OLD), range=[0, MIB], rewrite=True, **mine)


def _eof(mine: Json) -> Json:
    return eof(OLD, **mine)


@pytest.mark.parametrize("ask", [_header, _range, _rewrite, _eof])
async def test_an_old_lease_is_superseded_and_disturbs_nobody(service: Service, ask: Callable[[Json], Json]) -> None:
    async with service.connected() as old, service.connected() as newcomer, service.connected() as again:
        first = await old.hold("a", len(OLD), OLD[:MIB])
        ready = await newcomer.begin("a", len(OLD))
        await assert_superseded(old)
        await again.send(ask({"upload_id": first["upload_id"], "lease": first["lease"]}))
        await assert_superseded(again)
        await complete_after(service, newcomer, ready, OLD, NEW)


# --------------------------------------------------------------------------------------------------------- many at once


async def test_of_twenty_contenders_one_has_the_upload(service: Service) -> None:
    """All have asked before one goes on; those who were let in and pushed out again hear it."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(service.connected())
        left = await first.leave_unfinished("a", len(OLD), OLD[:MIB])
        peers = [await stack.enter_async_context(service.connected()) for _ in range(20)]
        answers = await asyncio.gather(*(_ask(peer, upload_id=left["upload_id"]) for peer in peers))
        outcomes = await asyncio.gather(*(_contend(peer, said) for peer, said in zip(peers, answers, strict=True)))
        assert sorted(outcomes) == ["complete"] + ["superseded"] * 19
    assert await service.names() == ["a"]
    assert await service.stored("a") == OLD
    assert service.log.refusals == ["superseded"] * 19


async def test_twenty_who_begin_at_once_leave_one_file(service: Service) -> None:
    """Nobody was there before: some begin uploads of their own, some take another's over."""

    async def come() -> str:
        async with service.connected() as peer:
            return await _contend(peer, await _ask(peer))

    outcomes = await asyncio.gather(*(come() for _ in range(20)))
    assert {"complete"} <= set(outcomes) <= {"complete", "superseded"}
    assert await service.names() == ["a"]
    assert await service.stored("a") == OLD


async def _ask(peer: Peer, **fields: object) -> Json:
    """`ready`, or the error."""
    await peer.send(header("a", len(OLD), **fields))
    return await peer.receive()


async def _contend(peer: Peer, answer: Json) -> str:
    """Send what is missing as fast as it goes; returns how it ended."""
    if answer["type"] == "ready":
        await send_until_closed(peer, OLD[answer["offset"] :])
        with suppress(ConnectionClosed):
            await peer.send(eof(OLD))
        answer = await peer.receive()
        while answer["type"] == "ack":
            answer = await peer.receive()
    if answer["type"] == "error":
        assert await peer.closed() == 4409
    return str(answer.get("code", answer["type"]))


async def test_of_two_clients_on_one_upload_the_second_completes(service: Service, tmp_path: Path) -> None:
    """The first, which the network had stopped, hears it and does not come back to fight."""
    path, first, second = tmp_path / "large.bin", Recorder(), Recorder()
    path.write_bytes(content(32 * MIB))
    async with Link("127.0.0.1", service.port) as link:
        link.hold_after(upstream=24 * MIB)  # it cannot complete before it is stopped
        loser = asyncio.create_task(client.upload(link.url, path, on_event=first))
        await first.acked(8 * MIB)
        link.freeze()
        await client.upload(service.url, path, on_event=second)
        link.thaw()
        with pytest.raises(Superseded):
            await loser
        assert link.connections == 1
    assert second.complete.resumed_at >= 8 * MIB
    assert await service.stored("large.bin") == path.read_bytes()


# ------------------------------------------------------------------------------------------------ a disk that is stuck


@pytest.mark.parametrize("by", ["header", "eof"])
async def test_whoever_asks_while_the_upload_is_being_published_hears_that_it_is_complete(
    service: Service, by: str
) -> None:
    async with service.connected() as old, service.connected() as newcomer:
        ready = await old.hold("a", len(OLD), OLD)
        resumed = {"upload_id": ready["upload_id"], "lease": ready["lease"]}
        async with busy_catalog(service.store) as queued:
            await old.send(eof(OLD))
            await queued(1)
            await newcomer.send(header("a", len(OLD), **resumed) if by == "header" else eof(OLD, **resumed))
            await queued(2)
        assert (await newcomer.hear("complete"))["file"]["digest"] == digest(OLD)
        assert (await old.hear("complete"))["file"]["digest"] == digest(OLD)


@pytest.mark.parametrize("overrides", [{"take_over_seconds": 0.05}])
async def test_while_the_last_write_has_not_returned_a_newcomer_hears_busy(service: Service) -> None:
    async with service.connected() as old, service.connected() as newcomer:
        first = await old.hold("a", 6, b"ab")
        async with stuck_disk(service.store):
            await old.send(b"cd")
            for _ in range(2):
                await newcomer.send(header("a", 6))
                assert (await newcomer.refused("busy"))["retryable"] is True
            await newcomer.send({"type": "text", "text": "still there?"})
            assert (await newcomer.receive())["type"] == "echo"
        await assert_superseded(old)
        ready = await newcomer.begin("a", 6)
        assert (ready["upload_id"], ready["offset"]) == (first["upload_id"], 2)
        await newcomer.complete(b"abXYZ!", ready)
    assert await service.stored("a") == b"abXYZ!"
    assert service.log.refusals == ["busy", "busy", "superseded"]


# ------------------------------------------------------------------------------------- completed by somebody else


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("algorithm", ["sha256", "blake3"])
async def test_only_its_own_content_counts_as_complete_to_a_client_that_was_away(
    service: Service, tmp_path: Path, same: bool, algorithm: str
) -> None:
    """Another one has taken the upload over meanwhile, and completed it: with whose content, its digest says."""
    source, events = tmp_path / "a.bin", Recorder()
    source.write_bytes(own := content(16 * MIB))
    async with Link("127.0.0.1", service.port) as link, client.connect(link.url, connections=1) as connection:
        link.hold_after(upstream=2 * MIB)
        away = asyncio.create_task(connection.upload(source, name="x", on_event=events))
        await link.until(lambda link: link.upstream_bytes >= 2 * MIB)
        link.refusing = True
        link.cut()
        async with service.connected() as newcomer:
            theirs = own if same else own[: 2 * MIB] + content(14 * MIB, 1)
            ready = await newcomer.begin("x", len(theirs), digest_algorithm=algorithm)
            eof_of_theirs = {"type": "eof", "digest": str(digest_bytes(theirs, algorithm))}
            await newcomer.send(*chunks(theirs[ready["offset"] :]), eof_of_theirs)
            await newcomer.hear("complete")
        link.thaw()
        link.refusing = False
        if same:
            assert (await away).digest == digest_bytes(own, algorithm)
            return
        with pytest.raises(Exists, match="another client has completed 'x' with other content"):
            await away
    assert events.of(Complete) == []


@pytest.mark.parametrize("same", [True, False])
async def test_a_stream_that_somebody_else_has_completed_is_read_on_and_compared(service: Service, same: bool) -> None:
    """As of a command that was given again while the one before was stuck."""
    away_still = asyncio.Event()

    async def stream() -> AsyncIterator[bytes]:
        yield OLD[:MIB]
        await away_still.wait()
        yield OLD[MIB:]

    events = Recorder()
    async with Link("127.0.0.1", service.port) as link, client.connect(link.url) as connection:
        away = asyncio.create_task(connection.upload(stream(), name="x", on_event=events))
        await events.acked(MIB)
        link.refusing = True
        link.cut()
        async with service.connected() as newcomer:
            theirs = OLD if same else OLD[:MIB] + NEW
            await newcomer.complete(theirs, await newcomer.begin("x", None))
        link.refusing = False
        away_still.set()
        if same:
            assert (await away).digest == digest_bytes(OLD)
            return
        with pytest.raises(Exists, match="another client has completed 'x' with other content"):
            await away
