"""How many connections one file should have: more where the network's congestion control holds back those there are,
and only as long as that makes the whole faster. No I/O; times and measurements come from the caller.

Congestion control divides a link's losses among connections: with n of them a loss slows one n-th of the sending. What
the receiver, the source or a rate limit holds back gets no faster by more connections, and a server that is near needs
no second one.
"""

from dataclasses import dataclass
from typing import Final

MOST_CONNECTIONS: Final = 8
"""What is opened without being asked for; more than that takes the link from others."""
NEAR_SECONDS: Final = 0.005
"""A shorter round trip than this is within a house."""
WINDOW_SECONDS: Final = 0.5
UNSEEN_WINDOW_SECONDS: Final = 2.0
"""Where the system does not tell what was moved, acks do, which are few."""
WINDOW_ROUND_TRIPS: Final = 8
HELD_BACK: Final = 0.7
"""The share of the time in which the congestion window has to be what holds the sending back."""
STEADY: Final = 1.3
"""A rate that still grows faster than this from one window to the next is not settled."""
WORTH: Final = 1.2
"""More connections have to make the whole so much faster, or they are closed."""
REST_WINDOWS: Final = 30
"""How long to leave it at that, then."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What was seen of all connections of an upload during a window."""

    rate: float
    """Bytes a second that the other end has taken."""
    held_back: float | None
    """The share of the time in which congestion control held the sending back; None where nobody knows."""
    round_trip: float | None
    """Seconds, the shortest; None where nobody knows."""


def window_of(round_trip: float | None) -> float:
    """For how many seconds to measure before the next decision."""
    if round_trip is None:
        return UNSEEN_WINDOW_SECONDS
    return max(WINDOW_SECONDS, WINDOW_ROUND_TRIPS * round_trip)


class Growth:
    """Decides after each window; `wanted` is how many connections there should be."""

    def __init__(self, most: int = MOST_CONNECTIONS) -> None:
        self._most = most
        self.wanted = 1
        self.reason = ""
        """Why it is so many, for people."""
        self._before: float | None = None
        """The rate with the fewer connections, while more are on trial."""
        self._fewer = 1
        self._last: float | None = None
        self._settling = False
        self._rest = 0

    def judge(self, measure: Measure) -> bool:
        """A window has passed. Returns whether `wanted` has changed."""
        if measure.round_trip is not None and measure.round_trip < NEAR_SECONDS:
            return False
        if self._settling:  # what was opened has just begun
            self._settling = False
            return False
        if self._before is not None:
            return self._try(measure.rate, self._before)
        last, self._last = self._last, measure.rate
        if self._rest > 0:
            self._rest -= 1
            return False
        held_back = measure.held_back is None or measure.held_back >= HELD_BACK
        if not held_back or last is None or not last / STEADY <= measure.rate <= last * STEADY:
            return False
        return self._grow((last + measure.rate) / 2)

    def _grow(self, rate: float) -> bool:
        if self.wanted >= self._most:
            return False
        self._before, self._fewer = rate, self.wanted
        self._change(min(self._most, 2 * self.wanted), "one connection does not fill the link")
        return True

    def _try(self, rate: float, before: float) -> bool:
        """Whether more connections were worth it."""
        self._before = None
        if rate >= WORTH * before:
            return self._grow(rate)
        self._last, self._rest = None, REST_WINDOWS
        self._change(self._fewer, "more did not make it faster")
        return True

    def _change(self, wanted: int, reason: str) -> None:
        self.wanted, self.reason, self._settling = wanted, reason, True
