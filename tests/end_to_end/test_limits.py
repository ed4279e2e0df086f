"""What a connection of `/ws` may take: time to its first header, a rate of bytes, unfinished uploads.

What a test waits for is another connection on which nothing happens, and which is given up: its time began later than
that of the connections that must not be.
"""

import asyncio
import os
import threading
from typing import Any

import pytest

from tests.end_to_end.conftest import Frame, Peer, Service, eof, header, small
from tests.end_to_end.scene import MIB, content
from tests.end_to_end.waiting import stuck_disk

RATE: dict[str, Any] = {"min_upload_rate": 1_000, "rate_period": 0.4, "header_timeout": 1.0}
CONTENT = content(2 * MIB)
with_rate = pytest.mark.parametrize("overrides", [RATE])


async def given_up(service: Service, name: str = "given up") -> None:
    """An upload that brings nothing is given up: so much time has passed."""
    async with service.connected() as peer:
        await peer.begin(name, 100)
        await told_too_slow(peer)


async def no_header(service: Service) -> None:
    """A connection without a header is given up: so much time has passed, whatever the disk does."""
    async with service.connected() as peer:
        await told_too_slow(peer)


async def told_too_slow(peer: Peer) -> None:
    refused = await peer.refused("timeout")
    assert refused["retryable"] is True
    assert await peer.closed() == 4408


# ---------------------------------------------------------------------------------------------------- the first header


@pytest.mark.parametrize("overrides", [{"header_timeout": 0.2}])
async def test_a_connection_without_a_header_is_closed(service: Service) -> None:
    async with service.connected() as first, service.connected() as tunnel:
        await first.send({"type": "text", "text": "in time"})
        await first.hear("echo")
        await tunnel.send({"type": "proxy", "upstream": "echo"})
        await tunnel.hear("ready")
        async with service.connected() as silent:
            assert "0.2 s" in (await silent.refused("timeout"))["message"]
            assert await silent.closed() == 4408
        await first.works()
        await tunnel.send('{"through": "the tunnel"}')
        assert await tunnel.receive() == {"through": "the tunnel"}


@pytest.mark.parametrize("overrides", [{"header_timeout": 0.2}])
@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"bytes of nothing", "bad_message"),
        ("no json", "bad_message"),
        ({"type": "nothing"}, "unsupported_type"),
        (header("../a", 3), "invalid_name"),
        ({"type": "cancel"}, "bad_message"),
        (eof(b"abc"), "bad_message"),
    ],
)
async def test_what_is_refused_is_no_header(service: Service, frame: Frame, code: str) -> None:
    async with service.connected() as noisy:
        await noisy.send(frame, "no json")
        await noisy.refused(code)
        await noisy.refused("bad_message")
        await told_too_slow(noisy)


# ------------------------------------------------------------------------------------------------------------ the rate


@with_rate
async def test_an_upload_that_is_too_slow_is_kept_and_can_be_resumed(service: Service) -> None:
    async with service.connected() as slow, service.connected() as later:
        await slow.begin("a", len(CONTENT))
        await slow.send(CONTENT[:100])
        await slow.acked(100)
        assert (await slow.refused("timeout"))["limit"] == 1_000
        assert await slow.closed() == 4408
        assert [upload["offset"] for upload in await service.unfinished()] == [100]
        complete = await later.complete(CONTENT, await later.begin("a", len(CONTENT)))
        assert complete["file"]["size"] == len(CONTENT)


@with_rate
async def test_bytes_that_trickle_do_not_keep_an_upload(service: Service) -> None:
    async with service.connected() as slow:
        await slow.begin("a", 200)
        end, message = 0, {"type": "ack", "offset": 0}
        while message["type"] == "ack":
            assert message["offset"] == end
            end += 1
            await slow.send(CONTENT[end - 1 : end])
            message = await slow.receive()
        assert message["code"] == "timeout"
        assert await slow.closed() == 4408


