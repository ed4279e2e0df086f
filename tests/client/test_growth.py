"""More connections where congestion control holds back those there are, as long as they make the whole faster."""

import pytest

from client.growth import (
    MOST_CONNECTIONS,
    NEAR_SECONDS,
    REST_WINDOWS,
    SETTLING_WINDOWS,
    TRIAL_WINDOWS,
    Growth,
    Measure,
    growth_by,
)

RATE = 180_000.0
FAR = 0.1


def judged(growth: Growth, *rates: float, held_back: float | None = 1.0, round_trip: float | None = FAR) -> list[int]:
    """How many connections it wants after each window."""
    wanted = list[int]()
    for rate in rates:
        before = growth.wanted
        assert growth.judge(Measure(rate, held_back, round_trip)) == (growth.wanted != before)
        wanted.append(growth.wanted)
    return wanted


def lossy(growth: Growth, windows: int) -> list[int]:
    """On a link on which each connection gets the same, however many there are."""
    wanted = [growth.wanted]
    for _ in range(windows):
        growth.judge(Measure(RATE * wanted[-1], 1.0, FAR))
        wanted.append(growth.wanted)
    return wanted


def test_a_link_that_gives_each_connection_the_same_gets_all_of_them() -> None:
    assert lossy(Growth(), 11) == [1, 1, 4, 4, 4, 4, 8, 8, 8, 8, 8, 8]


def test_there_are_never_more_than_the_most() -> None:
    assert max(lossy(Growth(), 100)) == MOST_CONNECTIONS
    assert max(lossy(Growth(most=3), 100)) == 3


def test_what_does_not_make_it_faster_is_closed_and_not_tried_again_at_once() -> None:
    """The longer it has been so, the longer it is left at that."""
    growth, settling, trial = Growth(), SETTLING_WINDOWS, TRIAL_WINDOWS
    on_trial = [4] * (settling + trial)
    assert judged(growth, *[RATE] * (2 + settling + trial)) == [1, *on_trial, 1]
    assert growth.reason == "more did not make it faster"
    for rest in (REST_WINDOWS, 2 * REST_WINDOWS):
        alone = settling + trial - 1 + rest
        assert judged(growth, *[RATE] * (alone + 1 + settling + trial)) == [1] * alone + [*on_trial, 1]


def test_the_fewer_that_were_worth_it_stay() -> None:
    rates = [*[RATE] * 2, *[0.0] * SETTLING_WINDOWS, *[3 * RATE] * 20]
    assert judged(Growth(), *rates)[:11] == [1, 4, 4, 4, 4, 8, 8, 8, 8, 4, 4]


def test_a_near_server_needs_no_second_connection() -> None:
    assert set(judged(Growth(), *[RATE] * 50, round_trip=NEAR_SECONDS / 2)) == {1}


@pytest.mark.parametrize("held_back", [0.0, 0.5])
def test_what_something_else_holds_back_gets_no_faster_by_more(held_back: float) -> None:
    """The receiver, the source, a limit that somebody set."""
    assert set(judged(Growth(), *[RATE] * 50, held_back=held_back)) == {1}


def test_a_rate_that_still_grows_is_waited_for() -> None:
    assert judged(Growth(), *(RATE * 2**n for n in range(8))) == [1] * 8


def test_where_the_system_tells_nothing_throughput_alone_decides() -> None:
    assert judged(Growth(), RATE, RATE, held_back=None, round_trip=None) == [1, 4]


def test_a_rate_at_which_nothing_is_held_back_any_more_is_enough() -> None:
    """So ends the slow start of one that fills the link."""
    growth = Growth()
    assert not growth.judge(Measure(9 * RATE, 1.0, FAR))
    assert not growth.judge(Measure(10 * RATE, 0.2, FAR))
    assert not growth.judge(Measure(10 * RATE, 1.0, FAR))
    assert growth.judge(Measure(10 * RATE, 1.0, FAR))


def test_a_sender_whom_losses_do_not_slow_down_stays_alone() -> None:
    assert growth_by(bears_losses=True) is None
    assert growth_by(bears_losses=False) is not None


def test_one_of_several_files_gets_no_more_than_its_share() -> None:
    assert growth_by(bears_losses=False, most=1) is None
    assert growth_by(bears_losses=True, most=8) is None
    growth = growth_by(bears_losses=False, most=2)
    assert growth is not None
    for _ in range(20):
        growth.judge(Measure(1e6, 1.0, 0.1))
        assert growth.wanted <= 2
