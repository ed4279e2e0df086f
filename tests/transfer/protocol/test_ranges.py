"""RangeSet does what a Python set of byte positions does."""

import time
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transfer.protocol.ranges import Range, RangeSet

TOP = 24
edges = st.integers(0, TOP)
spans = st.builds(lambda a, b: Range(min(a, b), max(a, b)), edges, edges)
sets = st.lists(spans, max_size=6).map(lambda drawn: RangeSet.of(*drawn))
fast = settings(max_examples=200, deadline=None)


def positions(ranges: RangeSet) -> set[int]:
    """The model."""
    return {position for start, end in ranges for position in range(start, end)}


def check(ranges: RangeSet, expected: set[int]) -> None:
    """It has these bytes, and it is sorted and merged, so that equal sets are equal."""
    assert positions(ranges) == expected
    assert all(start < end for start, end in ranges)
    assert all(before.end < after.start for before, after in pairwise(ranges))
    assert ranges == RangeSet.of(*((position, position + 1) for position in expected))
    assert hash(ranges) == hash(RangeSet(tuple(ranges)))


@fast
@given(st.lists(spans, max_size=8))
@example([Range(5, 5)])
@example([Range(0, 4), Range(4, 8)])
@example([Range(0, 9), Range(2, 3)])
def test_a_set_has_the_bytes_that_it_was_made_of(drawn: list[Range]) -> None:
    check(RangeSet.of(*drawn), {position for span in drawn for position in range(*span)})


@fast
@given(sets, spans)
@example(RangeSet.of((0, 8)), Range(8, 8))
@example(RangeSet.of((0, 8)), Range(2, 4))
@example(RangeSet.of((4, 8)), Range(0, 20))
def test_add(ranges: RangeSet, span: Range) -> None:
    check(ranges.add(*span), positions(ranges) | set(range(*span)))


@fast
@given(sets, edges, edges)
@example(RangeSet.of((0, 10)), 5, 5)
@example(RangeSet.of((0, 10)), 7, 3)
@example(RangeSet.of((0, 10)), 3, 7)
def test_remove(ranges: RangeSet, start: int, end: int) -> None:
    check(ranges.remove(start, end), positions(ranges) - set(range(start, end)))


@fast
@given(sets, sets)
def test_union(one: RangeSet, other: RangeSet) -> None:
    check(one.union(other), positions(one) | positions(other))


@fast
@given(sets, sets)
def test_intersection(one: RangeSet, other: RangeSet) -> None:
    check(one.intersection(other), positions(one) & positions(other))


@fast
@given(sets, edges, edges)
def test_holes_are_what_is_missing_in_order(ranges: RangeSet, end: int, start: int) -> None:
    check(RangeSet(ranges.holes(end, start)), set(range(start, end)) - positions(ranges))


@fast
@given(sets, edges, edges)
def test_covers_says_whether_there_is_no_hole(ranges: RangeSet, start: int, end: int) -> None:
    assert ranges.covers(start, end) == (set(range(start, end)) <= positions(ranges))
    assert ranges.covers(start, end) == (not ranges.holes(end, start))


@fast
@given(sets)
def test_what_a_set_says_of_itself(ranges: RangeSet) -> None:
    there = positions(ranges)
    assert ranges.total == len(there)
    assert ranges.furthest == max(there, default=-1) + 1
    assert ranges.leading == next(position for position in range(TOP + 1) if position not in there)
    assert bool(ranges) == bool(there)


@fast
@given(spans, spans)
def test_the_intersection_of_two_ranges_is_a_range_or_none(one: Range, other: Range) -> None:
    both = one.intersection(other)
    assert set(range(*(both or (0, 0)))) == set(range(*one)) & set(range(*other))
    assert both is None or both.size > 0


@pytest.mark.parametrize(("start", "end"), [(5, 3), (-1, 3), (-3, -1)])
def test_what_is_not_a_range_is_refused(start: int, end: int) -> None:
    with pytest.raises(ValueError, match=rf"not a range: \[{start}, {end}\)"):
        RangeSet.of((start, end))
    for ranges in (RangeSet(), RangeSet.of((0, 10))):
        with pytest.raises(ValueError, match="not a range"):
            ranges.add(start, end)


def test_a_client_that_leaves_many_holes_does_not_make_them_slow_to_find() -> None:
    ranges = RangeSet.of(*((2 * index, 2 * index + 1) for index in range(50_000)))
    started = time.process_time()
    assert len(ranges.holes(ranges.furthest)) == 49_999
    assert ranges.holes(60_002, 60_000) == (Range(60_001, 60_002),)
    assert time.process_time() - started < 1, "a hole at a time it would take minutes"
