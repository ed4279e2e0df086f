"""Never more than the burst and what flowed in; times and amounts are such that floats are exact."""

from hypothesis import given
from hypothesis import strategies as st

from transfer.protocol.bucket import Bucket

RATES = st.sampled_from([0.25, 1.0, 8.0, 4_096.0])
AMOUNTS = st.integers(0, 64).map(lambda quarters: quarters / 4)
PAUSES = st.integers(0, 4_096).map(lambda pieces: pieces / 1_024)
STARTS = st.sampled_from([0.0, -7.0, 1_048_576.0])


@given(RATES, AMOUNTS, STARTS, st.lists(st.tuples(PAUSES, AMOUNTS)))
def test_never_more_than_the_burst_and_what_flowed_in(
    rate: float, burst: float, start: float, takings: list[tuple[float, float]]
) -> None:
    bucket, now = Bucket(rate, burst), start
    taken: list[tuple[float, float]] = []
    for pause, amount in takings:
        now += pause
        if amount <= burst and bucket.take(amount, now):
            taken.append((now, amount))
    for first, (began, _) in enumerate(taken):
        for last in range(first, len(taken)):
            amount = sum(amount for _, amount in taken[first : last + 1])
            assert amount <= burst + rate * (taken[last][0] - began)


@given(RATES, AMOUNTS, STARTS, st.lists(st.tuples(PAUSES, AMOUNTS)))
def test_all_that_flows_in_can_be_taken(
    rate: float, burst: float, start: float, takings: list[tuple[float, float]]
) -> None:
    """Whoever takes as soon as it may, and never lets it overflow, gets everything: nothing is lost to rounding."""
    bucket, now, total = Bucket(rate, burst), start, 0.0
    for _, amount in takings:
        amount = min(amount, burst)
        now += bucket.wait(amount, now)
        assert bucket.take(amount, now)
        total += amount
        assert total <= burst + rate * (now - start)
        assert bucket.lacks(now) == total - rate * (now - start)


@given(RATES, AMOUNTS, st.lists(AMOUNTS))
def test_a_debt_is_paid_before_anything_else_is_given(rate: float, burst: float, owed: list[float]) -> None:
    bucket = Bucket(rate, burst)
    for amount in owed:
        bucket.owe(amount, 0)
    assert bucket.lacks(0) == sum(owed)
    assert bucket.wait(0, 0) == max(0, sum(owed) - burst) / rate
    assert bucket.wait(burst, 0) == sum(owed) / rate
    assert bucket.lacks(sum(owed) / rate) == 0


@given(RATES, AMOUNTS, AMOUNTS, PAUSES)
def test_what_is_refused_costs_nothing(rate: float, burst: float, amount: float, pause: float) -> None:
    bucket = Bucket(rate, burst)
    bucket.owe(amount, 0)
    before = bucket.lacks(pause)
    while bucket.take(1, pause):
        before += 1
    assert bucket.lacks(pause) == before


@given(RATES, AMOUNTS, AMOUNTS)
def test_more_than_the_burst_needs_a_full_bucket_and_leaves_a_debt(rate: float, burst: float, more: float) -> None:
    bucket = Bucket(rate, burst)
    bucket.owe(1, 0)
    assert not bucket.take(burst + more + 0.25, 1 / rate - 1 / 65_536)
    assert bucket.take(burst + more + 0.25, 1 / rate)
    assert bucket.wait(0, 1 / rate) == (more + 0.25) / rate


def test_a_million_takings_drift_by_less_than_one() -> None:
    bucket, now = Bucket(3.0, 1.0), 1_000_000.0
    for _ in range(1_000_000):
        bucket.owe(0.1, now)
        now += 0.1 / 3.0
    assert abs(bucket.lacks(now) - bucket.lacks(1_000_000.0) + 3.0 * (now - 1_000_000.0)) < 0.1
    assert bucket.lacks(now) < 1
