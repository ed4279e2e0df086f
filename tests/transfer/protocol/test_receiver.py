from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.protocol import limits, receiver
from transfer.protocol.errors import BadMessage, SizeMismatch, TooLarge
from transfer.protocol.ranges import Range, RangeSet
from transfer.protocol.receiver import TABLE, DurablePoints, Input, Piece, Receiver, State, acknowledged

NOTHING = RangeSet()
COLUMNS = [Input.BYTES, Input.EOF, Input.CANCEL, Input.HEADER, Input.READY, Input.FAILED, Input.DONE]
CELLS = [(state, given) for state in State for given in COLUMNS]


def documented() -> dict[tuple[State, Input], str]:
    """The table of the docstring."""
    rows = [line.split() for line in (receiver.__doc__ or "").splitlines()]
    cells: dict[tuple[State, Input], str] = {}
    for state in State:
        (row,) = (row for row in rows if row[:1] == [state.name])
        columns = " ".join(row[1:]).replace("if early", "early").split()
        cells |= {(state, given): column for given, column in zip(COLUMNS, columns, strict=True)}
    return cells


DOCUMENTED = documented()


def in_state(state: State, *, early: bool = False) -> Receiver:
    receiver = Receiver(size=10, early=early)
    receiver.state = state
    return receiver


def give(receiver: Receiver, given: Input) -> None:
    """Let it happen, through the method for it."""
    acts: dict[Input, Callable[[], object]] = {
        Input.BYTES: lambda: receiver.chunk(1),
        Input.EOF: receiver.eof,
        Input.CANCEL: receiver.cancel,
        Input.HEADER: receiver.header,
        Input.READY: lambda: receiver.ready(0, size=10, end=10, there=NOTHING),
        Input.FAILED: receiver.failed,
        Input.DONE: receiver.done,
    }
    acts[given]()


@pytest.mark.parametrize(("state", "given"), CELLS, ids=lambda value: value.name)
def test_each_cell_of_the_table_is_as_documented(state: State, given: Input) -> None:
    documented, after = DOCUMENTED[state, given], TABLE.get((state, given))
    expected = {"–": None, "stays": state}.get(documented)
    if documented == "early":
        expected = State.OPENING if given is Input.BYTES else State.FINISHING
    elif documented not in ("–", "stays"):
        expected = State[documented]
    assert after is expected


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize(("state", "given"), CELLS, ids=lambda value: value.name)
def test_what_has_a_row_happens_and_what_has_none_is_a_bad_message_that_changes_nothing(
    state: State, given: Input, early: bool
) -> None:
    receiver, after = in_state(state, early=early), TABLE.get((state, given))
    if DOCUMENTED[state, given] == "early" and not early:
        after = None
    if after is None:
        with pytest.raises(BadMessage, match=f"{given.value} cannot come here: ") as refusal:
            give(receiver, given)
        assert refusal.value.facts == {"state": state.name.lower()}
        after = state
    else:
        give(receiver, given)
    assert receiver.state is after


def test_who_does_not_wait_for_ready_is_told_to() -> None:
    with pytest.raises(BadMessage, match="bytes cannot come here: wait for ready"):
        Receiver(size=10).chunk(1)
    with pytest.raises(BadMessage, match="eof cannot come here: wait for ready"):
        Receiver(size=10).eof()
    with pytest.raises(BadMessage, match="bytes cannot come here: send a header first"):
        in_state(State.FINISHING).chunk(1)


def opened(offset: int = 0, *, end: int | None = 10, there: RangeSet = NOTHING, max_size: int = 1_000) -> Receiver:
    receiver = Receiver(max_size=max_size)
    receiver.ready(offset, size=end, end=end, there=there)
    return receiver


# ------------------------------------------------------------------------------------------------------------- pieces


def test_bytes_follow_one_another_from_the_offset_on() -> None:
    receiver = opened(3)
    assert receiver.position == 3
    assert receiver.chunk(4) == [Piece(3, 0, 4)]
    assert receiver.chunk(0) == []
    assert receiver.chunk(3) == [Piece(7, 0, 3)]
    assert receiver.position == 10


def test_bytes_that_are_there_are_dropped() -> None:
    receiver = opened(0, there=RangeSet.of((2, 4), (5, 6)))
    assert receiver.chunk(3) == [Piece(0, 0, 2)]
    assert receiver.chunk(1) == []
    assert receiver.chunk(6) == [Piece(4, 0, 1), Piece(6, 2, 6)]


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted).map(tuple), max_size=4),
    st.lists(st.integers(0, 12), max_size=8),
    st.integers(0, 20),
)
def test_each_byte_that_is_not_there_is_written_once_where_it_belongs(
    there: list[tuple[int, int]], lengths: list[int], offset: int
) -> None:
    receiver, at, written = opened(offset, end=None, there=RangeSet.of(*there)), offset, list[int]()
    for length in lengths:
        chunk = range(at, at + length)
        for piece in receiver.chunk(length):
            assert chunk[piece.start : piece.end] == range(piece.offset, piece.offset + piece.end - piece.start)
            written += chunk[piece.start : piece.end]
        at += length
    known = {position for start, end in there for position in range(start, end)}
    assert written == [position for position in range(offset, at) if position not in known]
    assert receiver.position == at


def test_bytes_that_turn_out_to_be_damaged_are_written_when_they_come_again() -> None:
    receiver = opened(0, there=RangeSet.of((0, 8)))
    receiver.forget(Range(2, 6))
    assert receiver.chunk(10) == [Piece(2, 2, 6), Piece(8, 8, 10)]


