"""A token bucket for each of many keys, in bounded memory. Like each of them it does not know the time."""

from collections import OrderedDict
from typing import Final

from transfer.protocol.bucket import Bucket

MAX_KEYS: Final = 65_536
"""About 10 MB. Whoever has more addresses than that gets by a limit of one anyway."""


class Buckets:
    """Buckets of one rate and burst. One that is full again is like a new one, and is forgotten; where there are `most`
    others, the one goes that nobody has asked for the longest."""

    def __init__(self, rate: float, burst: float, most: int = MAX_KEYS) -> None:
        self._rate = rate
        self._burst = burst
        self._most = most
        self._kept: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, key: str, now: float) -> Bucket:
        """The key's bucket."""
        bucket = self._kept.get(key) or Bucket(self._rate, self._burst)
        self.keep(key, bucket, now)
        return bucket

    def keep(self, key: str, bucket: Bucket, now: float) -> None:
        """This is the key's bucket: somebody held on to it for longer than it was kept here, perhaps."""
        self._kept.pop(key, None)
        self._forget(now)
        self._kept[key] = bucket

    def _forget(self, now: float) -> None:
        """Two at a time, so that no single call pays for many, and there is room for one more."""
        for _ in range(2):
            if not self._kept or (len(self._kept) < self._most and next(iter(self._kept.values())).lacks(now)):
                return
            self._kept.popitem(last=False)
