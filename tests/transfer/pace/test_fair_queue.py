"""Those who always want more get the same, whatever the size of their pieces."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.pace.fair_queue import FairQueue, Flow


class Greedy:
    """Always wants the next piece; its pieces have these sizes, one after another and again from the first."""

    def __init__(self, queue: FairQueue, sizes: list[int]) -> None:
        self.had = 0
        self.sizes = sizes
        self._count = 0
        self._queue, self._flow = queue, queue.join()
        self.ask()

    def ask(self) -> None:
        size = self.sizes[self._count % len(self.sizes)]
        self._count += 1

        def granted() -> None:
            self.had += size
            self.ask()

        self._queue.ask(self._flow, size, granted)


@given(st.lists(st.lists(st.integers(1, 4_096), min_size=1, max_size=4), min_size=1, max_size=6), st.integers(1, 200))
def test_what_the_greedy_had_differs_by_at_most_one_piece(pieces: list[list[int]], rounds: int) -> None:
    queue = FairQueue()
    greedy = [Greedy(queue, sizes) for sizes in pieces]
    for _ in range(rounds):
        queue.grant().granted()
        had = [flow.had for flow in greedy]
        assert max(had) - min(had) <= max(map(max, pieces))


def nothing() -> None: ...


def order(queue: FairQueue, names: dict[Flow, str], again: Callable[[Flow], None] = lambda _: None) -> list[str]:
    """Who is granted something, until nobody waits."""
    granted = []
    while queue:
        request = queue.grant()
        granted.append(names[request.flow])
        again(request.flow)
    return granted


def test_those_who_had_the_same_take_turns_in_the_order_in_which_they_asked() -> None:
    queue = FairQueue()
    flows = {queue.join(): name for name in "cab"}
    for flow in flows:
        queue.ask(flow, 1, nothing)
    assert order(queue, flows) == ["c", "a", "b"]


@pytest.mark.parametrize("claim", [0, 3])
def test_who_was_away_has_a_claim_to_so_much_of_what_it_did_not_take(claim: int) -> None:
    queue = FairQueue(claim)
    busy, idle = queue.join(), queue.join()
    for _ in range(100):
        queue.ask(busy, 1, nothing)
        queue.grant()
    left = {busy: 10, idle: 10}

    def again(flow: Flow) -> None:
        left[flow] -= 1
        if left[flow]:
            queue.ask(flow, 1, nothing)

    queue.ask(busy, 1, nothing)
    queue.ask(idle, 1, nothing)
    turns = order(queue, {busy: "busy", idle: "idle"}, again)
    assert turns[: claim + 1] == ["idle"] * (claim + 1)
    assert turns[claim + 1 : claim + 5].count("busy") == 2


def test_a_newcomer_has_no_claim() -> None:
    queue = FairQueue(claim=100)
    busy = queue.join()
    for _ in range(100):
        queue.ask(busy, 1, nothing)
        queue.grant()
    newcomer = queue.join()
    requests = [queue.ask(flow, 1, nothing) for flow in (busy, newcomer)]
    assert requests[1].start >= 99


def test_what_is_withdrawn_is_not_granted() -> None:
    queue = FairQueue()
    flows = {queue.join(): name for name in "abc"}
    requests = [queue.ask(flow, 1, nothing) for flow in flows]
    queue.withdraw(requests[0])
    queue.withdraw(requests[0])
    assert len(queue) == 2
    assert order(queue, flows) == ["b", "c"]
    queue.withdraw(requests[1])


def test_what_is_given_at_once_counts_as_what_was_asked_for() -> None:
    queue = FairQueue()
    had, had_not = queue.join(), queue.join()
    queue.give(had, 3)
    queue.ask(had, 1, nothing)
    queue.ask(had_not, 1, nothing)
    assert order(queue, {had: "had", had_not: "had not"}) == ["had not", "had"]
    assert (had.finish, had_not.finish) == (4, 1)
