"""All windows together have one bound, nobody is left without a chunk, and what one gives up another gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.budget import ReceiveBudget
from transfer.protocol import limits

TOTAL, WINDOW, CHUNK = 100, 40, 5


@pytest.fixture
def budget() -> ReceiveBudget:
    return ReceiveBudget(TOTAL, WINDOW, CHUNK)


def test_the_defaults_are_the_protocols() -> None:
    budget = ReceiveBudget()
    assert budget.chunk_size == limits.CHUNK_SIZE
    assert [budget.grant(holder) for holder in range(8)] == [limits.WINDOW] * 8
    assert budget.grant(8) == limits.CHUNK_SIZE
    assert 8 * limits.WINDOW == limits.RECEIVE_BUDGET


def test_one_alone_gets_a_whole_window(budget: ReceiveBudget) -> None:
    assert budget.grant("a") == WINDOW


def test_a_newcomer_gets_what_is_free_and_the_others_shrink_with_their_next_grant(budget: ReceiveBudget) -> None:
    assert [budget.grant(holder) for holder in "abc"] == [40, 40, 20]
    assert [budget.grant(holder) for holder in "abc"] == [33, 33, 33]


def test_nobody_is_left_without_a_chunk(budget: ReceiveBudget) -> None:
    holders = range(50)
    assert all(budget.grant(holder) >= CHUNK for holder in holders)
    assert {budget.grant(holder) for holder in holders} == {CHUNK}


def test_windows_grow_again_when_others_are_gone(budget: ReceiveBudget) -> None:
    for _ in range(2):
        for holder in "abcde":
            budget.grant(holder)
    assert budget.grant("a") == 20
    for holder in "bcde":
        budget.leave(holder)
    assert budget.grant("a") == WINDOW


def test_looking_at_a_window_does_not_change_it(budget: ReceiveBudget) -> None:
    budget.grant("a")
    budget.grant("b")
    budget.grant("c")
    assert [budget.granted("a"), budget.granted("a")] == [40, 40]
    assert budget.grant("a") == 33
    assert budget.granted("a") == 33


def test_looking_at_the_window_of_one_who_has_none_joins(budget: ReceiveBudget) -> None:
    assert budget.granted("a") == WINDOW
    assert [budget.grant("b"), budget.grant("c")] == [40, 20]


def test_who_never_joined_may_leave(budget: ReceiveBudget) -> None:
    budget.leave("a")
    assert budget.grant("b") == WINDOW


def test_a_chunk_larger_than_everything_is_granted_all_the_same() -> None:
    budget = ReceiveBudget(10, 5, 1_000)
    assert [budget.grant("a"), budget.grant("b")] == [1_000, 1_000]


@given(
    total=st.integers(1, 200),
    window=st.integers(1, 200),
    chunk=st.integers(1, 50),
    steps=st.lists(st.tuples(st.sampled_from(["grant", "granted", "leave"]), st.integers(0, 9)), max_size=60),
)
def test_the_bound_holds_whoever_comes_and_goes(
    total: int, window: int, chunk: int, steps: list[tuple[str, int]]
) -> None:
    budget, windows = ReceiveBudget(total, window, chunk), dict[int, int]()
    for step, holder in steps:
        if step == "leave":
            budget.leave(holder)
            windows.pop(holder, None)
            continue
        before = windows.get(holder)
        windows[holder] = budget.grant(holder) if step == "grant" else budget.granted(holder)
        assert chunk <= windows[holder] <= max(window, chunk)
        assert step == "grant" or before in (None, windows[holder])
        assert sum(windows.values()) <= total + chunk * len(windows)


@given(total=st.integers(1, 10_000), window=st.integers(1, 1_000), chunk=st.integers(1, 50), count=st.integers(1, 30))
def test_after_two_rounds_all_have_the_same(total: int, window: int, chunk: int, count: int) -> None:
    budget = ReceiveBudget(total, window, chunk)
    for _ in range(2):
        for holder in range(count):
            budget.grant(holder)
    assert len({budget.grant(holder) for holder in range(count)}) == 1
