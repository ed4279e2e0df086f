"""Times of change on their way through the protocol."""

from datetime import UTC, datetime

import pytest

from client.moments import moment_of, nanoseconds_of


@pytest.mark.parametrize(
    ("nanoseconds", "moment"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (1_772_368_259_123_457_999, datetime(2026, 3, 1, 12, 30, 59, 123_457, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ],
    ids=["the epoch", "to the microsecond", "before the epoch"],
)
def test_a_time_is_told_to_the_microsecond_and_comes_back_the_same(nanoseconds: int, moment: datetime) -> None:
    assert moment_of(nanoseconds) == moment
    assert moment_of(nanoseconds_of(moment)) == moment
    assert 0 <= nanoseconds - nanoseconds_of(moment) < 1_000


def test_a_time_that_no_date_can_be_is_none() -> None:
    assert moment_of(300_000_000_000 * 10**9) is None
