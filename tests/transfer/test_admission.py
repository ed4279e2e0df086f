"""Who gets a place. How the surplus is answered is tested with the engine."""

import pytest

from transfer.admission import Places, network_of


def test_one_address_gets_its_share_and_others_the_rest() -> None:
    places = Places(total=3, per_address=2)
    first, second = places.take("192.0.2.1"), places.take("192.0.2.1")
    assert first is not None
    assert second is not None
    assert places.take("192.0.2.1") is None
    assert places.take("192.0.2.2") is not None
    assert places.take("192.0.2.3") is None
    assert places.taken == 3


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


def test_of_many_who_are_turned_away_the_log_tells_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    places = Places(total=1, per_address=1)
    places.take("192.0.2.1")
    for second in (0, 1, 59, 61, 62):
        places.turned_away("192.0.2.2", float(second))
    assert caplog.messages == [
        "refused too_many: 192.0.2.2: 1 connections are open, 1 were turned away so far",
        "refused too_many: 192.0.2.2: 1 connections are open, 4 were turned away so far",
    ]
