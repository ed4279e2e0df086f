"""`/ws` and `/echo` as the protocol's document describes them, frame by frame, through a plain client."""

import asyncio
import base64
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.end_to_end.conftest import Frame, Json, Peer, Service, chunks, digest, eof, header, small
from tests.end_to_end.scene import content
from transfer.protocol.digest import digest_bytes
from transfer.protocol.leaves import leaves_of
from transfer.protocol.limits import MAX_LISTING, MAX_TEXT_BYTES, MAX_UNANSWERED

MIB = 1 << 20
LEAF = MIB


def mine(ready: Json) -> Json:
    """What names an upload and proves that it is ours."""
    return {"upload_id": ready["upload_id"], "lease": ready["lease"]}


# --------------------------------------------------------------------------------------------------------- connecting


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(None, None), (["towline.v1"], "towline.v1"), (["towline.v9", "towline.v1", "chat"], "towline.v1")],
)
async def test_the_version_is_negotiated(service: Service, offered: list[Subprotocol] | None, chosen: str) -> None:
    async with connect(f"ws://127.0.0.1:{service.port}/ws", subprotocols=offered, proxy=None) as connection:
        assert connection.subprotocol == chosen
        await Peer(connection).works()


@pytest.mark.parametrize("path", ["/ws", "/echo"])
async def test_compression_is_never_negotiated(service: Service, path: str) -> None:
    async with connect(f"ws://127.0.0.1:{service.port}{path}", compression="deflate", proxy=None) as connection:
        assert connection.request is not None
        assert connection.response is not None
        assert "permessage-deflate" in connection.request.headers["Sec-WebSocket-Extensions"]
        assert "Sec-WebSocket-Extensions" not in connection.response.headers


# --------------------------------------------------------------------------------------------------------------- echo


@pytest.mark.parametrize(
    "text", ["hello", "", "Ünï\u0000 🚢", "a" * MAX_TEXT_BYTES, "\u0001" * MAX_TEXT_BYTES], ids=len
)
async def test_a_text_comes_back(peer: Peer, text: str) -> None:
    await peer.send({"type": "text", "text": text})
    assert await peer.receive() == {"type": "echo", "text": text}


@pytest.mark.parametrize("message", ["hello", b"hello", "", b"", "🚢" * 100_000], ids=lambda message: str(message)[:8])
async def test_the_echo_endpoint_sends_everything_back(service: Service, message: str | bytes) -> None:
    async with service.connected("/echo") as peer:
        for _ in range(3):
            await peer.connection.send(message)
            assert await peer.connection.recv() == message


@pytest.mark.parametrize("message", [content(16 * MIB), "a" * (16 * MIB)], ids=["binary", "text"])
async def test_the_echo_endpoint_takes_sixteen_mebibytes(service: Service, message: str | bytes) -> None:
    async with service.connected("/echo") as peer:
        await peer.connection.send(message)
        assert await peer.connection.recv() == message


async def test_the_echo_endpoint_puts_fragments_together(service: Service) -> None:
    async with service.connected("/echo") as peer:
        await peer.connection.send(["", "one ", "", "two ", "three", ""])
        assert await peer.connection.recv() == "one two three"
        await peer.connection.send(chunks(content(MIB), 100_000))
        assert await peer.connection.recv() == content(MIB)


# ---------------------------------------------------------------------------------------------------- the order of all


async def test_every_reply_repeats_the_ref(service: Service, peer: Peer) -> None:
    data = content(2 * LEAF)
    await peer.send({"type": "text", "text": "a", "ref": 0}, header("a", len(data), ref=1))
    assert (await peer.receive())["ref"] == 0
    assert (await peer.receive())["ref"] == 1
    await peer.send(*chunks(data), eof(data, ref=99), header("b", 1, ref=2), {"type": "cancel"}, header("..", 1, ref=3))
    heard: list[Json] = [await peer.receive()]
    while heard[-1]["type"] != "error":
        heard.append(await peer.receive())
    assert [reply["ref"] for reply in heard] == sorted(reply["ref"] for reply in heard)
    assert {reply["type"]: reply["ref"] for reply in heard} == {
        "ack": 1,
        "complete": 1,
        "ready": 2,
        "cancelled": 2,
        "error": 3,
    }


async def test_without_a_ref_replies_have_none(peer: Peer) -> None:
    await peer.send(*small("a", b"a"), {"type": "text", "text": "a"}, header("b", 1), "no message")
    assert all("ref" not in reply for reply in [await peer.receive() for _ in range(4)])