def test_early_bytes_begin_at_0_and_ready_moves_nothing() -> None:
    receiver = Receiver(size=10, early=True)
    assert receiver.chunk(4) == [Piece(0, 0, 4)]
    receiver.ready(0, size=10, end=10, there=NOTHING)
    assert receiver.chunk(6) == [Piece(4, 0, 6)]
    receiver.eof()
    assert receiver.state is State.FINISHING


def test_what_still_comes_of_a_failed_upload_is_discarded_up_to_its_end() -> None:
    receiver = opened()
    receiver.failed()
    assert receiver.chunk(1_000_000) == []
    assert receiver.position == 0
    receiver.eof()
    assert receiver.state is State.ENDED


# -------------------------------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize("early", [True, False])
def test_more_bytes_than_announced_are_a_size_mismatch(early: bool) -> None:
    receiver = Receiver(size=10, early=True) if early else opened()
    receiver.chunk(10)
    with pytest.raises(SizeMismatch, match="more bytes than announced: 11 of 10") as refusal:
        receiver.chunk(1)
    assert refusal.value.facts == {"expected": 10, "received": 11}
    assert receiver.position == 10


def test_a_range_ends_where_it_ends() -> None:
    receiver = Receiver()
    receiver.ready(4, size=100, end=8, there=NOTHING)
    assert receiver.chunk(4) == [Piece(4, 0, 4)]
    with pytest.raises(SizeMismatch, match="9 of 8"):
        receiver.chunk(1)


def test_a_stream_is_too_large_beyond_the_limit() -> None:
    receiver = opened(end=None, max_size=10)
    receiver.chunk(10)
    with pytest.raises(TooLarge, match="the upload reaches 11 bytes, the limit is 10") as refusal:
        receiver.chunk(1)
    assert refusal.value.facts == {"limit": 10}


def test_a_stream_may_be_as_long_as_the_protocol_says_by_default() -> None:
    receiver = Receiver()
    receiver.ready(limits.MAX_STREAM_SIZE, size=None, end=None, there=NOTHING)
    with pytest.raises(TooLarge):
        receiver.chunk(1)


# ----------------------------------------------------------------------------------------------------- durable points


def test_a_durable_point_is_due_after_enough_bytes_or_enough_time() -> None:
    points = DurablePoints(every_bytes=8, every_seconds=0.25)
    assert points.wait(100.0) is None, "nothing to sync"
    points.wrote(3, 100.0)
    assert points.wait(100.0) == 0.25
    assert points.wait(100.125) == 0.125
    points.wrote(3, 100.125)
    assert points.wait(100.125) == 0.125, "the first byte counts"
    assert points.wait(100.25) == 0.0
    assert points.wait(900.0) == 0.0
    points.wrote(2, 100.125)
    assert points.wait(100.125) == 0.0, "8 bytes"


def test_after_a_sync_began_only_what_was_written_since_counts() -> None:
    points = DurablePoints(every_bytes=8, every_seconds=0.25)
    points.wrote(8, 1.0)
    points.begun()
    assert points.wait(9.0) is None
    points.wrote(7, 9.0)
    assert points.wait(9.0) == 0.25
    points.wrote(1, 9.0)
    assert points.wait(9.0) == 0.0


def test_durable_points_come_every_8_mib_or_250_ms() -> None:
    points = DurablePoints()
    points.wrote(8 * 1024 * 1024 - 1, 0.0)
    assert points.wait(0.0) == 0.25
    points.wrote(1, 0.0)
    assert points.wait(0.0) == 0.0


# --------------------------------------------------------------------------------------------------------------- acks


@pytest.mark.parametrize(
    ("durable", "span", "expected"),
    [
        ([], None, 0),
        ([(0, 8)], None, 8),
        ([(0, 8), (12, 20)], None, 8),
        ([(4, 8)], None, 0),
        ([], (4, 12), 4),
        ([(4, 8)], (4, 12), 8),
        ([(0, 8)], (4, 12), 8),
        ([(0, 4)], (4, 12), 4),
        ([(6, 8)], (4, 12), 4),
        ([(4, 6), (8, 12)], (4, 12), 6),
        ([(4, 12)], (4, 12), 12),
        ([(0, 30)], (4, 12), 12),
        ([(4, 30)], (4, 12), 12),
    ],
)
def test_an_ack_is_of_the_bytes_from_0_on_or_within_the_range(
    durable: list[tuple[int, int]], span: tuple[int, int] | None, expected: int
) -> None:
    assert acknowledged(RangeSet.of(*durable), None if span is None else Range(*span)) == expected


def test_it_says_whether_bytes_are_still_to_come() -> None:
    receiver, told = Receiver(size=10), list[bool]()
    told.append(receiver.lacks_bytes)
    receiver.ready(4, size=10, end=10, there=NOTHING)
    told.append(receiver.lacks_bytes)
    receiver.chunk(6)
    told.append(receiver.lacks_bytes)
    assert told == [False, True, False]  # before `ready` none may come


def test_of_what_comes_early_bytes_are_lacking_at_once_and_of_a_stream_or_a_failure_none() -> None:
    early, stream, failed = Receiver(size=10, early=True), Receiver(), Receiver(size=10, early=True)
    stream.ready(0, size=None, end=None, there=NOTHING)
    failed.failed()
    assert [each.lacks_bytes for each in (early, stream, failed)] == [True, False, False]
