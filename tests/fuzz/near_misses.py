"""Messages that are almost right: each field may be hostile, missing, there twice, or in the wrong place.

Where the decisions come from is left open, so that one generator serves a seeded test and a fuzzer that mutates bytes.
"""

import json
from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

from pydantic import JsonValue

Fields = dict[str, JsonValue]
T = TypeVar("T")

SHA256_OF_NOTHING: Final = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
FULL: Final[dict[str, dict[str, list[JsonValue]]]] = {
    "upload": {
        "name": ["a", "photos/cat.jpg", "é", "a/b/c", "near/miss"],
        "size": [0, 1, 3, 1 << 20, (1 << 20) + 1, None],
        "upload_id": ["k3V9mQ"],
        "lease": ["7QxF2b"],
        "resume": [True, False],
        "if_exists": ["error", "replace", "rename"],
        "digest_algorithm": ["sha256", "blake3"],
        "digest": [SHA256_OF_NOTHING, "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"],
        "modified": ["2026-03-01T12:00:00Z", "2026-03-01T12:00:00.123456+01:00", "0001-01-01T00:00:00Z"],
        "content_type": ["text/plain", "image/jpeg", "text/html; charset=utf-8"],
        "metadata": [{}, {"a": "b"}, {"é": "ü", "c": ""}],
        "offset": [0],
        "range": [[0, 1], [0, 1 << 20], [1 << 20, 1 << 21]],
        "rewrite": [True, False],
        "room": ["den"],
    },
    "eof": {"digest": [SHA256_OF_NOTHING], "upload_id": ["k3V9mQ"], "lease": ["7QxF2b"]},
    "cancel": {},
    "text": {"text": ["hello", "", "é", "a" * 64]},
    "proxy": {
        "url": ["wss://example.org/feed", "WS://127.0.0.1:9/a?b", "ws://[::1]/", "ws://0x7f.1/", "http://a@b/#c"],
        "upstream": ["nowhere", "Echo", "echo "],
        "subprotocols": [["a"], []],
    },
}
"""Every field that a message may have, with values that are right or nearly so."""

# fmt: off
_NUMBERS: Final[list[JsonValue]] = [
    None, True, False, 0, -1, 1, 2, (1 << 53) - 1, 1 << 53, 1 << 63, 1 << 64, 10**30, -(10**400),
    0.0, -0.0, 0.5, 1e308, 5e-324, float("nan"), float("inf"), float("-inf"),
]
_TEXTS: Final[list[JsonValue]] = [
    "", " ", "\0", "\n", "\x1b[2J", "\x7f", "\ud800", "\udfff\ud800", "\u202e", "\u200b", "\ufeff", "\u2028", "é",
    "0", "null", "true", "NaN", "../../etc/passwd", "/", "a//b", "..", "a/", "CON", "a.", "\\\\host\\c$", "%00", "%s",
    "a" * 129, "a" * 256, "é" * 128, "a/" * 600, "\U0001f600" * 100, "e\u0301" * 100, "a" * 20_000,
    "sha256:", "sha256:0", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:" + "A" * 64, ":", "SHA256",
    "9999-12-31T23:59:59.999999-23:59", "0001-01-01T00:00:00+23:59", "2026-02-30T00:00:00Z", "2026-W01-1T00:00:00Z",
    "text/plain\r\nset-cookie: a=b", "text/", "a/b" * 100,
]
_LISTS: Final[list[JsonValue]] = [
    [], [[]], [0], [0, 1, 2], [1, 0], [0, 0], [-1, 1], [0, 1 << 60], [0.0, 1.0], [True, False], ["0", "1"], [None] * 50,
    [[[[[[[[[]]]]]]]]],
]
_OBJECTS: Final[list[JsonValue]] = [
    {}, {"a": 1}, {"a": None}, {"a": {}}, {"": ""}, {"\ud800": "a"}, {"a": "b" * 5_000}, {"__proto__": "a"},
    {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {}}}}}}}}},
]
# fmt: on
HOSTILE: Final[list[JsonValue]] = [*_NUMBERS, *_TEXTS, *_LISTS, *_OBJECTS]
KINDS: Final = [*FULL, *["upload"] * 10, "download", "", "\ud800"]
SLIPS: Final = [
    "",
    ",",
    "{",
    "}",
    "[",
    "]",
    '"',
    "\\",
    "\0",
    ":",
    "1",
    "-",
    "e9",
    "NaN",
    '"a":1,',
    "\\ud800",
    "é",
    "[" * 2_000,
]


class Choices(Protocol):
    """Where decisions come from."""

    def below(self, limit: int) -> int:
        """A number from 0 to `limit` - 1."""

    def text(self) -> str:
        """Any short text; lone surrogates may be in it."""


def one_of(choices: Choices, values: Sequence[T]) -> T:
    return values[choices.below(len(values))]


def near_miss(choices: Choices, known: Sequence[str] = ()) -> str:
    """The text of a frame. `known` are ids and leases that mean something to whoever reads it."""
    text = json.dumps(_fields(choices, known), ensure_ascii=True)
    for _ in range(choices.below(8) - 5):
        text = _slip(choices, text)
    return text


def _fields(choices: Choices, known: Sequence[str]) -> Fields:
    kind = one_of(choices, KINDS)
    possible = FULL.get(kind, FULL["upload"])
    fields: Fields = {"type": kind}
    for name, values in possible.items():
        if name in ("name", "text") or choices.below(4) == 0:
            fields[name] = (
                one_of(choices, known) if known and name in ("upload_id", "lease") else one_of(choices, values)
            )
    if choices.below(3) == 0:
        fields["ref"] = choices.below(1_000)
    for _ in range(choices.below(3)):
        _spoil(choices, fields)
    return fields


def _spoil(choices: Choices, fields: Fields) -> None:
    name = one_of(choices, [*fields, *FULL["upload"], "ref", "unknown"])
    match choices.below(8):
        case 0:
            fields.pop(name, None)
        case 1:
            fields[name] = choices.text()
        case 2:
            fields[name] = [fields.get(name)]
        case 3:
            fields[choices.text()] = fields.pop(name, None)
        case _:
            fields[name] = one_of(choices, HOSTILE)


def _slip(choices: Choices, text: str) -> str:
    """What a bug in a client, or an attacker, makes of the text itself."""
    at = choices.below(len(text) + 1)
    match choices.below(4):
        case 0:
            return text[:at]
        case 1:
            return text[:at] + text[at + 1 :]
        case 2:
            return text[:at] + text[choices.below(len(text) + 1) :]
        case _:
            return text[:at] + one_of(choices, SLIPS) + text[at:]
