"""Addresses of connections, and the networks that an operator has named: untrusted text becomes an address here."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
_WITH_PORT: Final = re.compile(
    r"\[(?P<v6>[0-9a-f:.]+)\](?::[0-9]{1,5})?|(?P<v4>[0-9.]+):[0-9]{1,5}", re.IGNORECASE | re.ASCII
)
"""An address with brackets or a port around it."""


class Peers:
    """A set of networks. Raises ValueError for what is none."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(map(parse_network, networks))

    def __contains__(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def parse_network(text: str) -> Network:
    """An address, or a network like 10.0.0.0/8. Raises ValueError."""
    try:
        return ip_network(text)
    except ValueError:
        raise ValueError("a peer is an address like 127.0.0.1, or a network like 10.0.0.0/8") from None


def parse_address(text: str) -> Address | None:
    """An address, which may have brackets and a port around it; None for anything else. IPv4 inside IPv6 is IPv4."""
    match = _WITH_PORT.fullmatch(text)
    try:
        address = ip_address(text if match is None else match["v6"] or match["v4"])
    except ValueError:
        return None
    return address if isinstance(address, IPv4Address) else address.ipv4_mapped or address
