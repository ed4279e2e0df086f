"""Each row of the protocol's error table that this server can reach, through a real socket.

Afterwards the same connection still works where the table does not close it, the server has logged one line and no
traceback, and its data directory holds nothing that should not be there (the `service` fixture looks at the last two).
"""

import base64
import json
from contextlib import suppress

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from tests.end_to_end.conftest import Frame, Json, Peer, Service, chunks, digest, eof, header, small
from transfer.protocol.leaves import leaves_of
from transfer.protocol.limits import MAX_HEADER_BYTES, MAX_MESSAGE_BYTES, MAX_SIZE, MAX_TEXT_BYTES

KIB, MIB = 1 << 10, 1 << 20
HEX = "0" * 64

NOT_A_MESSAGE = {
    "empty": "",
    "text": "hello",
    "half": '{"type":"upload"',
    "two objects": '{"type":"text","text":"a"}{"type":"text","text":"b"}',
    "single quotes": "{'type':'text','text':'a'}",
    "an array": '[{"type":"text","text":"a"}]',
    "a string": '"upload"',
    "a number": "1",
    "null": "null",
    "NaN": '{"type":"upload","name":"a","size":NaN}',
    "infinity": '{"type":"upload","name":"a","size":-Infinity}',
    "a key twice": '{"type":"upload","name":"a","name":"b","size":1}',
    "a key twice inside": '{"type":"upload","name":"a","metadata":{"a":"b","a":"c"}}',
    "nested too deeply": '{"type":"text","text":"a","x":' + "[" * 8 + "]" * 8 + "}",
    "nested far too deeply": "[" * 100_000,
    "a number of 5,000 digits": '{"type":"upload","name":"a","size":' + "9" * 5_000 + "}",
    "no type": '{"name":"a","size":1}',
    "a number as type": '{"type":1}',
    "a list as type": '{"type":["upload"]}',
    "null as type": '{"type":null}',
}

WRONG_FIELDS: dict[str, list[object]] = {
    "name": [None, 1, True, ["a"], {"a": "b"}],
    "size": ["1", True, False, 1.0, 1.5, -1, MAX_SIZE + 1, 10**30, [1], {}],
    "upload_id": [1, True, "", "a" * 129, "\ud800"],
    "resume": ["yes", 1, 0, None],
    "if_exists": ["overwrite", "", None, 1, ["error"]],
    "digest_algorithm": [None, 256],
    "digest": ["", "sha256", "sha256:", "sha256:" + HEX[1:], "sha256:" + "A" * 64, "sha256:" + HEX + "\n", 1],
    "modified": ["yesterday", "2026-03-01T12:00:00", "2026-13-01T12:00:00Z", 1_700_000_000, True],
    "content_type": ["text", "", "text/plain\r\nx: y", "té/xt", "a/" + "b" * 254, 1],
    "metadata": [
        [],
        "a",
        {"a": 1},
        {"a": None},
        {"a": {"b": "c"}},
        {"a": "b" * 4 * KIB},
        {"\ud800": "a"},
        {"\ud800": 1},
    ],
    "offset": [1, -1, True, "0", 0.0],
    "range": [[0], [0, 1, 2], [1, 1], [2, 1], [-1, 1], [0, 1.5], [False, True], ["0", "1"], "0-1", {}, [0, 10**30]],
    "rewrite": ["true", 1, None],
    "lease": [1, ""],
    "ref": ["1", True, -1, 1.5, MAX_SIZE + 1, [1]],
}

FIELDS_THAT_DO_NOT_FIT: dict[str, Json] = {
    "lease without upload_id": {"lease": "l"},
    "range without upload_id": {"range": [0, 1]},
    "range without lease": {"range": [0, 1], "upload_id": "u"},
    "rewrite without range": {"rewrite": True, "upload_id": "u", "lease": "l"},
    "rewrite without upload_id": {"rewrite": True},
    "offset with upload_id": {"offset": 0, "upload_id": "u"},
}