async def test_replies_come_in_the_order_of_the_headers(service: Service, peer: Peer) -> None:
    """Whatever takes longer: large small files, tiny ones, echoes, refusals and an upload that waits for `ready`."""
    frames: list[Frame] = []
    for ref in range(0, 60, 6):
        frames += small(f"large-{ref}", content(LEAF, ref), ref=ref)
        frames += [{"type": "text", "text": "between", "ref": ref + 1}]
        frames += small(f"tiny-{ref}", b"tiny", ref=ref + 2)
        frames += [header(f"left-{ref}", LEAF, ref=ref + 3)]
        frames += small("con", b"refused", ref=ref + 4)
        frames += small(f"empty-{ref}", b"", ref=ref + 5)
    sending = asyncio.create_task(peer.send(*frames))
    heard: list[tuple[int, str]] = []
    while not heard or heard[-1][0] != 59:
        reply = await peer.receive()
        heard += [] if reply["type"] == "ack" else [(reply["ref"], reply["type"])]
    await sending
    kinds = ["complete", "echo", "complete", "ready", "error", "complete"]
    assert heard == [(ref, kinds[ref % 6]) for ref in range(60)]
    assert len(await service.names()) == 30


async def test_small_files_follow_one_another_without_waiting(service: Service, peer: Peer) -> None:
    files = {f"folder/file-{index}": content(index * 37, index) for index in range(MAX_UNANSWERED)}
    await peer.send(*(frame for name, data in files.items() for frame in small(name, data)))
    for name, data in files.items():
        reply = await peer.receive()
        assert (reply["type"], reply["file"]["name"], reply["file"]["digest"]) == ("complete", name, digest(data))
    assert await service.names() == sorted(files)[:MAX_LISTING]


@pytest.mark.parametrize("refused", ["folder/../escape", "taken"], ids=["at the header", "at eof"])
async def test_a_small_file_that_is_refused_takes_only_its_own_frames_along(
    service: Service, peer: Peer, refused: str
) -> None:
    await peer.send(*small("taken", b"taken"))
    await peer.hear("complete")
    frames = [
        *small("before", b"before", ref=1),
        header(refused, 30, ref=2, offset=0),
        b"ten bytes.",
        b"ten bytes.",
        b"ten bytes.",
        eof(b"ten bytes." * 3),
        *small("after", b"after", ref=3),
    ]
    peer.send_at_once(*frames)
    assert [(reply["type"], reply["ref"]) for reply in [await peer.receive() for _ in range(3)]] == [
        ("complete", 1),
        ("error", 2),
        ("complete", 3),
    ]
    assert await service.names() == ["after", "before", "taken"]
    assert await service.stored("after") == b"after"


async def test_a_large_file_need_not_wait_either(service: Service, peer: Peer) -> None:
    """Its bytes come before `ready`; `ready` and acks come all the same."""
    large, stream = content(3 * LEAF + 5), content(2 * LEAF, 1)
    peer.send_at_once(
        header("large", len(large), offset=0, ref=1),
        *chunks(large),
        eof(large),
        header("stream", None, offset=0, ref=2),
        *chunks(stream),
        eof(stream),
        *small("small", b"small", ref=3),
    )
    kinds: list[tuple[str, int]] = []
    while not kinds or kinds[-1] != ("complete", 3):
        reply = await peer.receive()
        kinds += [] if reply["type"] == "ack" else [(reply["type"], reply["ref"])]
    assert kinds == [("ready", 1), ("complete", 1), ("ready", 2), ("complete", 2), ("complete", 3)]
    assert await service.stored("large") == large
    assert await service.stored("stream") == stream


async def test_bytes_before_ready_never_resume(service: Service, peer: Peer) -> None:
    data = content(2 * LEAF)
    left = await peer.leave_unfinished("a", len(data), b"something else")
    peer.send_at_once(header("a", len(data), offset=0), *chunks(data), eof(data))
    ready = await peer.hear("ready")
    assert (ready["offset"], ready["upload_id"] == left["upload_id"]) == (0, False)
    await peer.hear("complete")
    assert await service.stored("a") == data


# ------------------------------------------------------------------------------------------------------------- upload


