"""Who was promised which part of the disk.

An upload reserves what it still has to receive, so that two cannot both be promised the last gigabyte. A reservation
shrinks as bytes arrive (the file system counts them then), holds while its writer is connected and for ten minutes
after, and is made anew by the next.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from storage.errors import NoSpace

MAX_FREE_FLOOR: Final = 1 << 30
LINGER: Final = timedelta(minutes=10)
STREAM_STEP: Final = 64 << 20
"""How much a stream of unknown size reserves at a time."""


@dataclass(slots=True)
class _Reservation:
    outstanding: int
    until: datetime | None = None


class Space:
    """The reservations on one file system. `min_free_bytes` stays free: the smaller of 1 GiB and 5 % by default."""

    def __init__(self, folder: Path, clock: Callable[[], datetime], min_free_bytes: int | None = None) -> None:
        self._folder = folder
        self._clock = clock
        status = os.statvfs(folder)
        self.min_free_bytes = (
            min(MAX_FREE_FLOOR, status.f_blocks * status.f_frsize // 20) if min_free_bytes is None else min_free_bytes
        )
        self._reservations: dict[str, _Reservation] = {}

    def available(self) -> int:
        """Bytes that nobody was promised, above the floor."""
        now = self._clock()
        self._reservations = {
            key: kept for key, kept in self._reservations.items() if kept.until is None or kept.until > now
        }
        status = os.statvfs(self._folder)
        promised = sum(kept.outstanding for kept in self._reservations.values())
        return max(0, status.f_bavail * status.f_frsize - self.min_free_bytes - promised)

    def reserve(self, key: str, outstanding: int) -> None:
        """Promise `outstanding` bytes to `key`, in place of what it had. Raises NoSpace and keeps what it had."""
        before = self._reservations.pop(key, None)
        available = self.available()
        if outstanding > available:
            if before is not None:
                self._reservations[key] = before
            raise NoSpace(outstanding, available)
        self._reservations[key] = _Reservation(outstanding)

    def reserve_ahead(self, key: str, needed: int, ahead: int = STREAM_STEP) -> None:
        """Promise `needed` bytes to `key`, in place of what it had, and up to `ahead` more where there is room: who
        does not know how much will come asks seldom, and has the last of the disk too. Raises NoSpace."""
        self.reserve(key, needed)
        self._reservations[key].outstanding += min(ahead, self.available())

    def used(self, key: str, size: int) -> None:
        """`size` of the promised bytes were written: the file system counts them from now on."""
        if (kept := self._reservations.get(key)) is not None:
            kept.outstanding = max(0, kept.outstanding - size)

    def outstanding(self, key: str) -> int:
        return kept.outstanding if (kept := self._reservations.get(key)) is not None else 0

    def linger(self, key: str) -> None:
        """The writer is gone; it may come back soon."""
        if (kept := self._reservations.get(key)) is not None:
            kept.until = self._clock() + LINGER

    def release(self, key: str) -> None:
        self._reservations.pop(key, None)
