"""Ten thousand headers that are almost right, over real sockets: each is answered as the protocol says, none is a bug,
and the connection goes on. The fixture looks for tracebacks and for what was left in the data directory."""

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Final

import pytest
from websockets.exceptions import ConnectionClosed

from tests.end_to_end.conftest import Frame, Json, Peer, Service, eof
from tests.fuzz.near_misses import near_miss
from transfer.protocol.errors import ERRORS, Internal

BATCHES: Final = 50
BATCH: Final = 50
"""So many are sent before the first answer is read: with a marker each, fewer than the 256 unanswered operations that a
connection takes."""
DESIGNED: Final = {"ready", "ack", "missing", "verifying", "complete", "cancelled", "echo", "error"}
EXPECTED: Final = {
    *("ready", "ack", "complete", "echo", "bad_message", "unsupported_type", "unsupported_digest", "invalid_name"),
    *("not_found", "size_mismatch", "digest_required", "superseded", "proxy_denied"),
}
"""Types and codes that each run hears: what is sent is neither all wrong nor all right."""
CLOSE_CODES: Final = {error.close_code for error in ERRORS.values() if error is not Internal}


class SeededChoices:
    """The same decisions each time."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def below(self, limit: int) -> int:
        return self._random.randrange(limit)

    def text(self) -> str:
        limits = (0x20, 0x7F, 0x800, 0x10000, 0x110000)
        return "".join(chr(self.below(self._random.choice(limits))) for _ in range(self.below(12)))


@pytest.mark.parametrize("seed", range(4))
async def test_a_header_that_is_almost_right_is_answered_and_the_connection_goes_on(
    service: Service, seed: int
) -> None:
    choices, known, seen = SeededChoices(seed), ["k3V9mQ"], Counter[str]()
    for _ in range(BATCHES):
        headers = [near_miss(choices, known[-10:]) for _ in range(BATCH)]
        while headers:
            async with service.connected() as peer:
                answered, replies = await exchange(peer, headers)
            headers = headers[answered:]
            seen.update(str(reply.get("code", reply["type"])) for reply in replies)
            known += [reply[field] for reply in replies if reply["type"] == "ready" for field in ("upload_id", "lease")]
    assert seen.keys() >= EXPECTED, seen


async def exchange(peer: Peer, headers: Sequence[str]) -> tuple[int, list[Json]]:
    """Send headers, and check what comes. Returns how many were answered, all or up to the one that closed the
    connection, and all replies."""
    answered, replies, goes_on = 0, list[Json](), False
    with suppress(ConnectionClosed):
        for number, header in enumerate(headers):
            await peer.send(*frames(header, number), {"type": "text", "text": marker(number)})
        for number, header in enumerate(headers):
            answered += 1
            while (reply := await peer.receive()) != {"type": "echo", "text": marker(number)}:
                check(reply, header)
                replies.append(reply)
        await peer.works()
        goes_on = True
    closed = peer.connection.protocol.close_rcvd
    assert goes_on or (closed is not None and closed.code in CLOSE_CODES), (headers[answered - 1], closed)
    return answered, replies


def frames(header: str, number: int) -> list[Frame]:
    """A header alone, or with what may follow it; or as a binary frame."""
    match number % 10:
        case 0 | 1 | 2 | 3:
            return [header, eof(b"")]
        case 4 | 5 | 6:
            return [header, b"abc", eof(b"abc")]
        case 7:
            return [header.encode()]
        case _:
            return [header]


def marker(number: int) -> str:
    return f"header {number} was answered"


def check(reply: Json, header: str) -> None:
    assert reply["type"] in DESIGNED, (header, reply)
    if reply["type"] == "error":
        assert ERRORS[reply["code"]] is not Internal, (header, reply)
        assert reply["message"], (header, reply)
        assert len(json.dumps(reply)) < 2_000, (header, reply)
