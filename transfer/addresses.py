"""Which IP addresses are the public internet's: the others are somebody's own network, and not a proxy's business.

Python's `is_global` is true for some that lead elsewhere (in 3.11: 6to4, NAT64, multicast, site-local), so an IPv4
address that is carried inside an IPv6 one is taken out and judged first, and of IPv6 only global unicast is left.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
"""RFC 4291, section 2.4, and the IANA registry of IPv6 address space: nothing else has been allocated."""
_NAT64: Final = IPv6Network("64:ff9b::/96")
"""RFC 6052, section 2.1."""
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)
"""RFC 5214, section 6.1: interface identifiers that end with an IPv4 address."""
_SPECIAL: Final = (
    IPv6Network("2001::/23"),  # IETF protocol assignments, RFC 2928; Teredo is looked into before
    IPv6Network("2001:db8::/32"),  # documentation, RFC 3849
    IPv6Network("3fff::/20"),  # documentation, RFC 9637
)
_SPECIAL_IPV4: Final = (
    IPv4Network("192.0.0.0/24"),  # RFC 6890; its anycast addresses are answered by the nearest router (RFC 7723)
    IPv4Network("192.88.99.0/24"),  # 6to4 relays, given up by RFC 7526
)


def is_public(text: str) -> bool:
    """Whether this numeric address is a public one; what is no address is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return _is_public_ipv4(address)
    if address.scope_id is not None or not all(map(_is_public_ipv4, _passed(address))):
        return False
    return _stands_for_ipv4(address) or (
        address in _GLOBAL_UNICAST and address.is_global and not any(address in network for network in _SPECIAL)
    )


def _stands_for_ipv4(address: IPv6Address) -> bool:
    """Whether the address is nothing but a way to write, or to reach, an IPv4 one."""
    known = (address.ipv4_mapped, address.sixtofour, address.teredo)
    return address in _NAT64 or any(carried is not None for carried in known)


def _passed(address: IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses that a packet to this IPv6 address may end at, or pass."""
    last, known = int(address) & 0xFFFF_FFFF, (address.ipv4_mapped, address.sixtofour)
    passed = [carried for carried in known if carried is not None]
    passed += address.teredo or ()  # the server's, and the client's
    if address in _NAT64 or (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP:
        passed.append(IPv4Address(last))
    return passed


def _is_public_ipv4(address: IPv4Address) -> bool:
    special = address.is_multicast or address.is_reserved or any(address in network for network in _SPECIAL_IPV4)
    return address.is_global and not special
