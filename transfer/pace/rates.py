"""How fast one caller may do things: operations on `/ws` and bytes are slowed down, requests are refused.

A caller is a subject, wherever it is connected from. The anonymous are as many as there are addresses, so that one of
them does not slow down the others; and so are the visitors of a request link.
"""

import math
from typing import Final

from transfer.access.principal import ANONYMOUS, NOBODY, Principal
from transfer.admission import network_of
from transfer.pace.buckets import Buckets
from transfer.pace.pacing import Clock, Paces
from transfer.protocol.errors import TooMany
from transfer.protocol.limits import KIB, MIB
from transfer.settings import Settings

_PIECES_A_SECOND: Final = 4


class Rates:
    """The rates of one server, and what its callers have taken of them."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        rate = settings.rate_limit_bytes
        self.operations = Paces(settings.header_rate, settings.header_burst, clock)
        self.uploads = Paces(rate, rate or 1, clock)
        self.downloads = Paces(rate, rate or 1, clock, piece_of(rate, MIB))
        self._requests = Buckets(settings.request_rate, settings.request_burst)
        self._clock = clock

    def take_request(self, caller: str) -> None:
        """One more HTTP request, or upgrade. Raises TooMany."""
        now = self._clock.time()
        bucket = self._requests.of(caller, now)
        if not bucket.take(1, now):
            rate = bucket.rate
            sentence = f"more than {rate:g} requests a second: try again in a moment"
            raise TooMany(sentence, retryable=True, limit=rate, retry_after=math.ceil(bucket.wait(1, now)))


def caller_of(principal: Principal, address: str) -> str:
    """Whose rate it is that somebody takes from, who is connected from this address."""
    if principal.visit is not None:
        return f"visitor {principal.visit.link} {network_of(address)}"
    if principal is ANONYMOUS or principal is NOBODY:
        return f"anonymous {network_of(address)}"
    return f"subject {principal.subject}"


def piece_of(rate: float | None, most: int) -> int:
    """How many bytes to move at a time at this rate: a quarter of a second's, so that it looks even and others get
    their turn, but no crumbs."""
    return most if rate is None else min(most, max(KIB, int(rate / _PIECES_A_SECOND)))


def window_of(rate: float | None, most: int) -> int:
    """How many bytes may be on their way at this rate: a second's. What is sent behind them waits no longer."""
    return most if rate is None else min(most, max(KIB, int(rate)))
