"""The target: whatever a client sends, reading it ends with a message or with an error that can be sent as a reply.

    python -m tests.fuzz.message_parser [libFuzzer options] [corpus…]

Half of the inputs are the text of a frame, for which coverage finds the way; the others decide what a near miss is made
of. The URL of a proxy header is read too. Every branch of that is followed.
"""

import json
import sys

import atheris

with atheris.instrument_imports(include=["transfer"]):
    from transfer.protocol.errors import TransferError
    from transfer.protocol.messages import ErrorMessage, ProxyHeader, parse_client_message
    from transfer.upstreams import WebSocketUrl

from tests.fuzz.near_misses import near_miss

MAX_REPLY_BYTES = 16 << 10
"""An error says what was wrong; it does not send everything back."""


class FuzzedChoices:
    """Decisions made by the bytes of an input; when they are used up, always the first."""

    def __init__(self, data: bytes) -> None:
        self._provider = atheris.FuzzedDataProvider(data)

    def below(self, limit: int) -> int:
        return int(self._provider.ConsumeIntInRange(0, limit - 1))

    def text(self) -> str:
        return str(self._provider.ConsumeUnicode(self.below(12)))


def look_at(data: bytes) -> None:
    """One input. Raises what libFuzzer takes for a finding."""
    text = near_miss(FuzzedChoices(data[1:])) if data[:1] == b"\0" else data.decode("utf-8", "replace")
    try:
        message = parse_client_message(text)
    except TransferError as refused:
        look_at_reply(refused)
    else:
        assert parse_client_message(message.to_json()) == message
        if isinstance(message, ProxyHeader) and message.url is not None:
            look_at_url(message.url)


def look_at_url(text: str) -> None:
    """It is refused, or says the same however often it is read."""
    try:
        url = WebSocketUrl.parse(text)
    except ValueError:
        return
    assert WebSocketUrl.parse(str(url)) == url


def look_at_reply(refused: TransferError) -> None:
    """What the client would hear of it."""
    reply = ErrorMessage.of(refused, refused.ref).to_json()
    assert len(reply.encode()) <= MAX_REPLY_BYTES, reply
    assert json.loads(reply)["code"] == refused.code, reply


if __name__ == "__main__":
    atheris.Setup(sys.argv, look_at)
    atheris.Fuzz()