@pytest.mark.parametrize("size", [0, 1, LEAF - 1, LEAF, LEAF + 1, 3 * LEAF + 17])
@pytest.mark.parametrize("algorithm", ["sha256", "blake3"])
async def test_a_file_is_uploaded(service: Service, peer: Peer, size: int, algorithm: str) -> None:
    data = content(size)
    ready = await peer.begin(
        "photos/cat.jpg",
        size,
        digest_algorithm=algorithm,
        modified="2026-03-01T13:00:00+01:00",
        metadata={"camera": "Ünï"},
    )
    assert {key: ready[key] for key in ("name", "size", "offset", "leaf_size", "leaves")} == {
        "name": "photos/cat.jpg",
        "size": size,
        "offset": 0,
        "leaf_size": LEAF,
        "leaves": "",
    }
    assert not {"missing", "existing", "ref"} & ready.keys()
    whole = str(digest_bytes(data, algorithm))
    await peer.send(*chunks(data), {"type": "eof", "digest": whole})
    complete = await peer.hear("complete")
    assert complete.keys() == {"type", "file"}
    file = complete["file"]
    assert file.pop("created")
    assert file == {
        "name": "photos/cat.jpg",
        "size": size,
        "digest": whole,
        "content_type": "image/jpeg",
        "modified": "2026-03-01T12:00:00Z",
        "owner": file["owner"],
        "metadata": {"camera": "Ünï"},
        "url": "/files/photos/cat.jpg",
    }
    assert await service.stored("photos/cat.jpg") == data


async def test_ready_and_acks_tell_the_window(service: Service, peer: Peer) -> None:
    ready = await peer.begin("a", 3)
    assert ready["window"] >= ready["chunk_size"] > 0
    await peer.send(b"ab")
    assert await peer.receive() == {"type": "ack", "offset": 2}  # no news of the window: it stayed as it was


async def test_the_last_ack_comes_before_complete(peer: Peer) -> None:
    await peer.begin("a", 3)
    await peer.send(b"abc", eof(b"abc"))
    heard = [await peer.receive()]
    while heard[-1]["type"] != "complete":
        heard.append(await peer.receive())
    assert heard[-2] == {"type": "ack", "offset": 3}


async def test_acks_only_grow_and_so_does_the_offset_of_the_next_ready(service: Service, peer: Peer) -> None:
    data, acks = content(20 * MIB), [0]
    await peer.begin("a", len(data))
    await peer.send(*chunks(data[: 18 * MIB]))
    while acks[-1] < 18 * MIB:
        acks.append((await peer.receive())["offset"])
    assert acks == sorted(acks)
    ready = await peer.begin("a", len(data))
    assert ready["offset"] == 18 * MIB
    await peer.complete(data, ready)


async def test_the_next_header_leaves_an_upload_unfinished_and_resumable(service: Service, peer: Peer) -> None:
    first = await peer.begin("a", 4)
    await peer.send(b"ab", header("b", 1))
    ready = await peer.hear("ready")
    await peer.complete(b"b", ready)
    assert [(upload["name"], upload["offset"]) for upload in await service.unfinished()] == [("a", 2)]
    again = await peer.begin("a", 4)
    assert (again["upload_id"], again["offset"]) == (first["upload_id"], 2)
    await peer.complete(b"abcd", again)
    assert await service.stored("a") == b"abcd"


@pytest.mark.parametrize("message", [{"type": "text", "text": "a"}, {"type": "download"}], ids=["text", "unknown"])
async def test_any_other_operation_leaves_it_too(service: Service, peer: Peer, message: Json) -> None:
    await peer.begin("a", 4)
    await peer.send(b"ab", message | {"ref": 1})
    reply = await peer.receive()
    while reply["type"] == "ack":
        reply = await peer.receive()
    assert reply["ref"] == 1
    ready = await peer.begin("a", 4)
    assert ready["offset"] == 2


async def test_a_connection_that_ends_leaves_its_upload_resumable(service: Service) -> None:
    async with service.connected() as peer:
        first = await peer.hold("a", 4, b"ab")
    async with service.connected() as peer:
        again = await peer.begin("a", 4)
        assert (again["upload_id"], again["offset"]) == (first["upload_id"], 2)
        await peer.complete(b"abcd", again)


@pytest.mark.parametrize("bytes_first", [b"", b"ab"])
async def test_cancel_drops_the_upload(service: Service, peer: Peer, bytes_first: bytes) -> None:
    ready = await peer.begin("a", 4)
    await peer.send(*chunks(bytes_first), {"type": "cancel"})
    await peer.hear("cancelled")
    await peer.works()
    await peer.send(header("a", 4, upload_id=ready["upload_id"]))
    await peer.refused("not_found")
    assert await service.unfinished() == []


