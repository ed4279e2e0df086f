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
