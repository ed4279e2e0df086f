"""Time that peers have, on a clock that stands still until it is moved."""

import asyncio
from typing import cast

import pytest

from tests.clock import Clock
from transfer.deadlines import STEPS, Deadline, Pace


class Missed:
    """A deadline, and how often it was missed."""

    def __init__(self, clock: Clock) -> None:
        self.count = 0
        self.deadline = Deadline(cast(asyncio.AbstractEventLoop, clock), self._missed)

    def _missed(self) -> None:
        self.count += 1


def test_a_deadline_is_missed_once_when_its_time_is_over() -> None:
    clock = Clock()
    missed = Missed(clock)
    missed.deadline.start(8)
    clock.advance(7.9)
    assert missed.count == 0
    clock.advance(0.2)
    assert missed.count == 1
    clock.advance(100)
    assert missed.count == 1


def test_a_deadline_that_is_stopped_is_not_missed() -> None:
    clock = Clock()
    missed = Missed(clock)
    missed.deadline.start(8)
    clock.advance(7)
    missed.deadline.stop()
    clock.advance(100)
    missed.deadline.stop()
    assert missed.count == 0


def test_a_deadline_that_starts_anew_forgets_what_was() -> None:
    clock = Clock()
    missed = Missed(clock)
    missed.deadline.start(8)
    clock.advance(7)
    missed.deadline.start(4)
    clock.advance(3.9)
    assert missed.count == 0
    clock.advance(0.2)
    assert missed.count == 1


def test_a_process_that_did_not_run_takes_one_step_from_a_deadline() -> None:
    clock = Clock()
    missed = Missed(clock)
    missed.deadline.start(8)
    for _ in range(STEPS - 1):
        clock.stall(1_000)
        assert missed.count == 0
    clock.stall(1_000)
    assert missed.count == 1


@pytest.mark.parametrize(("rate", "slow"), [(9.0, True), (10.0, False), (1_000.0, False)])
def test_what_counts_is_the_average_of_a_period(rate: float, slow: bool) -> None:
    pace, received = Pace(10, 60), 0.0
    for _ in range(59):
        received += rate
        assert not pace.waited(1, int(received))
    assert pace.waited(1, int(received + rate)) is slow


def test_what_came_in_an_earlier_period_does_not_help() -> None:
    pace = Pace(10, 60)
    waits = [pace.waited(pace.step, 1_000_000) for _ in range(2 * STEPS)]
    assert waits == [False] * (2 * STEPS - 1) + [True]


def test_bytes_that_came_while_nobody_waited_count() -> None:
    pace = Pace(10, 60)
    pace.begin(5)
    assert [pace.waited(pace.step, 605) for _ in range(STEPS)] == [False] * STEPS


def test_a_process_that_did_not_run_has_waited_one_step() -> None:
    pace = Pace(10, 60)
    assert [pace.waited(10_000, 0) for _ in range(STEPS)] == [False] * (STEPS - 1) + [True]
