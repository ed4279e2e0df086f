"""However many keys come, few are remembered: those that took something a short while ago."""

from hypothesis import given
from hypothesis import strategies as st

from transfer.pace.buckets import Buckets


def test_each_key_has_its_own() -> None:
    buckets = Buckets(rate=1, burst=2)
    assert [buckets.of("a", 0).take(1, 0) for _ in range(3)] == [True, True, False]
    assert buckets.of("b", 0).take(1, 0)
    assert buckets.of("a", 1).take(1, 1)


def test_those_that_are_full_again_are_forgotten() -> None:
    buckets = Buckets(rate=2, burst=2)
    for number in range(10_000):
        now = number / 1_024
        assert buckets.of(str(number), now).take(2, now)
        assert len(buckets) <= 1_024 + 2
    buckets.of("last", 1_000)
    buckets.of("last", 1_000)
    assert len(buckets) < 1_024


@given(st.lists(st.integers(0, 40), max_size=200))
def test_there_are_never_more_than_the_most(keys: list[int]) -> None:
    buckets = Buckets(rate=0.001, burst=1, most=8)
    for key in keys:
        buckets.of(str(key), 0).owe(1, 0)
        assert len(buckets) <= 8
    assert all(buckets.of(str(key), 0).lacks(0) for key in dict.fromkeys(keys[-8:]))


def test_the_one_that_was_not_asked_for_the_longest_goes() -> None:
    buckets = Buckets(rate=1, burst=1, most=2)
    for key in ("a", "b", "a", "c"):
        buckets.of(key, 0).owe(1, 0)
    assert buckets.of("a", 0).lacks(0) == 2
    assert buckets.of("b", 0).lacks(0) == 0


def test_one_that_somebody_held_on_to_comes_back() -> None:
    buckets = Buckets(rate=1, burst=1, most=1)
    held = buckets.of("a", 0)
    buckets.of("b", 0).owe(1, 0)
    held.owe(1, 0)
    buckets.keep("a", held, 0)
    assert buckets.of("a", 0) is held
