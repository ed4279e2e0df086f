"""The watch sees each message begin, however its bytes come."""

import json

import pytest
from websockets.frames import Frame, Opcode

from bench.frames import FrameWatch

HEAD = b"GET /ws HTTP/1.1\r\nHost: a\r\n\r\n"


def sent(size: int, *, masked: bool) -> bytes:
    """A head, a text message with a lure in it, and a binary message."""
    text = Frame(Opcode.TEXT, json.dumps({"type": "upload", "name": "\x02" * size}).encode())
    binary = Frame(Opcode.BINARY, bytes(size))
    return b"".join([HEAD, *(frame.serialize(mask=masked) for frame in (text, binary))])


@pytest.mark.parametrize("size", [1, 200, 70_000])
@pytest.mark.parametrize("masked", [True, False], ids=["client", "server"])
@pytest.mark.parametrize("piece", [1, 7, 65_536])
def test_a_message_begins_with_the_last_byte_of_its_frames_head(size: int, masked: bool, piece: int) -> None:
    stream, watch = sent(size, masked=masked), FrameWatch()
    seen: dict[int, int] = {}
    for start in range(0, len(stream), piece):
        watch.see(stream[start : start + piece])
        for opcode in watch.began:
            seen.setdefault(opcode, min(start + piece, len(stream)))
    begins = len(stream) - size
    assert list(seen) == [Opcode.TEXT, Opcode.BINARY]
    assert begins <= seen[Opcode.BINARY] < begins + piece
    assert seen[Opcode.TEXT] < len(HEAD) + 14 + piece
