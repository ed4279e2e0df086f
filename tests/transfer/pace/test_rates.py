"""Whose rate it is, and in what pieces bytes move at one."""

from dataclasses import replace

import pytest

from tests.clock import Clock
from transfer.access.principal import ANONYMOUS, NOBODY, SCOPES, Principal, Visit
from transfer.pace.rates import Rates, caller_of, piece_of, window_of
from transfer.protocol.errors import TooMany
from transfer.protocol.limits import MIB
from transfer.settings import Settings

ALICE = Principal(subject="alice", scopes=SCOPES)


def test_a_subject_is_one_caller_wherever_it_is() -> None:
    assert caller_of(ALICE, "192.0.2.1") == caller_of(replace(ALICE, prefix="a/"), "192.0.2.2")
    assert caller_of(ALICE, "192.0.2.1") != caller_of(replace(ALICE, subject="bob"), "192.0.2.1")


def test_the_anonymous_are_as_many_as_there_are_networks() -> None:
    assert caller_of(ANONYMOUS, "192.0.2.1") != caller_of(ANONYMOUS, "192.0.2.2")
    assert caller_of(NOBODY, "192.0.2.1") == caller_of(ANONYMOUS, "192.0.2.1")
    assert caller_of(ANONYMOUS, "2001:db8::1") == caller_of(ANONYMOUS, "2001:db8::2")


def test_a_visitor_takes_nothing_from_whose_link_it_is_and_gets_no_more_by_another_name() -> None:
    visitors = [replace(ALICE, visit=Visit("link", visitor, None)) for visitor in ("one", "other")]
    callers = {caller_of(visitor, "192.0.2.1") for visitor in visitors}
    assert len(callers) == 1
    assert callers.isdisjoint([caller_of(ALICE, "192.0.2.1"), caller_of(visitors[0], "192.0.2.2")])


def test_nobody_is_somebody_else_by_their_name() -> None:
    impostor = replace(ALICE, subject="anonymous 192.0.2.1")
    assert caller_of(impostor, "") != caller_of(ANONYMOUS, "192.0.2.1")


def test_requests_of_one_do_not_count_for_another() -> None:
    clock = Clock()
    rates = Rates(Settings(request_rate=2, request_burst=1), clock)
    rates.take_request("a")
    rates.take_request("b")
    with pytest.raises(TooMany, match="more than 2 requests a second") as refused:
        rates.take_request("a")
    assert refused.value.retryable
    assert refused.value.facts == {"limit": 2, "retry_after": 1}
    clock.advance(0.5)
    rates.take_request("a")


@pytest.mark.parametrize(
    ("rate", "piece", "window"),
    [(None, MIB, 32 * MIB), (1, 1_024, 1_024), (MIB, MIB // 4, MIB), (100 * MIB, MIB, 32 * MIB)],
)
def test_bytes_move_in_quarters_of_a_second_and_a_second_of_them_is_on_its_way(
    rate: int | None, piece: int, window: int
) -> None:
    assert (piece_of(rate, MIB), window_of(rate, 32 * MIB)) == (piece, window)