@pytest.mark.parametrize("frames", [[header("a", 4)], [header("a", 4, offset=0), b"ab"]], ids=["waiting", "pipelined"])
async def test_cancel_may_come_before_any_answer(service: Service, peer: Peer, frames: list[Frame]) -> None:
    peer.send_at_once(*frames, {"type": "cancel"}, {"type": "text", "text": "a"})
    reply = await peer.receive()
    if reply["type"] == "ready":
        reply = await peer.receive()
    assert reply == {"type": "cancelled"}
    assert (await peer.receive())["type"] == "echo"
    assert await service.unfinished() == []
    assert await service.names() == []


# ----------------------------------------------------------------------------------------------------- said beforehand


async def test_a_content_that_is_stored_is_complete_at_once(service: Service, peer: Peer) -> None:
    data = content(2 * LEAF)
    await peer.complete(data, await peer.begin("a", len(data)))
    for if_exists in ("error", "replace", "rename"):
        await peer.send(header("a", len(data), digest=digest(data), if_exists=if_exists))
        reply = await peer.receive()
        assert (reply["type"], reply["unchanged"], reply["file"]["name"]) == ("complete", True, "a")
    await peer.send(header("a", None, digest=digest(data)))
    assert (await peer.receive())["unchanged"] is True
    assert await service.unfinished() == []
    assert await service.names() == ["a"]


@pytest.mark.parametrize("size", [3, 2 * LEAF])
async def test_bytes_that_follow_such_a_header_at_once_are_dropped(service: Service, peer: Peer, size: int) -> None:
    data = content(size)
    await peer.complete(data, await peer.begin("a", len(data)))
    frames: list[Frame] = [header("a", size, offset=0, digest=digest(data)), *chunks(data), eof(data)]
    peer.send_at_once(*frames, {"type": "text", "text": "next"})
    assert (await peer.receive())["unchanged"] is True
    assert (await peer.receive())["type"] == "echo"


async def test_another_digest_beforehand_is_an_upload_like_any(service: Service, peer: Peer) -> None:
    await peer.send(*small("a", b"abc"))
    await peer.hear("complete")
    ready = await peer.begin("a", 3, digest=digest(b"abd"), if_exists="replace")
    assert ready["existing"] == {"size": 3, "digest": digest(b"abc")}
    await peer.complete(b"abd", ready)
    assert await service.stored("a") == b"abd"


async def test_the_same_content_again_is_unchanged(service: Service, peer: Peer) -> None:
    first: Json = {}
    for if_exists in ("error", "replace", "rename"):
        await peer.send(*small("a", b"abc", if_exists=if_exists))
        first = await peer.hear("complete")
    assert first["unchanged"] is True
    complete = await peer.complete(b"abc", await peer.begin("a", 3))
    assert complete["unchanged"] is True
    assert await service.names() == ["a"]


async def test_what_is_complete_is_answered_so_again_by_its_id(service: Service, peer: Peer) -> None:
    ready = await peer.begin("a", 3)
    complete = await peer.complete(b"abc", ready)
    questions: list[Json] = [
        header("a", 3, upload_id=ready["upload_id"]),
        header("a", 3, **mine(ready)),
        header("a", 3, range=[0, 3], **mine(ready)),
        eof(b"abc", **mine(ready)),
    ]
    async with service.connected() as another:
        for question in questions:
            for connection in (peer, another):
                await connection.send(question)
                assert await connection.receive() == complete
        await another.works()
    await peer.works()


# ------------------------------------------------------------------------------------------------------------- resume


async def test_the_most_recently_active_upload_is_resumed(service: Service, peer: Peer) -> None:
    first = await peer.leave_unfinished("a", 4, b"a")
    second = await peer.leave_unfinished("a", 4, b"ab", resume=False)
    assert first["upload_id"] != second["upload_id"]
    assert len(await service.unfinished()) == 2
    assert (await peer.begin("a", 4))["upload_id"] == second["upload_id"]
    await peer.begin("a", 4, upload_id=first["upload_id"])
    again = await peer.begin("a", 4)
    assert (again["upload_id"], again["offset"]) == (first["upload_id"], 1)


