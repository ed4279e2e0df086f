"""Payloads come out as they were sent, in whatever pieces they came, and take little more memory than their bytes."""

import tracemalloc
from collections.abc import Generator, Iterator
from random import Random
from typing import TypeVar

import pytest

from transfer.engine.payloads import LONG_BYTES, SHARE, PayloadReader

T = TypeVar("T")
LONG = 10 * LONG_BYTES + 7
CONTENT = Random(1).randbytes(3 * LONG)


def pieces(size: int) -> Iterator[bytes]:
    return (CONTENT[start : start + size] for start in range(0, len(CONTENT), size))


def result(reading: Generator[None, None, T]) -> T | None:
    """What it has read; None while it waits for more."""
    try:
        next(reading)
    except StopIteration as done:
        value: T = done.value
        return value
    return None


@pytest.mark.parametrize("size", [7, LONG_BYTES - 1, LONG_BYTES, 3 * LONG_BYTES, LONG, LONG + 1, len(CONTENT)])
@pytest.mark.parametrize("first", [0, 2, LONG_BYTES + 1])
def test_what_was_fed_is_read_in_order(first: int, size: int) -> None:
    reader, read = PayloadReader(), b""
    lengths = iter([first, 2, LONG, 3, LONG])
    length = next(lengths)
    reading = reader.read_exact(length)
    for piece in pieces(size):
        reader.feed_data(piece)
        while (payload := result(reading)) is not None:
            assert len(payload) == length
            read += payload
            length = next(lengths, len(CONTENT))
            reading = reader.read_exact(length)
    assert read == CONTENT[: first + 2 + LONG + 3 + LONG]
    assert reader.unread_bytes == len(CONTENT) - len(read)


def test_many_tiny_pieces_take_no_more_memory_than_their_bytes() -> None:
    reader = PayloadReader()
    assert result(reader.read_exact(len(CONTENT))) is None
    tracemalloc.start()
    for piece in pieces(3):
        reader.feed_data(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * len(CONTENT)


@pytest.mark.parametrize("fed", [-(-LONG // SHARE), LONG - 1])
def test_a_payload_is_what_its_room_was_filled_with(fed: int) -> None:
    reader = PayloadReader()
    reading = reader.read_exact(LONG)
    assert result(reading) is None
    reader.feed_data(CONTENT[:fed])
    for at in range(fed, LONG, 20_000):
        room, piece = reader.room, CONTENT[at : min(at + 20_000, LONG)]
        assert room is not None
        assert len(room) == LONG - at
        room[: len(piece)] = piece
        assert reader.filled(len(piece)) == (at + len(piece) == LONG)
    assert reader.room is None
    reader.feed_data(CONTENT[LONG : LONG + 5])
    assert result(reading) == bytearray(CONTENT[:LONG])
    assert result(reader.read_exact(5)) == bytearray(CONTENT[LONG : LONG + 5])


def test_the_next_long_payload_of_whichever_connection_comes_to_the_same_place() -> None:
    """It is read into memory of its own at once: masked on the wire, and unmasked by who has asked for it."""
    places = []
    for reader in (PayloadReader(), PayloadReader()):
        reading = reader.read_exact(LONG)
        assert result(reading) is None
        reader.feed_data(CONTENT[: LONG - 1])
        reader.feed_data(CONTENT[LONG - 1 : LONG])
        places.append(result(reading))
    assert places[0] is places[1]
    assert places[1] == bytearray(CONTENT[:LONG])


def test_payloads_that_come_at_a_time_have_each_a_place_of_its_own() -> None:
    before = PayloadReader()
    before.feed_data(CONTENT[:LONG_BYTES])
    reading = before.read_exact(LONG)
    assert result(reading) is None
    before.feed_data(CONTENT[LONG_BYTES:LONG])
    assert result(reading) is not None  # its place is free for one of them
    readers = [PayloadReader() for _ in range(3)]
    readings = [reader.read_exact(LONG) for reader in readers]
    assert [result(reading) for reading in readings] == [None] * 3
    for at in range(0, LONG, LONG_BYTES):
        for number, reader in enumerate(readers):
            reader.feed_data(CONTENT[number * LONG :][:LONG][at : at + LONG_BYTES])
    for number, reading in enumerate(readings):
        assert result(reading) == bytearray(CONTENT[number * LONG :][:LONG])


def test_what_is_announced_takes_no_memory_before_an_eighth_of_it_has_come() -> None:
    reader = PayloadReader()
    tracemalloc.start()
    assert result(reader.read_exact(len(CONTENT))) is None
    reader.feed_data(CONTENT[: len(CONTENT) // SHARE - 1])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < len(CONTENT) // 2
    assert reader.room is None


def test_an_end_within_a_long_payload_is_an_error() -> None:
    reader = PayloadReader()
    reading = reader.read_exact(LONG)
    reader.feed_data(CONTENT[: LONG - 1])
    assert result(reading) is None
    reader.feed_eof()
    with pytest.raises(EOFError, match=f"after {LONG - 1} bytes, expected {LONG} bytes"):
        next(reading)


@pytest.mark.parametrize("come", [0, 5, LONG_BYTES])
def test_a_payload_that_is_given_up_is_discarded_with_all_that_follows(come: int) -> None:
    reader = PayloadReader()
    assert result(reader.read_exact(LONG)) is None
    reader.feed_data(CONTENT[:come])
    for _ in range(3):
        reader.feed_data(CONTENT[:LONG_BYTES])
        assert result(reader.at_eof()) is False
        reader.discard()
        assert reader.unread_bytes == 0
    reader.feed_eof()
    assert result(reader.at_eof()) is True