OTHER_MESSAGES: dict[str, Json] = {
    "upload without a name": {"type": "upload", "size": 1},
    "text without text": {"type": "text"},
    "a number as text": {"type": "text", "text": 1},
    "too much text": {"type": "text", "text": "a" * (MAX_TEXT_BYTES + 1)},
    "too many bytes of text": {"type": "text", "text": "é" * (MAX_TEXT_BYTES // 2 + 1)},
    "a lone surrogate as text": {"type": "text", "text": "\ud800"},
    "a frame with far too much text": {"type": "text", "text": "a" * MIB},
    "a header that is too large": {"type": "upload", "name": "a", "size": 1, "x": "x" * MAX_HEADER_BYTES},
    "eof without an upload": eof(b""),
    "cancel without an upload": {"type": "cancel"},
    "eof with a number as digest": {"type": "eof", "digest": 1},
    "eof with upload_id alone": eof(b"", upload_id="u"),
    "eof with lease alone": eof(b"", lease="l"),
}

UNKNOWN_DIGESTS: list[Json] = [
    {"digest_algorithm": "md5"},
    {"digest_algorithm": "SHA256"},
    {"digest_algorithm": ""},
    {"digest_algorithm": "\ud800"},
    {"digest": f"md5:{HEX[:32]}"},
    {"digest": f"\ud800:{HEX}"},
]

FORBIDDEN_NAMES = {
    "empty": "",
    "leading slash": "/etc/passwd",
    "trailing slash": "a/",
    "two slashes": "a//b",
    "dot": ".",
    "dots": "..",
    "dot inside": "a/./b",
    "dots inside": "a/../b",
    "backslash": "..\\a",
    "drive": "c:\\a",
    "nul": "a\0b",
    "newline": "a\nb",
    "escape": "\x1b[2Ja",
    "delete": "a\x7f",
    "c1 control": "a\x85b",
    "lone surrogate": "a\ud800",
    "right-to-left override": "cat\u202egpj.exe",
    "isolate": "a\u2066b",
    "zero-width space": "a\u200bb",
    "byte order mark": "\ufeffa",
    "line separator": "a\u2028b",
    "paragraph separator": "a\u2029b",
    "leading space": " a",
    "trailing space": "a ",
    "trailing space inside": "a /b",
    "no-break space at the end": "a\u00a0",
    "trailing dot": "a.",
    "trailing dot inside": "a./b",
    "device": "CON",
    "device with an extension": "nul.txt",
    "device inside": "a/Lpt1/b",
    "device with a superscript": "com\u00b9",
    "long segment": "a" * 256,
    "long segment in bytes": "é" * 128,
    "long name": "/".join(["a" * 200] * 6),
    "very long name": "a" * 10_000,
}


async def refused_once(service: Service, peer: Peer, code: str, *frames: Frame) -> Json:
    """These frames are answered with one error, logged once, and the connection goes on."""
    seen = len(service.log.refusals)
    await peer.send(*frames)
    refusal = await peer.refused(code)
    await peer.works()
    assert service.log.refusals[seen:] == [code]
    assert service.log.alarms == []
    return refusal


async def nothing_began(service: Service) -> None:
    """What `works` published is all there is."""
    assert await service.unfinished() == []
    assert [name for name in await service.names() if not name.startswith("afterwards/")] == []


# --------------------------------------------------------------------------------------------------------- messages


async def test_what_is_no_message_is_refused(service: Service, subtests: pytest.Subtests) -> None:
    for case, text in NOT_A_MESSAGE.items():
        with subtests.test(case):
            async with service.connected() as peer:
                await refused_once(service, peer, "bad_message", text)
    await nothing_began(service)


async def test_a_field_of_the_wrong_kind_is_refused_by_its_name(service: Service, subtests: pytest.Subtests) -> None:
    for field, value in [(field, value) for field, values in WRONG_FIELDS.items() for value in values]:
        with subtests.test(f"{field}={ascii(value)[:40]}"):
            async with service.connected() as peer:
                refusal = await refused_once(service, peer, "bad_message", header("a", 1) | {field: value})
                assert refusal["field"].startswith(field)
                assert field in refusal["message"]
    await nothing_began(service)


async def test_fields_that_do_not_fit_together_are_refused(service: Service, subtests: pytest.Subtests) -> None:
    for case, fields in FIELDS_THAT_DO_NOT_FIT.items():
        with subtests.test(case):
            async with service.connected() as peer:
                await refused_once(service, peer, "bad_message", header("a", 1, **fields))
    await nothing_began(service)


async def test_a_message_that_cannot_be_is_refused(service: Service, subtests: pytest.Subtests) -> None:
    for case, message in OTHER_MESSAGES.items():
        with subtests.test(case):
            async with service.connected() as peer:
                await refused_once(service, peer, "bad_message", message)
    await nothing_began(service)


async def test_an_unknown_type_is_refused(service: Service, peer: Peer, subtests: pytest.Subtests) -> None:
    for kind in ("download", "UPLOAD", "", "join", "ready", "\ud800", "a" * 1_000):
        with subtests.test(ascii(kind)[:40]):
            refusal = await refused_once(service, peer, "unsupported_type", {"type": kind, "ref": 7})
            assert refusal["ref"] == 7


async def test_an_unknown_digest_algorithm_is_refused(service: Service, peer: Peer, subtests: pytest.Subtests) -> None:
    for fields in UNKNOWN_DIGESTS:
        with subtests.test(ascii(fields)):
            await refused_once(service, peer, "unsupported_digest", header("a", 1, **fields))
    await nothing_began(service)


async def test_a_forbidden_name_is_refused(service: Service, peer: Peer, subtests: pytest.Subtests) -> None:
    for case, name in FORBIDDEN_NAMES.items():
        with subtests.test(case):
            refusal = await refused_once(service, peer, "invalid_name", header(name, 1))
            assert refusal["rule"] in refusal["message"]
            await refused_once(service, peer, "invalid_name", *small(name, b"content"))
    await nothing_began(service)


async def test_an_unknown_digest_algorithm_at_eof_keeps_the_upload(service: Service, peer: Peer) -> None:
    ready = await peer.hold("a", 3, b"abc")
    await refused_once(service, peer, "unsupported_digest", {"type": "eof", "digest": f"md5:{HEX[:32]}"})
    assert (await peer.complete(b"abc", await peer.begin("a", 3)))["file"]["size"] == 3
    assert await service.stored("a") == b"abc"
    assert ready["digest_algorithms"] == ["sha256", "blake3"]


async def test_fields_that_nobody_knows_are_ignored(service: Service, peer: Peer) -> None:
    ready = await peer.begin("a", 1, colour="red", room=None, nested={"a": [1, 2]})
    await peer.complete(b"a", ready)
    assert service.log.refusals == []


@pytest.mark.parametrize("ref", [0, 1, MAX_SIZE])
async def test_a_refusal_repeats_the_ref(service: Service, peer: Peer, ref: int) -> None:
    refusal = await refused_once(
        service, peer, "bad_message", {"type": "upload", "name": "a", "size": True, "ref": ref}
    )
    assert refusal["ref"] == ref


async def test_a_message_that_is_refused_ends_the_upload_that_is_open_and_keeps_it(
    service: Service, peer: Peer
) -> None:
    """What still comes of the upload is dropped, up to its `eof`."""
    await peer.hold("a", 4, b"ab")
    await peer.send("this is no header", b"cd", eof(b"abcd"))
    await peer.refused("bad_message")
    await peer.works()
    ready = await peer.begin("a", 4)
    assert ready["offset"] == 2
    await peer.complete(b"abcd", ready)
    assert service.log.refusals == ["bad_message"]


# ----------------------------------------------------------------------------------------------- frames out of place


async def test_bytes_before_a_header_are_refused_once_however_many(service: Service, peer: Peer) -> None:
    await refused_once(service, peer, "bad_message", b"abc", b"def", b"", b"ghi")


async def test_bytes_after_an_upload_are_refused(service: Service, peer: Peer) -> None:
    await peer.works()
    ready = await peer.begin("b", 1)
    await peer.complete(b"b", ready)
    await refused_once(service, peer, "bad_message", b"b")


async def test_bytes_after_an_echo_are_refused(service: Service, peer: Peer) -> None:
    await peer.works()
    await refused_once(service, peer, "bad_message", b"a")


async def test_bytes_before_ready_are_refused_without_an_offset(service: Service, peer: Peer) -> None:
    peer.send_at_once(header("a", 3), b"abc", eof(b"abc"))
    ready = await peer.hear("ready")
    refusal = await peer.refused("bad_message")
    assert "ready" in refusal["message"]
    await peer.works()
    assert (await peer.begin("a", 3))["upload_id"] == ready["upload_id"]
    assert service.log.refusals == ["bad_message"]


@pytest.mark.parametrize("message", [eof(b"a"), {"type": "cancel"}], ids=["eof", "cancel"])
async def test_an_upload_ends_once(service: Service, peer: Peer, message: Json) -> None:
    await peer.complete(b"a", await peer.begin("a", 1))
    await refused_once(service, peer, "bad_message", message)
    assert await service.stored("a") == b"a"


async def test_a_second_eof_is_refused_and_the_first_one_counts(service: Service, peer: Peer) -> None:
    await peer.begin("a", 1)
    peer.send_at_once(b"a", eof(b"a"), eof(b"b"))
    await peer.hear("complete")
    await peer.refused("bad_message")
    await peer.works()
    assert service.log.refusals == ["bad_message"]


# ------------------------------------------------------------------------------------------------- sizes of messages


@pytest.mark.parametrize(
    "message", [bytes(MAX_MESSAGE_BYTES + 1), "a" * (MAX_MESSAGE_BYTES + 1)], ids=["binary", "text"]
)
async def test_a_message_that_is_too_large_closes_the_connection(service: Service, peer: Peer, message: Frame) -> None:
    await peer.send(message)
    assert await peer.closed() == 1009
    async with service.connected() as another:
        await another.works()


async def test_of_a_message_that_is_too_large_the_server_keeps_nothing(peer: Peer) -> None:
    peer.connection.transport.write(b"\x82\xff" + (MAX_MESSAGE_BYTES + 1).to_bytes(8, "big") + bytes(4))
    assert await peer.closed() == 1009  # though no byte of it has come


async def test_a_chunk_that_is_too_large_closes_the_connection_and_keeps_the_upload(
    service: Service, peer: Peer
) -> None:
    await peer.hold("a", 8 * MIB, b"abc")
    await peer.send(bytes(MAX_MESSAGE_BYTES + 1))
    assert await peer.closed() == 1009
    async with service.connected() as another:
        ready = await another.begin("a", 8 * MIB)
        assert ready["offset"] == 3
        await another.works()


async def test_the_largest_message_is_taken(service: Service, peer: Peer) -> None:
    content = bytes(MAX_MESSAGE_BYTES)
    ready = await peer.begin("a", len(content))
    assert ready["chunk_size"] < len(content)
    await peer.send(content, eof(content))
    await peer.hear("complete")
    assert service.log.refusals == []


async def test_a_fragmented_message_has_one_size(service: Service, peer: Peer) -> None:
    await peer.begin("a", 8 * MIB)
    await peer.connection.send([bytes(MIB)] * 5)
    assert await peer.closed() == 1009


@pytest.mark.parametrize("message", [bytes(16 * MIB + 1), "a" * (16 * MIB + 1)], ids=["binary", "text"])
async def test_a_message_that_is_too_large_for_echo_closes_the_connection(service: Service, message: Frame) -> None:
    async with service.connected("/echo") as peer:
        with suppress(ConnectionClosed):  # the server need not read what it will not take
            await peer.send(message)
        assert await peer.closed() == 1009
    async with service.connected("/echo") as another:
        await another.connection.send("still there?")
        assert await another.connection.recv() == "still there?"
    assert service.log.alarms == []


@pytest.mark.parametrize("path", ["/ws", "/echo"])
async def test_text_that_is_no_utf_8_closes_the_connection(service: Service, path: str) -> None:
    async with service.connected(path) as peer:
        peer.connection.protocol.send_text(b'{"type":"text","text":"\xff\xfe"}')
        peer.connection.transport.write(b"".join(peer.connection.protocol.data_to_send()))
        assert await peer.closed() == 1007
    async with service.connected() as another:
        await another.works()
    assert service.log.refusals == []
    assert service.log.alarms == []


# ---------------------------------------------------------------------------------------------- sizes of the content


async def test_more_bytes_than_announced_are_refused_and_the_upload_is_kept(service: Service, peer: Peer) -> None:
    await peer.begin("a", 4)
    refusal = await refused_once(service, peer, "size_mismatch", b"ab", b"cde", eof(b"abcde"))
    assert refusal["expected"] == 4
    ready = await peer.begin("a", 4)
    assert ready["offset"] == 2
    await peer.complete(b"abcd", ready)


async def test_more_bytes_than_announced_in_a_small_file_are_refused(service: Service, peer: Peer) -> None:
    frames: list[Frame] = [header("a", 4, offset=0), b"ab", b"cde", b"f", eof(b"abcdef")]
    refusal = await refused_once(service, peer, "size_mismatch", *frames)
    assert refusal["expected"] == 4
    assert await service.unfinished() == []


async def test_bytes_in_an_empty_file_are_refused(service: Service, peer: Peer) -> None:
    await peer.begin("a", 0)
    await refused_once(service, peer, "size_mismatch", b"a")


async def test_eof_before_all_bytes_is_refused_and_the_upload_is_kept(service: Service, peer: Peer) -> None:
    await peer.begin("a", 5)
    refusal = await refused_once(service, peer, "size_mismatch", b"abc", eof(b"abc"))
    assert (refusal["expected"], refusal["missing"]) == (5, [[3, 5]])
    ready = await peer.begin("a", 5)
    assert ready["offset"] == 3
    await peer.complete(b"abcde", ready)


async def test_eof_before_all_bytes_of_a_small_file_is_refused(service: Service, peer: Peer) -> None:
    frames: list[Frame] = [header("a", 5, offset=0), b"abc", eof(b"abc")]
    refusal = await refused_once(service, peer, "size_mismatch", *frames)
    assert (refusal["expected"], refusal["received"]) == (5, 3)


@pytest.mark.parametrize("overrides", [{"max_file_bytes": 100}])
@pytest.mark.parametrize("offset", [{}, {"offset": 0}], ids=["waiting", "pipelined"])
async def test_a_size_over_the_limit_is_refused_before_the_first_byte(
    service: Service, peer: Peer, offset: Json
) -> None:
    refusal = await refused_once(service, peer, "too_large", header("a", 101, **offset))
    assert (refusal["size"], refusal["limit"]) == (101, 100)
    assert await service.unfinished() == []
    await peer.complete(bytes(100), await peer.begin("b", 100))


@pytest.mark.parametrize("overrides", [{"max_file_bytes": 100}])
async def test_a_stream_over_the_limit_is_refused_when_it_gets_there(service: Service, peer: Peer) -> None:
    await peer.begin("a", None)
    refusal = await refused_once(service, peer, "too_large", bytes(100), b"a", eof(bytes(101)))
    assert refusal["limit"] == 100


@pytest.mark.parametrize("overrides", [{"min_free_bytes": 1 << 60}])
@pytest.mark.parametrize("frames", [[header("a", 1)], small("a", b"a")], ids=["waiting", "pipelined"])
async def test_what_does_not_fit_on_the_disk_is_refused(service: Service, peer: Peer, frames: list[Frame]) -> None:
    await peer.send(*frames)
    refusal = await peer.refused("insufficient_storage")
    assert (refusal["needed"], refusal["available"]) == (1, 0)
    assert service.log.refusals == ["insufficient_storage"]
    await peer.send({"type": "text", "text": "still there?"}, *small("empty", b""))
    assert (await peer.receive())["type"] == "echo"
    await peer.hear("complete")
    assert await service.names() == ["empty"]
    assert await service.unfinished() == []


@pytest.mark.parametrize("overrides", [{"min_free_bytes": 1 << 60}])
async def test_a_stream_for_which_there_is_no_room_is_refused_with_its_first_bytes(
    service: Service, peer: Peer
) -> None:
    await peer.begin("a", None)
    await peer.send(b"abc", eof(b"abc"))
    await peer.refused("insufficient_storage")
    await peer.send({"type": "text", "text": "still there?"})
    assert (await peer.receive())["type"] == "echo"
    assert service.log.refusals == ["insufficient_storage"]
    assert [upload["offset"] for upload in await service.unfinished()] == [0]


# ----------------------------------------------------------------------------------------------------------- digests


async def test_eof_without_a_digest_is_refused_and_the_upload_is_kept(service: Service, peer: Peer) -> None:
    ready = await peer.begin("a", 3)
    await refused_once(service, peer, "digest_required", b"abc", {"type": "eof"})
    await peer.send(eof(b"abc", upload_id=ready["upload_id"], lease=ready["lease"]))
    await peer.hear("complete")
    assert await service.stored("a") == b"abc"


async def test_eof_without_a_digest_of_an_upload_that_is_not_open_is_refused(service: Service, peer: Peer) -> None:
    ready = await peer.leave_unfinished("a", 3, b"abc")
    mine = {"upload_id": ready["upload_id"], "lease": ready["lease"]}
    await refused_once(service, peer, "digest_required", {"type": "eof", **mine})
    await peer.send(eof(b"abc", **mine))
    await peer.hear("complete")


@pytest.mark.parametrize("frame", [eof(b"abc"), b"abc", {"type": "cancel"}], ids=["eof", "bytes", "cancel"])
async def test_nothing_comes_after_an_eof_of_its_own(service: Service, peer: Peer, frame: Frame) -> None:
    """An `eof` with `upload_id` that failed has no frames that would still be on their way."""
    ready = await peer.leave_unfinished("a", 3, b"abc")
    await peer.send({"type": "eof", "upload_id": ready["upload_id"], "lease": ready["lease"]})
    await peer.refused("digest_required")
    await peer.send(frame)
    await peer.refused("bad_message")
    await peer.works()
    assert [upload["offset"] for upload in await service.unfinished()] == [3]


async def test_eof_without_a_digest_of_a_small_file_is_refused(service: Service, peer: Peer) -> None:
    refusal = await refused_once(service, peer, "digest_required", header("a", 3, offset=0), b"abc", {"type": "eof"})
    assert "nothing is kept" in str(refusal["message"])
    assert await service.unfinished() == []


async def test_a_wrong_digest_is_refused_and_what_differs_is_sent_again(service: Service, peer: Peer) -> None:
    """The refusal carries the leaves as they are on disk; a rewrite of the one that differs repairs the upload."""
    right = bytes(MIB) + b"b" * MIB + b"c" * 100
    wrong = bytes(MIB) + b"x" * MIB + b"c" * 100
    ready = await peer.begin("a", len(right))
    await peer.send(*chunks(wrong), eof(right))
    refusal = await peer.refused("digest_mismatch")
    assert (refusal["expected"], refusal["actual"]) == (digest(right), digest(wrong))
    assert (refusal["leaves"], refusal["leaf_size"]) == (_base64_leaves(wrong), MIB)
    await peer.works()

    mine = {"upload_id": ready["upload_id"], "lease": ready["lease"]}
    rewriting = await peer.begin("a", len(right), range=[MIB, 2 * MIB], rewrite=True, **mine)
    assert rewriting["offset"] == MIB
    assert rewriting["missing"] == [[MIB, 2 * MIB]]
    await peer.send(right[MIB : 2 * MIB])
    await peer.acked(2 * MIB)
    await peer.send(eof(right, **mine))
    complete = await peer.hear("complete")
    assert complete["file"]["digest"] == digest(right)
    assert await service.stored("a") == right
    assert service.log.refusals == ["digest_mismatch"]


async def test_a_wrong_digest_of_an_empty_file_is_refused(service: Service, peer: Peer) -> None:
    await peer.begin("a", 0)
    refusal = await refused_once(service, peer, "digest_mismatch", eof(b"a"))
    assert refusal["leaves"] == ""


async def test_a_wrong_digest_of_a_small_file_is_refused_and_nothing_is_kept(service: Service, peer: Peer) -> None:
    frames: list[Frame] = [header("a", 3, offset=0), b"abc", eof(b"abd")]
    refusal = await refused_once(service, peer, "digest_mismatch", *frames)
    assert (refusal["expected"], refusal["actual"]) == (digest(b"abd"), digest(b"abc"))
    await nothing_began(service)


def _base64_leaves(content: bytes) -> str:
    return base64.b64encode(b"".join(leaves_of([content], MIB))).decode()


# ------------------------------------------------------------------------------------- uploads and ranges that are not


UNKNOWN: dict[str, Json] = {
    "header": header("a", 3, upload_id="unknown"),
    "header with a lease": header("a", 3, upload_id="unknown", lease="l"),
    "range": header("a", 3, upload_id="unknown", lease="l", range=[0, 3]),
    "rewrite": header("a", 3, upload_id="unknown", lease="l", range=[0, 3], rewrite=True),
    "eof": eof(b"abc", upload_id="unknown", lease="l"),
    "not ascii": header("a", 3, upload_id="\u00fc", lease="\u00fc"),
    "a path": header("a", 3, upload_id="../../store.json"),
}


@pytest.mark.parametrize("message", UNKNOWN.values(), ids=UNKNOWN)
async def test_an_upload_that_is_not_here_is_not_found(service: Service, peer: Peer, message: Json) -> None:
    """Somebody else's is answered the same way; while nobody is named all callers are one."""
    await peer.leave_unfinished("a", 3, b"ab")
    await refused_once(service, peer, "not_found", message)
    assert [upload["offset"] for upload in await service.unfinished()] == [2]


@pytest.mark.parametrize("span", [[0, 4], [3, 4], [2, MAX_SIZE]])
@pytest.mark.parametrize("rewrite", [False, True])
async def test_a_range_beyond_the_size_is_refused(service: Service, peer: Peer, span: list[int], rewrite: bool) -> None:
    ready = await peer.leave_unfinished("a", 3, b"ab")
    mine = {"upload_id": ready["upload_id"], "lease": ready["lease"]}
    refusal = await refused_once(service, peer, "size_mismatch", header("a", 3, range=span, rewrite=rewrite, **mine))
    assert refusal["expected"] == 3
    again = await peer.begin("a", 3, **mine)
    assert (again["offset"], again["lease"]) == (2, ready["lease"])
    await peer.complete(b"abc", again)


@pytest.mark.parametrize("span", [[1, MIB], [0, MIB - 1], [MIB, MIB + 1], [MIB - 1, 2 * MIB], [0, 2 * MIB + 1]])
async def test_a_rewrite_that_is_not_of_whole_leaves_is_refused(service: Service, peer: Peer, span: list[int]) -> None:
    content = bytes(2 * MIB + 2)
    ready = await peer.leave_unfinished("a", len(content), content)
    mine = {"upload_id": ready["upload_id"], "lease": ready["lease"]}
    message = header("a", len(content), range=span, rewrite=True, **mine)
    refusal = await refused_once(service, peer, "bad_message", message)
    assert refusal["field"] == "range"
    await peer.send(eof(content, **mine))
    await peer.hear("complete")


async def test_more_bytes_than_the_range_has_are_refused(service: Service, peer: Peer) -> None:
    ready = await peer.leave_unfinished("a", 4, b"a")
    mine = {"upload_id": ready["upload_id"], "lease": ready["lease"]}
    await peer.begin("a", 4, range=[1, 3], **mine)
    await refused_once(service, peer, "size_mismatch", b"bcd")
    await peer.complete(b"abcd", await peer.begin("a", 4, **mine))


async def test_a_plain_eof_in_a_range_is_refused(service: Service, peer: Peer) -> None:
    ready = await peer.leave_unfinished("a", 3, b"a")
    mine = {"upload_id": ready["upload_id"], "lease": ready["lease"]}
    await peer.begin("a", 3, range=[1, 3], **mine)
    await refused_once(service, peer, "bad_message", b"b", eof(b"abc"))
    await peer.complete(b"abc", await peer.begin("a", 3, **mine))


@pytest.mark.parametrize("lease", ["wrong", "\u00fc"])
@pytest.mark.parametrize("kind", ["header", "range", "eof"])
async def test_a_lease_that_is_not_current_is_superseded_and_closed(
    service: Service, peer: Peer, kind: str, lease: str
) -> None:
    ready = await peer.hold("a", 3, b"ab")
    wrong = {"upload_id": ready["upload_id"], "lease": lease}
    message = {
        "header": header("a", 3, **wrong),
        "range": header("a", 3, range=[2, 3], **wrong),
        "eof": eof(b"abc", **wrong),
    }
    async with service.connected() as stranger:
        await stranger.send(message[kind])
        await stranger.refused("superseded")
        assert await stranger.closed() == 4409
    await peer.complete(b"abc", ready | {"offset": 2})
    assert service.log.refusals == ["superseded"]


# ------------------------------------------------------------------------------------------------------- taken names


async def test_a_name_of_another_size_is_taken_at_the_header(service: Service, peer: Peer) -> None:
    await peer.send(*small("a", b"first"))
    await peer.hear("complete")
    refusal = await refused_once(service, peer, "exists", header("a", 3))
    assert (refusal["size"], refusal["digest"]) == (5, digest(b"first"))
    assert await service.unfinished() == []
    assert await service.stored("a") == b"first"


@pytest.mark.parametrize("choice", ["replace", "rename"])
async def test_a_name_of_other_content_is_taken_at_eof_and_no_byte_is_needed_again(
    service: Service, peer: Peer, choice: str
) -> None:
    await peer.send(*small("a.txt", b"first"))
    await peer.hear("complete")
    ready = await peer.begin("a.txt", 5)
    assert ready["existing"] == {"size": 5, "digest": digest(b"first")}
    refusal = await refused_once(service, peer, "exists", b"other", eof(b"other"))
    assert (refusal["size"], refusal["digest"]) == (5, digest(b"first"))
    again = await peer.begin("a.txt", 5, upload_id=ready["upload_id"], if_exists=choice)
    assert again["offset"] == 5
    await peer.send(eof(b"other"))
    name = {"replace": "a.txt", "rename": "a (2).txt"}[choice]
    assert (await peer.hear("complete"))["file"]["name"] == name
    assert await service.stored(name) == b"other"
    assert await service.stored("a.txt") == (b"other" if choice == "replace" else b"first")


async def test_a_taken_name_of_a_small_file_is_refused(service: Service, peer: Peer) -> None:
    await peer.send(*small("a", b"first"))
    await peer.hear("complete")
    refusal = await refused_once(service, peer, "exists", *small("a", b"other"))
    assert (refusal["size"], refusal["digest"]) == (5, digest(b"first"))
    assert await service.stored("a") == b"first"


@pytest.mark.parametrize(("first", "second"), [("a", "a/b"), ("a/b", "a"), ("A", "a"), ("caf\u00e9", "CAFE\u0301")])
@pytest.mark.parametrize("pipelined", [False, True])
async def test_a_name_that_stands_in_the_way_is_taken(
    service: Service, peer: Peer, first: str, second: str, pipelined: bool
) -> None:
    await peer.send(*small(first, b"first"))
    await peer.hear("complete")
    frames = small(second, b"other") if pipelined else [header(second, 3)]
    await refused_once(service, peer, "exists", *frames)
    assert second not in await service.names()
    assert await service.unfinished() == []


# -------------------------------------------------------------------------------------------------- before the upgrade


async def test_a_client_that_offers_only_unknown_subprotocols_is_refused(service: Service) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(
            f"ws://127.0.0.1:{service.port}/ws",
            subprotocols=[Subprotocol("towline.v9"), Subprotocol("chat")],
            proxy=None,
        )
    assert refused.value.response.status_code == 400
    assert b"towline.v1" in (refused.value.response.body or b"")
    assert service.log.refusals == ["subprotocol"]
    assert service.log.alarms == []


@pytest.mark.parametrize("path", ["/ws", "/echo"])
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost.evil.example", "http://127.0.0.1:1"]
)
async def test_a_page_of_another_origin_is_refused(service: Service, path: str, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://127.0.0.1:{service.port}{path}", origin=Origin(origin), proxy=None)
    assert refused.value.response.status_code == 403
    assert json.loads(refused.value.response.body or b"")["code"] == "forbidden"
    assert service.log.alarms == []
    async with connect(
        f"ws://127.0.0.1:{service.port}/ws", origin=Origin(f"http://127.0.0.1:{service.port}"), proxy=None
    ) as connection:
        await Peer(connection).works()


@pytest.mark.parametrize("path", ["/ws", "/echo"])
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.2"])
async def test_a_name_that_was_rebound_to_this_machine_is_refused(service: Service, path: str, host: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://{host}:{service.port}{path}", host="127.0.0.1", port=service.port, proxy=None)
    assert refused.value.response.status_code == 421
    assert service.log.alarms == []
    async with connect(
        f"ws://localhost:{service.port}/ws", host="127.0.0.1", port=service.port, proxy=None
    ) as connection:
        await Peer(connection).works()


async def test_a_path_without_a_websocket_is_not_found(service: Service) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://127.0.0.1:{service.port}/wss", proxy=None)
    assert refused.value.response.status_code == 404
    assert service.log.alarms == []


# -------------------------------------------------------------------------------------------------------------- HTTP


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PATCH"])
async def test_a_missing_file_is_not_found(service: Service, peer: Peer, method: str) -> None:
    async with service.http() as http:
        answer = await http.request(method, "/files/no/such%20file", json={"name": "b"} if method == "PATCH" else None)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        if method != "HEAD":
            assert answer.json()["code"] == "not_found"
        assert (await http.get("/files")).json()["files"] == []
    await peer.works()
    assert service.log.alarms == []


async def test_a_missing_upload_is_not_found(service: Service, peer: Peer) -> None:
    async with service.http() as http:
        answer = await http.delete("/uploads/unknown")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    await peer.works()
    assert service.log.alarms == []