async def test_another_name_is_not_resumed(service: Service, peer: Peer) -> None:
    first = await peer.leave_unfinished("a", 4, b"ab")
    ready = await peer.begin("b", 4)
    assert (ready["offset"], ready["upload_id"] == first["upload_id"]) == (0, False)


async def test_a_resumed_upload_names_its_leaves(service: Service, peer: Peer) -> None:
    data = content(3 * LEAF + 17)
    for there in (LEAF, 2 * LEAF + 5, len(data)):
        ready = await peer.begin("a", len(data))
        await peer.send(*chunks(data[ready["offset"] : there]))
        again = await peer.begin("a", len(data))
        known = leaves_of([data[:there]], LEAF)
        if there % LEAF and there != len(data):
            known[-1] = bytes(16)  # not wholly there
        assert (again["offset"], again["leaves"]) == (there, base64.b64encode(b"".join(known)).decode())


@pytest.mark.parametrize(("before", "after"), [(4, 3), (4, 2), (4, 1), (4, 0), (4, 9), (None, 2), (4, None)])
async def test_a_resumed_upload_takes_the_new_size(
    service: Service, peer: Peer, before: int | None, after: int | None
) -> None:
    await peer.leave_unfinished("a", before, b"ab")
    ready = await peer.begin("a", after)
    there = 2 if after is None else min(2, after)
    assert (ready.get("size"), ready["offset"]) == (after, there)
    whole = b"ab"[:there] + bytes((after or there) - there)
    await peer.complete(whole, ready)
    assert await service.stored("a") == whole


async def test_a_large_upload_is_cut_inside_a_leaf_and_extended_again(service: Service, peer: Peer) -> None:
    data, other = content(3 * LEAF + 17), content(3 * LEAF, 1)
    await peer.leave_unfinished("a", len(data), data)
    ready = await peer.begin("a", LEAF + 5)
    assert ready["offset"] == LEAF + 5
    ready = await peer.begin("a", len(other))
    assert ready["offset"] == LEAF + 5
    whole = data[: LEAF + 5] + other[LEAF + 5 :]
    complete = await peer.complete(whole, ready)
    assert complete["file"]["digest"] == digest(whole)
    assert await service.stored("a") == whole


async def test_the_newest_header_wins(service: Service, peer: Peer) -> None:
    ready = await peer.leave_unfinished("old", 3, b"ab", metadata={"a": "1"}, content_type="text/plain")
    again = await peer.begin("new", 3, upload_id=ready["upload_id"], metadata={"a": "2"}, content_type="text/html")
    assert (again["name"], again["offset"]) == ("new", 2)
    file = (await peer.complete(b"abc", again))["file"]
    assert (file["name"], file["metadata"], file["content_type"]) == ("new", {"a": "2"}, "text/html")
    assert await service.names() == ["new"]


async def test_another_digest_algorithm_hashes_what_is_there_anew(service: Service, peer: Peer) -> None:
    data = content(2 * LEAF)
    await peer.leave_unfinished("a", len(data), data[:LEAF])
    await peer.begin("a", len(data), digest_algorithm="blake3")
    whole = str(digest_bytes(data, "blake3"))
    await peer.send(data[LEAF:], {"type": "eof", "digest": whole})
    assert (await peer.hear("complete"))["file"]["digest"] == whole


# ------------------------------------------------------------------------------------------------------------ streams


@pytest.mark.parametrize("size", [0, 1, 3 * LEAF + 17])
async def test_a_stream_gets_the_size_that_came(service: Service, peer: Peer, size: int) -> None:
    data = content(size)
    ready = await peer.begin("stream", None)
    assert "size" not in ready or ready["size"] is None
    assert ready["leaf_size"] == 16 * MIB
    complete = await peer.complete(data, ready)
    assert complete["file"]["size"] == size
    assert await service.stored("stream") == data


async def test_a_stream_goes_on_where_it_was_left(service: Service) -> None:
    data = content(17 * MIB + 5)
    async with service.connected() as peer:
        await peer.leave_unfinished("stream", None, data[: 16 * MIB + 1])
    async with service.connected() as peer:
        ready = await peer.begin("stream", None)
        assert ready["offset"] == 16 * MIB + 1
        await peer.complete(data, ready)
    assert await service.stored("stream") == data


async def test_without_a_size_an_upload_is_a_stream(service: Service, peer: Peer) -> None:
    await peer.send({"type": "upload", "name": "a"})
    await peer.complete(b"abc", await peer.hear("ready"))
    assert await service.stored("a") == b"abc"


