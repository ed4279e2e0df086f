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
WINDOW_ROUND_TRIPS: Final = 5
FIRST_WINDOWS: Final = 6
"""By then it is known of most connections whether they need others beside them."""
HELD_BACK: Final = 0.7
"""The share of the time in which the congestion window has to be what holds the sending back."""
STEADY: Final = 1.2
"""A rate that still grows faster than this from one window to the next is not settled."""
STEP: Final = 4
"""So many times as many are tried: rates vary by losses, and what is gained by less may not show."""
SETTLING_WINDOWS: Final = 2
"""What was opened has to connect, to ask for a range, and to find its rate."""
TRIAL_WINDOWS: Final = 2
WORTH: Final = 1.3
"""More connections have to make the whole so much faster, or they are closed."""
REST_WINDOWS: Final = 8
"""How long to leave it at that, the first time; then twice as long, each time."""


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


def growth_by(*, bears_losses: bool, most: int = MOST_CONNECTIONS) -> "Growth | None":
    """What decides for a sender that may have `most`; nothing has to where losses do not slow it down, for then one
    connection fills the link, and more of them only get in each other's way."""
    return None if bears_losses or most < 2 else Growth(most)


class Growth:
    """Decides after each window; `wanted` is how many connections there should be."""

    def __init__(self, most: int = MOST_CONNECTIONS) -> None:
        self._most = most
        self.wanted = 1
        self.reason = ""
        """Why it is so many, for people."""
        self._rates: list[float] = []
        """Of the windows since the last change; those before it has settled do not count."""
        self._settling = self._held_back = 0
        """For how many windows it has to settle, and for how many it was held back without a break."""
        self._fewer: tuple[int, float] | None = None
        """How many there were before those that are on trial, and their rate."""
        self._rest, self._next_rest = 0, REST_WINDOWS

    def judge(self, measure: Measure) -> bool:
        """A window has passed. Returns whether `wanted` has changed."""
        if measure.round_trip is not None and measure.round_trip < NEAR_SECONDS:
            return False
        held_back = measure.held_back is None or measure.held_back >= HELD_BACK
        self._held_back = self._held_back + 1 if held_back else 0
        if self._settling:
            self._settling -= 1
            return False
        self._rates = [*self._rates[1 - TRIAL_WINDOWS :], measure.rate]
        if len(self._rates) < TRIAL_WINDOWS:
            return False
        if self._fewer is not None:
            return self._try(*self._fewer)
        if self._rest:
            self._rest -= 1
            return False
        return self._held_back >= TRIAL_WINDOWS and measure.rate <= STEADY * self._rates[0] and self._grow()

    def _grow(self) -> bool:
        if self.wanted >= self._most:
            return False
        self._fewer = self.wanted, max(self._rates)
        self._change(min(self._most, STEP * self.wanted), "fewer do not fill the link")
        return True

    def _try(self, fewer: int, rate: float) -> bool:
        """Whether more connections were worth it."""
        self._fewer = None
        if sum(self._rates) / len(self._rates) >= WORTH * rate:
            return self._grow()
        self._rest, self._next_rest = self._next_rest, 2 * self._next_rest
        self._change(fewer, "more did not make it faster")
        return True

    def _change(self, wanted: int, reason: str) -> None:
        self.wanted, self.reason = wanted, reason
        self._rates, self._settling = [], SETTLING_WINDOWS
