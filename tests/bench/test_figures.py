"""Figures say what they are made of, and whether they reach what they have to."""

import pytest

from bench.figures import Series, Table, at_least, at_most, number, targets_table


def test_a_series_has_a_median_a_least_and_a_largest_value() -> None:
    series = Series.of([3.0, 1.0, 2.0, 9.0])
    assert (series.median, series.min, series.max) == (2.5, 1.0, 9.0)
    assert series.facts() == {"median": 2.5, "min": 1.0, "max": 9.0, "values": [3.0, 1.0, 2.0, 9.0]}


def test_a_series_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        Series.of([])


def test_a_percentile_is_within_what_was_measured() -> None:
    series = Series.of(range(101))
    assert (series.percentile(50), series.percentile(99)) == (50, 99)
    assert Series.of([7.0]).percentile(99) == 7.0


def test_a_target_is_met_on_its_side_of_the_limit_and_by_the_limit_itself() -> None:
    below, above = at_most("CPU", 3.9, "s/GiB"), at_least("rate", 1.25)
    assert [below.met(value) for value in (3.8, 3.9, 4.0)] == [True, True, False]
    assert [above.met(value) for value in (1.2, 1.25, 1.3)] == [False, True, True]


def test_a_target_that_is_missed_says_so_with_both_figures() -> None:
    missed = at_most("CPU of both sides", 3.9, "s/GiB").checked(4.51)
    assert missed.missed
    assert missed.sentence() == "CPU of both sides is 4.51 s/GiB, not at most 3.90 s/GiB"


def test_a_goal_that_is_not_reached_ends_nothing() -> None:
    goal = at_least("ratio", 1.5, goal=True).checked(1.3)
    assert not goal.met
    assert not goal.missed
    assert targets_table([goal]).rows[0][-1] == "not yet"


def test_a_table_is_text_and_markdown_with_figures_to_the_right() -> None:
    table = Table.of(["what", "MiB/s"], [["cp", number(2355)], ["towline", number(470.4)]])
    assert table.text() == "what     MiB/s\ncp       2,355\ntowline    470"
    assert table.markdown() == "| what | MiB/s |\n| --- | ---: |\n| cp | 2,355 |\n| towline | 470 |"


def test_a_row_that_lacks_a_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="each row has 2 cells"):
        Table.of(["a", "b"], [["1"]])


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1,234"), (99.96, "100.0"), (12.34, "12.3"), (3.456, "3.46"), (0, "0.00")]
)
def test_numbers_have_the_digits_that_matter(value: float, text: str) -> None:
    assert number(value) == text