@with_rate
async def test_small_files_have_the_same_minimum(service: Service) -> None:
    async with service.connected() as slow, service.connected() as before:
        await slow.send(header("a", 1_000, offset=0), CONTENT[:10])
        await told_too_slow(slow)
        await before.works()
    assert await service.unfinished() == []


@with_rate
async def test_the_bytes_of_a_frame_count_before_all_of_it_is_there(service: Service) -> None:
    async with service.connected() as slow:
        await slow.begin("a", MIB)
        frame = bytes([0x82, 0xFF, *MIB.to_bytes(8), 0, 0, 0, 0]) + CONTENT[:MIB]
        waiting = asyncio.create_task(given_up(service))
        sent = 0
        while not waiting.done():
            slow.connection.transport.write(frame[sent : sent + 50])
            sent += 50
            await asyncio.sleep(0.01)
        slow.connection.transport.write(frame[sent:])
        await slow.acked(MIB)
        await slow.send(eof(CONTENT[:MIB]))
        await slow.hear("complete")


@with_rate
async def test_a_stream_may_be_as_slow_as_it_likes(service: Service) -> None:
    async with service.connected() as stream:
        await stream.begin("a", None)
        await given_up(service)
        await stream.send(b"abc", eof(b"abc"))
        await stream.hear("complete")


@with_rate
async def test_a_client_may_take_its_time_when_all_bytes_are_there(service: Service) -> None:
    async with service.connected() as hashing:
        await hashing.hold("a", 3, b"abc")
        await given_up(service)
        await hashing.send(eof(b"abc"))
        await hashing.hear("complete")


@with_rate
async def test_a_client_may_compare_before_it_sends(service: Service) -> None:
    async with service.connected() as comparing:
        await comparing.send(*small("a", b"abc"))
        await comparing.hear("complete")
        ready = await comparing.begin("a", 3)
        assert ready["existing"]["size"] == 3
        await given_up(service)
        await comparing.send(b"a")
        await told_too_slow(comparing)


@with_rate
async def test_nobody_is_too_slow_while_the_disk_is(service: Service) -> None:
    async with service.connected() as peer, service.connected() as many:
        ready = await peer.begin("a", len(CONTENT))
        await many.begin("b", len(CONTENT))
        async with stuck_disk(service.store):
            await peer.send(CONTENT[:MIB])
            await many.send(CONTENT[:MIB], *small("c", b"c" * 10))
            await many.send(header("d", 10, offset=0), b"some")  # and the rest when c was answered
            await no_header(service)
        await peer.complete(CONTENT, {"offset": MIB} | {"upload_id": ready["upload_id"]})
        await many.hear("complete")
        await many.send(b"more..", eof(b"somemore.."))
        await many.hear("complete")


@with_rate
async def test_nobody_is_too_slow_while_a_sync_takes_long(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    syncing, let_go, sync = asyncio.Event(), threading.Event(), os.fdatasync
    loop = asyncio.get_running_loop()

    def slow_sync(descriptor: int) -> None:
        loop.call_soon_threadsafe(syncing.set)
        let_go.wait()
        sync(descriptor)

    async with service.connected() as peer:
        await peer.begin("a", len(CONTENT))
        monkeypatch.setattr(os, "fdatasync", slow_sync)
        await peer.send(CONTENT[:MIB])
        await syncing.wait()
        await no_header(service)
        let_go.set()
        await peer.acked(MIB)
        await peer.complete(CONTENT, {"offset": MIB})


@pytest.mark.parametrize("overrides", [{"max_unfinished_uploads": 2}])
async def test_one_unfinished_upload_too_many_is_refused(service: Service) -> None:
    async with service.connected() as peer:
        await peer.leave_unfinished("a", 10, b"abc")
        await peer.leave_unfinished("b", 10, b"abc")
        await peer.send(header("c", 10))
        refused = await peer.refused("too_many")
        assert (refused["limit"], refused["retryable"]) == (2, False)
        await peer.works()
        assert (await peer.begin("a", 10))["offset"] == 3
