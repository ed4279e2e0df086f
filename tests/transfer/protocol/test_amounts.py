"""Durations and sizes as people write them."""

from datetime import timedelta

import pytest

from transfer.protocol.amounts import parse_duration, parse_size
from transfer.protocol.limits import MAX_SIZE


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1m", timedelta(minutes=1)),
        ("90m", timedelta(hours=1, minutes=30)),
        ("12h", timedelta(hours=12)),
        ("30d", timedelta(days=30)),
        ("2w", timedelta(days=14)),
        ("36500d", timedelta(days=36_500)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, meant: timedelta) -> None:
    assert parse_duration(text) == meant


@pytest.mark.parametrize(
    "text",
    ["", "30", "d", "30D", "30 d", " 30d", "30d ", "30d\n", "-1d", "+1d", "1.5d", "1d12h", "٣d", "1s", "1y", "never"],
)
def test_anything_else_is_no_duration_and_the_refusal_has_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="no duration: write 90m, 12h, 30d or 2w") as refused:
        parse_duration(text)
    assert ascii(text) in str(refused.value)


@pytest.mark.parametrize("text", ["0m", "0w", "36501d", "9999999999999999w"])
def test_a_duration_of_nothing_or_of_ages_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is not between 1m and 36500d"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("0", 0),
        ("1000000", 1_000_000),
        ("7B", 7),
        ("3kB", 3_000),
        ("10GB", 10_000_000_000),
        ("1TB", 10**12),
        ("1KiB", 1_024),
        ("2MiB", 2 << 20),
        ("50GiB", 50 << 30),
        ("1TiB", 1 << 40),
        (str(MAX_SIZE), MAX_SIZE),
    ],
)
def test_a_size_is_a_number_and_perhaps_a_unit(text: str, meant: int) -> None:
    assert parse_size(text) == meant


@pytest.mark.parametrize(
    "text", ["", "GiB", "50 GiB", "50gib", "50G", "50Gb", "1.5GiB", "1,000", "-1", "0x10", "1e9", "٣", "1\n", "1" * 99]
)
def test_anything_else_is_no_size_and_the_refusal_has_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is no size: write 50GiB, 10GB, 500MB, or bytes as 1000000") as refused:
        parse_size(text)
    assert ascii(text)[:20] in str(refused.value)


@pytest.mark.parametrize("text", [str(MAX_SIZE + 1), "9000TiB"])
def test_a_size_that_nobody_can_send_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is more than {MAX_SIZE} bytes"):
        parse_size(text)
