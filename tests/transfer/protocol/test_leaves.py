from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_128

from transfer.protocol.leaves import (
    ABSENT,
    CHECKSUM_BYTES,
    MAX_LEAVES,
    MIN_LEAF_SIZE,
    NO_TAIL,
    STREAM_LEAF_SIZE,
    LeafHasher,
    Tail,
    differing,
    join_leaves,
    leaf_checksum,
    leaf_range,
    leaf_size_for,
    leaves_of,
    split_leaves,
)
from transfer.protocol.limits import MAX_SIZE, MAX_STREAM_SIZE
from transfer.protocol.ranges import Range, RangeSet

MIB = 1 << 20
contents = st.binary(max_size=100)
leaf_sizes = st.sampled_from([1, 2, 7, 8, 16, 64, 128])
cuts = st.lists(st.integers(0, 30), max_size=20)


def cut(content: bytes, lengths: list[int]) -> Iterator[bytes]:
    """The content in pieces of these lengths, some of them empty, and what is left."""
    for length in lengths:
        yield content[:length]
        content = content[length:]
    yield content


def leaves_by_definition(content: bytes, leaf_size: int) -> list[bytes]:
    return [xxh3_128(content[at : at + leaf_size]).digest() for at in range(0, len(content), leaf_size)]


def test_the_checksum_is_xxh3_128_big_endian_with_seed_0() -> None:
    assert leaf_checksum(b"").hex() == "99aa06d3014798d86001c324468d497f", "xxHash's specification, test vectors"
    assert len(leaf_checksum(b"cargo")) == CHECKSUM_BYTES


@given(contents, leaf_sizes, cuts)
def test_content_has_the_same_leaves_whole_and_in_any_pieces(
    content: bytes, leaf_size: int, lengths: list[int]
) -> None:
    expected = leaves_by_definition(content, leaf_size)
    assert leaves_of([content], leaf_size) == expected
    assert leaves_of(cut(content, lengths), leaf_size) == expected
    assert leaves_of((content[at : at + 1] for at in range(len(content))), leaf_size) == expected
    assert leaves_of([memoryview(bytearray(content))], leaf_size) == expected


@given(contents, leaf_sizes, cuts, st.integers(0, 3))
def test_a_hasher_names_each_full_leaf_once_and_knows_the_tail(
    content: bytes, leaf_size: int, lengths: list[int], first: int
) -> None:
    hasher = LeafHasher(leaf_size, first * leaf_size)
    full = [leaf for piece in cut(content, lengths) for leaf in hasher.update(piece)]
    expected = leaves_by_definition(content, leaf_size)
    count, length = divmod(len(content), leaf_size)
    assert full == list(enumerate(expected[:count], first))
    assert hasher.tail == (Tail(length, expected[-1]) if length else NO_TAIL)
    assert hasher.position == first * leaf_size + len(content)


def test_a_hasher_begins_where_a_leaf_does() -> None:
    with pytest.raises(ValueError, match="position 12 is not the start of a leaf of 8 bytes"):
        LeafHasher(8, 12)


@pytest.mark.parametrize(
    ("size", "leaf_size"),
    [
        (None, STREAM_LEAF_SIZE),
        (0, MIB),
        (1, MIB),
        (65_536 * MIB, MIB),
        (65_536 * MIB + 1, 2 * MIB),
        (131_072 * MIB, 2 * MIB),
        (131_072 * MIB + 1, 4 * MIB),
        (MAX_SIZE, 1 << 37),
    ],
)
def test_the_leaf_size_grows_with_the_size(size: int | None, leaf_size: int) -> None:
    assert leaf_size_for(size) == leaf_size