# ------------------------------------------------------------------------------------------------------------- ranges


async def _fill(peer: Peer, data: bytes, name: str, upload: Json, span: tuple[int, int], **fields: object) -> None:
    """Send one range, from where `ready` says, until its end is acknowledged."""
    ready = await peer.begin(name, len(data), range=list(span), **mine(upload), **fields)
    assert ready["offset"] == span[0]
    await peer.send(*chunks(data[span[0] : span[1]], 300_000))
    await peer.acked(span[1])


async def test_ranges_are_sent_in_any_order(service: Service, peer: Peer) -> None:
    """The ack of a range's end ends its operation, whatever lies behind; `eof` by name finishes the whole."""
    data = content(3 * LEAF + 17)
    upload = await peer.begin("a", len(data))
    for span in ((2 * LEAF, 3 * LEAF + 17), (0, LEAF // 2), (LEAF, 2 * LEAF), (LEAF // 2, LEAF)):
        await _fill(peer, data, "a", upload, span)
    await peer.send(eof(data, **mine(upload)))
    assert (await peer.receive())["type"] == "complete"
    assert await service.stored("a") == data


@pytest.mark.parametrize("rewrite", [False, True])
async def test_the_ack_of_its_end_is_the_last_word_of_a_range(peer: Peer, rewrite: bool) -> None:
    """What comes after it belongs to the next operation, also without a `ref`."""
    data = content(3 * LEAF)
    upload = await peer.leave_unfinished("a", len(data), data if rewrite else b"")
    for span in ((LEAF, 2 * LEAF), (0, LEAF), (2 * LEAF, 3 * LEAF)):
        await _fill(peer, data, "a", upload, span, rewrite=rewrite)
        await peer.send({"type": "text", "text": "next"})
        assert await peer.receive() == {"type": "echo", "text": "next"}
    await peer.send(eof(data, **mine(upload)))
    assert (await peer.receive())["type"] == "complete"


async def test_what_is_missing_below_the_furthest_byte_is_named(service: Service, peer: Peer) -> None:
    data = content(3 * LEAF)
    upload = await peer.begin("a", len(data))
    await _fill(peer, data, "a", upload, (2 * LEAF, 3 * LEAF))
    await _fill(peer, data, "a", upload, (0, 10))
    ready = await peer.begin("a", len(data))
    assert (ready["offset"], ready["missing"]) == (10, [[10, 2 * LEAF]])
    leaves = [bytes(16), bytes(16), leaves_of([data[2 * LEAF :]], LEAF)[0]]
    assert base64.b64decode(ready["leaves"]) == b"".join(leaves)
    await peer.send(eof(data))
    assert (await peer.refused("size_mismatch"))["missing"] == [[10, 2 * LEAF]]
    await _fill(peer, data, "a", ready, (10, 2 * LEAF))
    await peer.send(eof(data, **mine(ready)))
    await peer.hear("complete")


async def test_a_client_that_knows_no_ranges_sends_all_from_the_offset(service: Service, peer: Peer) -> None:
    """What is there already is read and dropped."""
    data = content(3 * LEAF)
    upload = await peer.begin("a", len(data))
    await _fill(peer, data, "a", upload, (LEAF, 2 * LEAF))
    ready = await peer.begin("a", len(data))
    assert ready["offset"] == 0
    await peer.complete(data, ready)
    assert await service.stored("a") == data


async def test_a_range_that_is_there_partly_begins_where_it_is_missing(service: Service, peer: Peer) -> None:
    upload = await peer.leave_unfinished("a", 10, b"0123")
    ready = await peer.begin("a", 10, range=[2, 7], **mine(upload))
    assert ready["offset"] == 4
    await peer.send(b"456")
    await peer.acked(7)
    await peer.complete(b"0123456789", await peer.begin("a", 10))


async def test_a_range_that_is_there_wholly_is_acknowledged_at_once(service: Service, peer: Peer) -> None:
    upload = await peer.leave_unfinished("a", 10, b"01234567")
    ready = await peer.begin("a", 10, range=[2, 5], **mine(upload))
    assert ready["offset"] == 5
    assert await peer.receive() == {"type": "ack", "offset": 5}
    await peer.works()
    await peer.complete(b"0123456789", await peer.begin("a", 10))


async def test_a_rewrite_replaces_what_was_there(service: Service, peer: Peer) -> None:
    old, new = content(3 * LEAF + 17), content(3 * LEAF + 17, 1)
    upload = await peer.leave_unfinished("a", len(old), old)
    whole = old[:LEAF] + new[LEAF : 2 * LEAF] + old[2 * LEAF : 3 * LEAF] + new[3 * LEAF :]
    await _fill(peer, whole, "a", upload, (LEAF, 2 * LEAF), rewrite=True)
    await _fill(peer, whole, "a", upload, (3 * LEAF, len(old)), rewrite=True)
    await peer.send(eof(whole, **mine(upload)))
    await peer.hear("complete")
    assert await service.stored("a") == whole


async def test_a_rewrite_that_breaks_off_leaves_a_hole_and_no_mixture(service: Service) -> None:
    old, new = content(2 * LEAF), content(2 * LEAF, 1)
    async with service.connected() as peer:
        upload = await peer.leave_unfinished("a", len(old), old)
        await peer.begin("a", len(old), range=[0, LEAF], rewrite=True, **mine(upload))
        await peer.send(new[:100])
        await peer.acked(100)
    async with service.connected() as peer:
        ready = await peer.begin("a", len(old))
        assert (ready["offset"], ready["missing"]) == (100, [[100, LEAF]])
        whole = new[:LEAF] + old[LEAF:]
        await _fill(peer, whole, "a", ready, (100, LEAF))
        await peer.send(eof(whole, **mine(ready)))
        await peer.hear("complete")
    assert await service.stored("a") == whole


# ---------------------------------------------------------------------------------------------------- the changed disk


def _damage(service: Service, upload: Json, at: int) -> None:
    with service.object_of(upload["upload_id"]).open("r+b") as stream:
        stream.seek(at)
        (byte,) = stream.read(1)
        stream.seek(at)
        stream.write(bytes([byte ^ 1]))


async def _missing(peer: Peer) -> list[list[int]]:
    reply: dict[str, Any] = await peer.receive()
    assert reply["type"] == "missing", reply
    ranges: list[list[int]] = reply["ranges"]
    return ranges


async def test_a_disk_that_changed_is_noticed_and_its_hole_filled(service: Service) -> None:
    """The hole is told while the upload goes on; what came meanwhile counts."""
    data = content(5 * LEAF + 17)
    async with service.connected() as peer:
        upload = await peer.leave_unfinished("a", len(data), data[: 4 * LEAF])
    _damage(service, upload, LEAF + 1_000)
    async with service.connected() as peer:
        ready = await peer.begin("a", len(data))
        assert (ready["offset"], "missing" in ready) == (4 * LEAF, False)
        assert await _missing(peer) == [[LEAF, 2 * LEAF]]
        await _fill(peer, data, "a", ready, (LEAF, 2 * LEAF))
        again = await peer.begin("a", len(data), **mine(ready))
        assert (again["offset"], "missing" in again) == (4 * LEAF, False)
        await peer.complete(data, again)
    assert await service.stored("a") == data
    assert len(service.log.alarms) == 1


async def test_once_the_hole_is_filled_the_upload_completes(service: Service) -> None:
    """All bytes had come; the disk changed one of them while nobody was connected."""
    data = content(3 * LEAF)
    async with service.connected() as peer:
        upload = await peer.leave_unfinished("a", len(data), data)
    _damage(service, upload, 7)
    async with service.connected() as peer:
        ready = await peer.begin("a", len(data))
        assert await _missing(peer) == [[0, LEAF]]
        await _fill(peer, data, "a", ready, (0, LEAF))
        await peer.send(eof(data, **mine(ready)))
        assert (await peer.receive())["type"] == "complete"
    assert await service.stored("a") == data


async def test_eof_over_a_disk_that_changed_names_the_hole_and_publishes_nothing(service: Service) -> None:
    data = content(4 * LEAF)
    async with service.connected() as peer:
        upload = await peer.leave_unfinished("a", len(data), data)
    _damage(service, upload, 2 * LEAF)
    async with service.connected() as peer:
        peer.send_at_once(header("a", len(data), **mine(upload)))
        ready = await peer.hear("ready")
        await peer.send(eof(data))
        told = await peer.receive()
        while told["type"] != "error":
            assert told["type"] == "ack" or told["ranges"] == [[2 * LEAF, 3 * LEAF]]
            told = await peer.receive()
        assert (told["code"], told["missing"]) == ("size_mismatch", [[2 * LEAF, 3 * LEAF]])
        assert await service.names() == []
        await _fill(peer, data, "a", ready, (2 * LEAF, 3 * LEAF))
        await peer.send(eof(data, **mine(ready)))
        await peer.hear("complete")
    assert await service.stored("a") == data


@pytest.mark.parametrize("there", [2 * LEAF, LEAF + 500])
async def test_a_damaged_last_leaf_is_sent_again_from_its_beginning(service: Service, there: int) -> None:
    """The one below the offset that would otherwise be hashed as it is: it is looked at before `ready`."""
    data = content(2 * LEAF + 17)
    async with service.connected() as peer:
        upload = await peer.leave_unfinished("a", len(data), data[:there])
    _damage(service, upload, LEAF + 100)
    async with service.connected() as peer:
        ready = await peer.begin("a", len(data))
        assert ready["offset"] == LEAF
        await peer.complete(data, ready)
    assert await service.stored("a") == data


# ------------------------------------------------------------------------------------------------------------- windows

CHUNK = 64 << 10


@pytest.mark.parametrize("overrides", [{"receive_budget_bytes": MIB, "window": MIB // 2, "chunk_size": CHUNK}])
async def test_all_windows_together_stay_within_the_budget_and_a_chunk_each(service: Service) -> None:
    connections = [service.connected() for _ in range(20)]
    peers = [await connection.__aenter__() for connection in connections]
    try:
        windows = [(await peer.begin(f"file-{at}", MIB))["window"] for at, peer in enumerate(peers)]
        assert windows[0] == MIB // 2
        assert min(windows) >= CHUNK
        assert sum(windows) <= MIB + len(peers) * CHUNK
        for peer in peers:  # with its next ack each has its share
            await peer.send(b"a")
        windows = [(await peer.receive()).get("window", window) for peer, window in zip(peers, windows, strict=True)]
        assert CHUNK <= max(windows) <= max(MIB // len(peers), CHUNK)
    finally:
        for connection in connections:
            await connection.__aexit__(None, None, None)


@pytest.mark.parametrize("overrides", [{"receive_budget_bytes": MIB, "window": MIB, "chunk_size": CHUNK}])
async def test_a_window_shrinks_for_a_newcomer_and_grows_when_it_is_gone(service: Service, peer: Peer) -> None:
    assert (await peer.begin("a", 3))["window"] == MIB
    async with service.connected() as newcomer:
        ready = await newcomer.begin("b", 1)
        assert ready["window"] == CHUNK
        await peer.send(b"a")
        assert await peer.receive() == {"type": "ack", "offset": 1, "window": MIB // 2}
        await newcomer.complete(b"b", ready)
        await newcomer.send({"type": "text", "text": "that operation is over"})
        assert (await newcomer.receive())["type"] == "echo"
        await peer.send(b"b")
        assert await peer.receive() == {"type": "ack", "offset": 2, "window": MIB}


@pytest.mark.parametrize("overrides", [{"receive_budget_bytes": CHUNK, "window": CHUNK, "chunk_size": CHUNK}])
@pytest.mark.parametrize("size", [CHUNK, CHUNK + 1, LEAF, LEAF + 1, 3 * LEAF])
async def test_bytes_before_ready_are_taken_however_small_the_window(service: Service, peer: Peer, size: int) -> None:
    """A client that has heard no `ready` assumes chunks of 1 MiB and a window of 4 MiB."""
    frames: list[Frame] = []
    for at in range(4):
        data = content(size, at)
        frames += [header(f"file-{at}", size, offset=0), *chunks(data, CHUNK), eof(data)]
    sending = asyncio.create_task(peer.send(*frames))
    heard = [await peer.receive()]
    while sum(reply["type"] == "complete" for reply in heard) < 4:
        assert heard[-1]["type"] in ("ready", "ack", "complete")
        heard.append(await peer.receive())
    await sending
    for at in range(4):
        assert await service.stored(f"file-{at}") == content(size, at)


@pytest.mark.parametrize("overrides", [{"receive_budget_bytes": CHUNK, "window": CHUNK, "chunk_size": CHUNK}])
async def test_a_client_that_overruns_its_window_is_only_slowed(service: Service, peer: Peer) -> None:
    data = content(16 * MIB)
    ready = await peer.begin("a", len(data))
    sending = asyncio.create_task(peer.send(*chunks(data[ready["offset"] :]), eof(data)))
    await peer.hear("complete")
    await sending
    assert await service.stored("a") == data
