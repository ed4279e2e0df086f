"""How many connections there may be, in all and from one address, how fast they may come from there, and what the
surplus hears.

What is over a limit costs a few bytes and no thought: it reads a prepared answer as soon as it has asked for
anything, and is hung up on soon in any case. When even those who are waiting for that answer are many, newcomers are
reset.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from transfer.edge.peers import Peers, parse_address
from transfer.pace.buckets import Buckets
from transfer.protocol import limits

SURPLUS_SECONDS: Final = 1.0
"""How long the surplus may take to ask for something: an answer before the question could get lost in a reset."""
MAX_SURPLUS: Final = 64
"""How many may wait for their refusal at the same time."""
SECONDS_BETWEEN_LINES: Final = 60.0
_IPV6_NETWORK_BITS: Final = 64
"""What one customer of a provider has at least."""

logger = logging.getLogger("towline.admission")


class Place:
    """The right to be connected, until it is given back."""

    def __init__(self, places: "Places", network: str) -> None:
        self._places: Places | None = places
        self._network = network

    def leave(self) -> None:
        """Give it back. Calling it again changes nothing."""
        places, self._places = self._places, None
        if places is not None:
            places.taken -= 1
            places.remove(self._network)


class Places:
    """The places of one server: at most `total`, and at most `per_address` of them for one address, from which
    `rate` may come a second, and `burst` at once. An address of `proxies` is that of many."""

    def __init__(
        self,
        total: int,
        per_address: int,
        *,
        rate: float = limits.CONNECTION_RATE,
        burst: float = limits.CONNECTION_BURST,
        proxies: Iterable[str] = (),
    ) -> None:
        self.taken = 0
        self._proxies = Peers(proxies)
        self._surplus: set[Surplus] = set()
        self._total = total
        self._per_address = per_address
        self._by_network: Counter[str] = Counter()
        self._arrivals = Buckets(rate, burst)
        self._turned_away = 0
        self._silent_until = float("-inf")

    def is_slow_enough(self, address: str, now: float) -> bool:
        """Whether one more may come from `address` now. What is refused does not count: an address from which somebody
        keeps on trying still gets its rate."""
        return self._is_of_many(address) or self._arrivals.of(network_of(address), now).take(1, now)

    def take(self, address: str) -> Place | None:
        """A place for a connection from `address`, if there is one left."""
        network = network_of(address)
        full = self._by_network[network] >= self._per_address and not self._is_of_many(address)
        if self.taken >= self._total or full:
            return None
        self.taken += 1
        self._by_network[network] += 1
        return Place(self, network)

    def _is_of_many(self, address: str) -> bool:
        peer = parse_address(address)
        return peer is not None and peer in self._proxies

    def turn_away(
        self, address: str, transport: asyncio.Transport, answer: bytes, loop: asyncio.AbstractEventLoop
    ) -> "Surplus | None":
        """Have a connection that got no place wait for its refusal; None where it was reset, as too many do that."""
        self._log_refusal(address, loop.time())
        if len(self._surplus) >= MAX_SURPLUS:
            transport.abort()
            return None
        return Surplus(transport, answer, self._surplus, loop)

    def _log_refusal(self, address: str, now: float) -> None:
        """Not each time: who is turned away may be back at once."""
        self._turned_away += 1
        if now >= self._silent_until:
            self._silent_until = now + SECONDS_BETWEEN_LINES
            logger.warning(
                "refused too_many: %s: %d connections are open, %d were turned away so far",
                address,
                self.taken,
                self._turned_away,
            )

    def remove(self, network: str) -> None:
        """One of that network has left."""
        self._by_network[network] -= 1
        if not self._by_network[network]:
            del self._by_network[network]


def network_of(address: str) -> str:
    """Whom an address belongs to: itself, or of IPv6 its network of 64 bits. IPv4 inside IPv6 is IPv4."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address  # a socket without one: there all callers are one
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, _IPV6_NETWORK_BITS), strict=False))


class Surplus:
    """A connection for which there was no place: it is told so when it asks for something."""

    def __init__(
        self, transport: asyncio.Transport, answer: bytes, waiting: "set[Surplus]", loop: asyncio.AbstractEventLoop
    ) -> None:
        self.transport = transport
        self._answer = answer
        self._waiting = waiting
        self._waiting.add(self)
        self._timer = loop.call_later(SURPLUS_SECONDS, transport.abort)

    def asked(self) -> None:
        """Something came, whatever it is."""
        if not self.transport.is_closing():
            self.transport.write(self._answer)
            self.transport.close()

    def gone(self) -> None:
        """The connection has ended."""
        self._waiting.discard(self)
        self._timer.cancel()
