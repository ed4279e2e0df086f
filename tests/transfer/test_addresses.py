"""Which addresses are the public internet's."""

import pytest

from transfer.addresses import is_public

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.1",
    "223.255.255.255",
    "2001:4860:4860::8888",
    "2606:4700::1111",
    "2a00:1450:4001:830::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]
INNER = [
    *("0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.254"),
    *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "100.127.255.255", "169.254.169.254"),
    *("192.0.0.1", "192.0.0.9", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
    *("224.0.0.1", "232.1.1.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "100::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%lo", "fec0::1", "ff02::1", "ff0e::1"),
    *("2001:db8::1", "2001:2::1", "2001:10::1", "3fff::1", "5f00::1", "4000::1", "64:ff9b:1::1"),
    *("2606:4700::1111%eth0", "::ffff:8.8.8.8%eth0", "::8.8.8.8", "::ffff:0:8.8.8.8"),
    # ISATAP: the address in it is public, its network is not
    *("fd12:3456::5efe:808:808", "fe80::5efe:808:808", "fc00::200:5efe:808:808", "ff02::5efe:808:808"),
    *("2001:db8::5efe:808:808", "100::5efe:808:808"),
]
CARRIED = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.0.1", "224.0.0.1", "0.0.0.0"]


def _hex(address: str) -> str:
    high, low = (int(a) * 256 + int(b) for a, b in zip(address.split(".")[::2], address.split(".")[1::2], strict=True))
    return f"{high:x}:{low:x}"


def _inverted(address: str) -> str:
    return ".".join(str(255 - int(part)) for part in address.split("."))


CARRYING = {
    "mapped": "::ffff:{dotted}",
    "compatible": "::{dotted}",
    "translated": "::ffff:0:{dotted}",
    "NAT64": "64:ff9b::{dotted}",
    "6to4": "2002:{hex}::1",
    "Teredo's server": "2001:0:{hex}:0:0:f7f7:f7f7",
    "Teredo's client": "2001:0:808:808:0:0:{inverted}",
    "ISATAP": "2606:4700::5efe:{dotted}",
    "ISATAP of a global address": "2606:4700::200:5efe:{dotted}",
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", INNER)
def test_others_are_not(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("carried", CARRIED)
@pytest.mark.parametrize("way", CARRYING)
def test_an_inner_address_inside_another_one_is_found(way: str, carried: str) -> None:
    address = CARRYING[way].format(dotted=carried, hex=_hex(carried), inverted=_hex(_inverted(carried)))
    assert not is_public(address)


@pytest.mark.parametrize("way", ["mapped", "NAT64", "6to4", "ISATAP", "ISATAP of a global address"])
def test_a_public_address_inside_another_one_is_public(way: str) -> None:
    assert is_public(CARRYING[way].format(dotted="8.8.8.8", hex=_hex("8.8.8.8")))


def test_teredo_passes_two_and_both_count() -> None:
    assert is_public(CARRYING["Teredo's server"].format(hex=_hex("8.8.8.8")))


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "0x7f000001", "2130706433", "8.8.8.8 ", "8.8.8.08"])
def test_what_is_no_address_is_not_public(text: str) -> None:
    assert not is_public(text)
