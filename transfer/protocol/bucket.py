"""A token bucket: so much a second, and a burst after a pause.

It does not know the time: `now` is the caller's, in seconds of a clock that does not go back.
"""

import math
from typing import Final

_NOTHING: Final = 1e-9
"""Seconds that are lost in rounding: whoever waited for what was said would be told to wait for them too."""


class Bucket:
    """Holds `burst` tokens at first and at most, and fills with `rate` a second.

    It remembers one number, the moment at which it is full again, as the generic cell rate algorithm does (ITU-T I.371,
    annex A): nothing is added up from time to time, so nothing drifts, and one that is full is like one that never was.
    """

    __slots__ = ("_full_at", "burst", "rate")

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self.burst = burst
        self._full_at = -math.inf

    def take(self, amount: float, now: float) -> bool:
        """Take `amount`, if that much is there. More than the burst never is: then a full bucket will do, and what is
        missing is a debt."""
        if self.wait(amount, now) > 0:
            return False
        self.owe(amount, now)
        return True

    def owe(self, amount: float, now: float) -> None:
        """Take `amount`, whatever is there: what is missing is a debt, and comes off what flows in next."""
        self._full_at = max(self._full_at, now) + amount / self.rate

    def wait(self, amount: float, now: float) -> float:
        """Seconds until `take` gives `amount`, if nobody takes any meanwhile."""
        wanted = min(amount, self.burst)
        seconds = self._full_at - now - (self.burst - wanted) / self.rate
        return seconds if seconds > _NOTHING else 0.0

    def lacks(self, now: float) -> float:
        """How much was taken and has not flowed in again; more than the burst where there are debts."""
        return max(0.0, self._full_at - now) * self.rate
