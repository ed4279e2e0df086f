"""Who gets a place. How the surplus is answered is tested with the engine."""

import pytest

from transfer.admission import MAX_SURPLUS, Places, Surplus, network_of


def test_one_address_gets_its_share_and_others_the_rest() -> None:
    places = Places(total=3, per_address=2)
    first, second = places.take("192.0.2.1"), places.take("192.0.2.1")
    assert first is not None
    assert second is not None
    assert places.take("192.0.2.1") is None
    assert places.take("192.0.2.2") is not None
    assert places.take("192.0.2.3") is None
    assert places.taken == 3


def test_an_address_of_a_proxy_is_that_of_many() -> None:
    places = Places(total=3, per_address=1, rate=1, burst=1, proxies=["192.0.2.0/24"])
    assert all(places.is_slow_enough("192.0.2.1", 0) for _ in range(9))
    assert all(places.take("::ffff:192.0.2.1") for _ in range(3))
    assert places.take("192.0.2.1") is None


def test_a_place_is_given_back_once() -> None:
    places = Places(total=2, per_address=1)
    place, other = places.take("192.0.2.1"), places.take("192.0.2.2")
    assert place is not None
    assert other is not None
    for _ in range(2):
        place.leave()
        assert places.taken == 1
    again = places.take("192.0.2.1")
    assert again is not None
    place.leave()
    assert places.taken == 2
    assert places.take("192.0.2.1") is None


def test_one_address_may_come_so_often_and_what_was_refused_does_not_count() -> None:
    places = Places(total=9, per_address=9, rate=2, burst=3)
    assert [places.is_slow_enough("192.0.2.1", 0) for _ in range(6)] == [True] * 3 + [False] * 3
    assert [places.is_slow_enough("192.0.2.1", 0.5) for _ in range(2)] == [True, False]
    assert [places.is_slow_enough("192.0.2.1", 100) for _ in range(4)] == [True] * 3 + [False]


def test_each_network_has_a_rate_of_its_own() -> None:
    places = Places(total=9, per_address=9, rate=1, burst=1)
    assert places.is_slow_enough("2001:db8:1:2::1", 0)
    assert not places.is_slow_enough("2001:db8:1:2::2", 0)
    assert places.is_slow_enough("2001:db8:1:3::1", 0)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("/run/towline.sock", "/run/towline.sock"),
    ],
)
def test_whom_an_address_belongs_to(address: str, network: str) -> None:
    assert network_of(address) == network


class Clock:
    """Stands in for a loop: tells the time that a test says, and calls nothing."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: object) -> "Clock":
        return self

    def cancel(self) -> None: ...


class Wire:
    """Stands in for the transport of a connection."""

    def __init__(self) -> None:
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


def turned_away(places: Places, clock: Clock) -> tuple[Surplus | None, bool]:
    """One more who got no place: how it waits, and whether it was reset."""
    wire = Wire()
    return places.turn_away("192.0.2.2", wire, b"", clock), wire.aborted  # type: ignore[arg-type]


def test_of_many_who_are_turned_away_the_log_tells_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    places, clock = Places(total=1, per_address=1), Clock()
    places.take("192.0.2.1")
    for clock.now in (0, 1, 59, 61, 62):
        turned_away(places, clock)
    assert caplog.messages == [
        "refused too_many: 192.0.2.2: 1 connections are open, 1 were turned away so far",
        "refused too_many: 192.0.2.2: 1 connections are open, 4 were turned away so far",
    ]


def test_only_so_many_wait_for_their_refusal() -> None:
    places, clock = Places(total=0, per_address=0), Clock()
    waiting = [turned_away(places, clock)[0] for _ in range(MAX_SURPLUS)]
    assert turned_away(places, clock) == (None, True)
    assert waiting[0] is not None
    waiting[0].gone()
    surplus, was_reset = turned_away(places, clock)
    assert (surplus is not None, was_reset) == (True, False)
