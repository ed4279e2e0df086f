"""What failing costs, on a clock that stands still until it is moved."""

import asyncio
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.clock import Clock
from transfer.access.attempts import (
    FIRST_SECONDS,
    FORGOTTEN_AFTER,
    FREE,
    LONGEST_SECONDS,
    MAX_WAITING,
    MAX_WAITING_PER_ADDRESS,
    MOST,
    FailedAttempts,
    Failures,
    penalty,
)
from transfer.protocol.errors import TooMany

ATTACKER, OTHER = "192.0.2.1", "192.0.2.2"


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000.0)


@pytest.fixture
def attempts(clock: Clock) -> FailedAttempts:
    return FailedAttempts(clock)


async def settled() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def fail(attempts: FailedAttempts, address: str = ATTACKER, count: int = 1) -> "list[asyncio.Task[None]]":
    """So many failures, one after another, each as far as it gets."""
    tasks = []
    for _ in range(count):
        tasks.append(asyncio.create_task(attempts.failed(address)))
        await settled()
    return tasks


async def end(tasks: "list[asyncio.Task[None]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_the_first_cost_nothing_and_each_after_them_twice_the_one_before() -> None:
    seconds = [penalty(failures) for failures in range(FREE + 1, MOST + 5)]
    assert [penalty(failures) for failures in range(FREE + 1)] == [0] * (FREE + 1)
    assert seconds[:7] == [0.25, 0.5, 1, 2, 4, 8, 16]
    assert set(seconds[7:]) == {LONGEST_SECONDS}


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 7.5, 60.0, 240.0]), st.booleans()), max_size=60))
def test_failures_are_forgotten_with_time_and_with_nothing_else(history: list[tuple[float, bool]]) -> None:
    failures, now, expected = Failures(), 0.0, 0.0
    for pause, fails in history:
        now += pause
        expected = max(0.0, expected - pause / FORGOTTEN_AFTER)
        if fails:
            expected = min(MOST, expected + 1)
            assert failures.add("a", now) == pytest.approx(expected)
        assert failures.count("a", now) == pytest.approx(expected, abs=1e-9)


def test_whoever_tried_for_days_waits_no_longer_than_a_quarter_of_an_hour() -> None:
    failures = Failures()
    for second in range(100_000):
        failures.add("a", second)
    assert penalty(failures.count("a", 100_000)) == LONGEST_SECONDS
    assert penalty(failures.count("a", 100_000 + 900)) == 0


async def test_the_answer_waits_for_as_long_as_it_costs(attempts: FailedAttempts, clock: Clock) -> None:
    tasks = await fail(attempts, count=FREE)
    assert all(task.done() for task in tasks)
    (first,) = await fail(attempts)
    (second,) = await fail(attempts)
    assert not first.done()
    clock.advance(FIRST_SECONDS)
    await settled()
    assert (first.done(), second.done()) == (True, False)
    clock.advance(FIRST_SECONDS)
    await settled()
    assert second.done()
    assert not clock.waits


async def test_only_so_many_answers_of_one_address_wait(attempts: FailedAttempts, clock: Clock) -> None:
    waiting = await fail(attempts, count=FREE + MAX_WAITING_PER_ADDRESS)
    with pytest.raises(TooMany, match="too many attempts") as refused:
        await attempts.failed(ATTACKER)
    assert (refused.value.retryable, refused.value.facts) == (True, {"retry_after": 4})
    assert not (await fail(attempts, OTHER))[0].exception()
    clock.advance(LONGEST_SECONDS)
    await settled()
    assert all(task.done() for task in waiting)
    again = await fail(attempts)
    assert not again[0].done()
    await end(again)


async def test_only_so_many_answers_wait_in_all(attempts: FailedAttempts, clock: Clock) -> None:
    tasks = []
    for number in range(MAX_WAITING // MAX_WAITING_PER_ADDRESS):
        tasks += await fail(attempts, f"198.51.100.{number}", FREE + MAX_WAITING_PER_ADDRESS)
    tasks += await fail(attempts, count=FREE)
    with pytest.raises(TooMany):
        await attempts.failed(ATTACKER)
    await end(tasks[-FREE - 10 :])
    assert not any(task.done() for task in tasks[FREE : FREE + MAX_WAITING_PER_ADDRESS])
    await end(tasks)
    assert not clock.waits


async def test_whoever_gives_up_makes_room(attempts: FailedAttempts, clock: Clock) -> None:
    tasks = await fail(attempts, count=FREE + MAX_WAITING_PER_ADDRESS)
    await end(tasks)
    assert not clock.waits
    (task,) = await fail(attempts)
    assert not task.done()
    await end([task])


async def test_an_address_is_its_network(attempts: FailedAttempts) -> None:
    await fail(attempts, "2001:db8::1", FREE)
    (same,) = await fail(attempts, "2001:db8::2")
    (other,) = await fail(attempts, "2001:db8:0:1::1")
    assert (same.done(), other.done()) == (False, True)
    await end([same])


def may_guess(attempts: FailedAttempts, address: str = ATTACKER) -> bool:
    try:
        with attempts.guess(address):
            return True
    except TooMany:
        return False


async def test_nobody_guesses_while_as_many_wait_as_may(attempts: FailedAttempts, clock: Clock) -> None:
    waiting = await fail(attempts, count=FREE + MAX_WAITING_PER_ADDRESS - 1)
    assert may_guess(attempts)
    waiting += await fail(attempts)
    assert not may_guess(attempts)
    assert may_guess(attempts, OTHER)
    clock.advance(LONGEST_SECONDS)
    await settled()
    assert may_guess(attempts)
    await end(waiting)


async def test_guesses_at_the_same_time_are_as_few_as_if_each_were_wrong(attempts: FailedAttempts) -> None:
    with ExitStack() as guesses:
        for _ in range(FREE):
            guesses.enter_context(attempts.guess(ATTACKER))
        assert not may_guess(attempts)
        assert may_guess(attempts, OTHER)
    assert may_guess(attempts)


async def test_whom_nothing_is_held_against_may_guess_however_many_wait(attempts: FailedAttempts) -> None:
    tasks = []
    for number in range(MAX_WAITING // MAX_WAITING_PER_ADDRESS):
        tasks += await fail(attempts, f"198.51.100.{number}", FREE + MAX_WAITING_PER_ADDRESS)
    assert may_guess(attempts, OTHER)
    await end(tasks)
