"""The guard of instructions: what differs from the baseline is said, and what was not compared never passes as well."""

from dataclasses import replace

import pytest

from bench.instructions.comparison import CHANGED, NOT_COMPARED, SAME, Count, compare
from bench.instructions.counted import COUNTED_MIB, costs, costs_of_libraries

BASELINE = Count(
    {"Python": "3.11.7", "valgrind": "3.19.0"},
    "0123",
    {"receiving": {"copies": 1_000_000, "all else": 200_000}, "sending": {"copies": 300_000}},
)


def with_receiving(**costs: int) -> Count:
    return replace(BASELINE, paths={**BASELINE.paths, "receiving": {"copies": 1_000_000, "all else": 200_000, **costs}})


@pytest.mark.parametrize("copies", [950_000, 1_000_000, 1_050_000])
def test_what_is_within_five_percent_passes(copies: int) -> None:
    assert compare(with_receiving(copies=copies), BASELINE).exit_code == SAME


@pytest.mark.parametrize(("copies", "percent"), [(1_050_001, "+5.0%"), (2_000_000, "+100.0%"), (949_999, "-5.0%")])
def test_more_and_less_than_that_is_named_and_fails(copies: int, percent: str) -> None:
    verdict = compare(with_receiving(copies=copies), BASELINE)
    assert verdict.exit_code == CHANGED
    assert verdict.sentences == (
        f"receiving, copies: {copies:,} instructions per MiB instead of 1,000,000, {percent}",
        "where that is meant: ./run instructions --record, and commit what it writes",
    )


def test_a_small_figure_hides_behind_no_large_one() -> None:
    verdict = compare(with_receiving(**{"all else": 220_000}), BASELINE)
    assert verdict.exit_code == CHANGED
    assert "all else" in verdict.sentences[0]


@pytest.mark.parametrize("paths", [{}, {**BASELINE.paths, "reading": {"copies": 1}}], ids=["gone", "new"])
def test_a_path_that_only_one_of_them_has_is_a_change(paths: dict[str, dict[str, int]]) -> None:
    assert compare(replace(BASELINE, paths=paths), BASELINE).exit_code == CHANGED


def test_without_a_baseline_nothing_passes() -> None:
    verdict = compare(BASELINE, None)
    assert verdict.exit_code == CHANGED
    assert "there is no baseline" in verdict.sentences[0]


def test_another_environment_is_not_compared_and_does_not_pass() -> None:
    elsewhere = replace(with_receiving(copies=5), environment={"Python": "3.12.1", "valgrind": "3.19.0"})
    verdict = compare(elsewhere, BASELINE)
    assert verdict.exit_code == NOT_COMPARED
    assert "Python 3.12.1, not 3.11.7" in verdict.sentences[0]
    assert "valgrind" not in verdict.sentences[0]


def test_another_lock_is_compared_and_named_where_figures_changed() -> None:
    assert compare(replace(BASELINE, lock="4567"), BASELINE).exit_code == SAME
    changed = compare(replace(with_receiving(copies=5), lock="4567"), BASELINE)
    assert "requirements.lock is not the one of the baseline" in changed.sentences


def test_a_count_is_read_as_it_was_written() -> None:
    assert Count.read(BASELINE.written()) == BASELINE


PROFILE = """\
version: 1
events: Ir

ob=(1) /usr/lib/x86_64-linux-gnu/libc.so.6
fl=(1) memmove.S
fn=(1) memcpy
0 64
ob=(2) /usr/lib/libpython3.11.so.1.0
fn=(2) call
0 32
cob=(3) /usr/lib/x86_64-linux-gnu/libcrypto.so.3
cfn=(3) digest
calls=1 0
0 9999
+3 32

ob=(3)
fn=(3)
0 128

totals: 256
"""


def test_costs_are_of_the_library_that_ran_and_not_of_its_callers() -> None:
    assert {path.rpartition("/")[2]: cost for path, cost in costs_of_libraries(PROFILE).items()} == {
        "libc.so.6": 64,
        "libpython3.11.so.1.0": 64,
        "libcrypto.so.3": 128,
    }
    per_mib = {"digests and checksums": 128, "copies and masks": 64, "all else": 64}
    assert costs(PROFILE) == {purpose: round(cost / COUNTED_MIB) for purpose, cost in per_mib.items()}


def test_a_profile_that_was_not_understood_is_refused() -> None:
    with pytest.raises(ValueError, match="sum up to 256, not to 257"):
        costs_of_libraries(PROFILE.replace("totals: 256", "totals: 257"))
    with pytest.raises(ValueError, match="sum up"):
        costs_of_libraries("")
