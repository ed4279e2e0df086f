"""Which IP addresses are the public internet's: the others are somebody's own network, and not a proxy's business.

Python's `is_global` is true for some that lead elsewhere (in 3.11: 6to4, NAT64, multicast, site-local), so an IPv4
address that is carried inside an IPv6 one is taken out and judged first, and of IPv6 only global unicast is left.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
"""RFC 4291, section 2.4, and the IANA registry of IPv6 address space: nothing else has been allocated."""
_NAT64: Final = IPv6Network("64:ff9b::/96")
"""RFC 6052, section 2.1."""
_COMPATIBLE: Final = (IPv6Network("::/96"), IPv6Network("::ffff:0:0:0/96"))
"""RFC 4291, section 2.5.5.1; RFC 2765, section 2.1: the last 32 bits are an IPv4 address."""
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
    carried = list(carried_ipv4(address))
    if carried:
        return all(map(_is_public_ipv4, carried))
    return (
        address.scope_id is None
        and address in _GLOBAL_UNICAST
        and address.is_global
        and not any(address in network for network in _SPECIAL)
    )


def carried_ipv4(address: IPv6Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that a packet to this IPv6 address may end at, or pass."""
    number = int(address)
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    elif address in _NAT64 or any(address in network for network in _COMPATIBLE):
        yield IPv4Address(number & 0xFFFF_FFFF)
    elif address.sixtofour is not None:
        yield address.sixtofour
    elif address.teredo is not None:
        yield from address.teredo  # the server's, and the client's
    if (number >> 32) & 0xFFFF_FFFF in _ISATAP:
        yield IPv4Address(number & 0xFFFF_FFFF)


def _is_public_ipv4(address: IPv4Address) -> bool:
    special = address.is_multicast or address.is_reserved or any(address in network for network in _SPECIAL_IPV4)
    return address.is_global and not special
