"""Spans of a file are handed out in order, to everybody something, and what is not durable is handed out again."""

import pytest

from client.spans import LONE_SPANS, SMALLEST_SPAN, SPAN_SECONDS, FrameSize, Spans
from transfer.protocol.limits import MIB
from transfer.protocol.ranges import Range

LEAF = MIB


def test_spans_come_in_the_order_of_the_content_and_take_about_as_long() -> None:
    spans = Spans(1000 * MIB, LEAF)
    assert spans.take(None, 2) == Range(0, LEAF)
    assert spans.take(2.5 * MIB, 2) == Range(LEAF, LEAF + int(2.5 * SPAN_SECONDS) * MIB)
    assert spans.take(0.1 * MIB, 2) == Range(13 * MIB, 13 * MIB + MIB // 2), "the slower, the shorter"


def test_a_span_ends_with_a_leaf_where_it_is_longer_than_one() -> None:
    spans = Spans(100 * MIB, LEAF, start=MIB // 2, durable=MIB // 2)
    assert spans.take(MIB, 2) == Range(MIB // 2, 5 * MIB)


def test_towards_the_end_spans_get_shorter_so_that_nobody_is_waited_for() -> None:
    spans, sizes = Spans(16 * MIB + 3, LEAF), list[int]()
    while (span := spans.take(MIB // 4, 4)) is not None:
        sizes.append(span.size)
        spans.acknowledged(*span)
    assert sum(sizes) == 16 * MIB + 3
    assert sizes[0] == MIB
    assert max(sizes[-4:]) <= SMALLEST_SPAN
    assert spans.over


def test_what_one_has_left_is_the_next_to_be_handed_out() -> None:
    spans = Spans(8 * MIB, LEAF)
    first, second = spans.take(None, 1), spans.take(None, 1)
    assert first is not None
    assert second is not None
    spans.acknowledged(*second)
    spans.acknowledged(first.start, first.start + 10)
    spans.give_back(*first)
    assert spans.take(None, 1) == Range(first.start + 10, first.end)


def test_what_is_durable_is_not_handed_out_again() -> None:
    spans = Spans(MIB, LEAF)
    span = spans.take(None, 1)
    assert span is not None
    spans.acknowledged(*span)
    left = spans.left
    spans.give_back(*span)
    assert spans.left == left


def test_all_is_over_when_all_is_durable_and_not_when_it_is_handed_out() -> None:
    spans = Spans(MIB, LEAF, start=MIB // 2, durable=MIB // 4)
    while (span := spans.take(MIB, 1)) is not None:
        spans.acknowledged(*span)
    assert spans.durable.total == MIB * 3 // 4, "what was on its way before is still"
    spans.acknowledged(0, MIB // 2)
    assert spans.over


@pytest.mark.parametrize(
    ("seconds", "after"), [(0.01, 2 * FrameSize.first), (0.5, FrameSize.first), (2, FrameSize.smallest)]
)
def test_a_frame_takes_about_half_a_second(seconds: float, after: int) -> None:
    frames = FrameSize()
    frames.took(frames.of(100 * MIB), seconds)
    assert frames.of(100 * MIB) == after
    assert frames.of(7) == 7


def test_a_frame_never_gets_tiny() -> None:
    frames = FrameSize()
    for _ in range(20):
        frames.took(frames.of(MIB), 60)
    assert frames.of(MIB) == FrameSize.smallest


def test_a_frame_stays_short_where_something_waits_for_its_end() -> None:
    frames = FrameSize()
    frames.short = True
    frames.took(frames.of(MIB), 0.01)
    assert frames.of(MIB) == FrameSize.first


def test_one_connection_alone_takes_much_at_once() -> None:
    spans = Spans(100 * MIB, LEAF)
    assert spans.take(MIB, 1) == Range(0, int(LONE_SPANS * SPAN_SECONDS) * MIB)
    assert spans.take(2 * MIB, 1) == Range(30 * MIB, 90 * MIB)
    assert spans.take(2 * MIB, 1) == Range(90 * MIB, 100 * MIB)


def test_a_fast_connection_gets_no_tiny_span() -> None:
    """It would wait for its next one longer than it sends."""
    assert Spans(16 * MIB, LEAF).take(9 * MIB, 8) == Range(0, 9 * MIB)