@given(st.integers(0, MAX_SIZE))
def test_leaves_are_a_power_of_two_and_no_more_than_65536_nor_smaller_than_needed(size: int) -> None:
    leaf_size = leaf_size_for(size)
    assert leaf_size.bit_count() == 1
    assert leaf_size >= MIN_LEAF_SIZE
    assert -(-size // leaf_size) <= MAX_LEAVES
    assert leaf_size == MIN_LEAF_SIZE or leaf_size // 2 * MAX_LEAVES < size


def test_the_longest_stream_has_65536_leaves() -> None:
    assert STREAM_LEAF_SIZE * MAX_LEAVES == MAX_STREAM_SIZE


@pytest.mark.parametrize(
    ("index", "size", "expected"), [(0, 20, (0, 8)), (1, 20, (8, 16)), (2, 20, (16, 20)), (0, 3, (0, 3))]
)
def test_the_last_leaf_ends_where_the_content_does(index: int, size: int, expected: tuple[int, int]) -> None:
    assert leaf_range(index, 8, size) == Range(*expected)


@given(st.lists(st.binary(min_size=16, max_size=16)))
def test_leaves_are_split_as_they_were_joined(leaves: list[bytes]) -> None:
    assert split_leaves(b"".join(leaves)) == leaves
    full, end = dict(enumerate(leaves)), len(leaves) * 8
    assert join_leaves(full, NO_TAIL, end, 8, whole=True) == b"".join(leaves)


@pytest.mark.parametrize("length", [1, 15, 17, 31])
def test_what_is_no_multiple_of_16_is_not_split(length: int) -> None:
    with pytest.raises(ValueError, match=f"{length} bytes of leaf checksums are not a multiple of 16"):
        split_leaves(bytes(length))


A, B, C, D = (bytes([digit]) * 16 for digit in b"abcd")


@pytest.mark.parametrize(
    ("full", "tail", "furthest", "whole", "expected"),
    [
        ({}, NO_TAIL, 0, True, []),
        ({0: A, 1: B}, NO_TAIL, 16, True, [A, B]),
        ({0: A, 2: C}, NO_TAIL, 24, True, [A, ABSENT, C]),
        ({0: A}, Tail(4, D), 12, True, [A, D]),
        ({0: A}, Tail(4, D), 12, False, [A, ABSENT]),
        ({0: A}, Tail(3, D), 12, True, [A, ABSENT]),
        ({0: A, 1: B, 2: C}, NO_TAIL, 12, True, [A, B]),
        ({0: A}, Tail(4, D), 8, True, [A]),
        ({}, Tail(4, D), 4, True, [D]),
    ],
)
def test_leaves_are_joined_up_to_the_furthest_byte_with_zeros_for_absent_ones(
    full: dict[int, bytes], tail: Tail, furthest: int, whole: bool, expected: list[bytes]
) -> None:
    assert split_leaves(join_leaves(full, tail, furthest, 8, whole=whole)) == expected


@pytest.mark.parametrize(
    ("ours", "theirs", "size", "first", "expected"),
    [
        ([], [], 0, 0, []),
        ([A, B, C], [A, B, C], 24, 0, []),
        ([A, B, C], [A, D, C], 24, 0, [(8, 16)]),
        ([A, B, C], [D, D, C], 24, 0, [(0, 16)]),
        ([A, B, C], [D, B, D], 20, 0, [(0, 8), (16, 20)]),
        ([A, B, C], [D, D, D], 24, 1, [(8, 24)]),
        ([A, B, C], [D, D, D], 24, 3, []),
        ([A, B], [A, ABSENT], 16, 0, []),
        ([A, ABSENT], [A, B], 16, 0, []),
        ([A, B, C], [A, D], 24, 0, [(8, 16)]),
        ([A], [A, B, C], 8, 0, []),
        ([A, B, C], [A, B, D], 16, 0, []),
    ],
)
def test_leaves_that_both_have_and_that_are_not_the_same_differ(
    ours: list[bytes], theirs: list[bytes], size: int, first: int, expected: list[tuple[int, int]]
) -> None:
    assert differing(ours, theirs, 8, size, first) == RangeSet.of(*expected)


@settings(max_examples=200)
@given(st.binary(max_size=60), st.dictionaries(st.integers(0, 59), st.integers(1, 255), max_size=5))
def test_each_changed_byte_is_in_a_leaf_that_differs_and_no_other_leaf_is(
    content: bytes, flips: dict[int, int]
) -> None:
    changed = bytearray(content)
    for position in (flipped := {position for position in flips if position < len(content)}):
        changed[position] ^= flips[position]
    spans = differing(leaves_of([bytes(changed)], 8), leaves_of([content], 8), 8, len(content))
    assert spans == RangeSet.of(*(leaf_range(position // 8, 8, len(content)) for position in flipped))
