"""Leaf checksums of bytes that come in several runs at once, each in order: no leaf need be read again for them."""

from typing import Final

from transfer.protocol.leaves import LeafHasher

MAX_RUNS: Final = 32
"""More than anybody has connections on one upload. Of more runs, what went on longest ago is forgotten."""


class LeafRuns:
    """The hashers of an object's leaves, by where they stand."""

    def __init__(self, leaf_size: int, *begun: LeafHasher) -> None:
        self._leaf_size = leaf_size
        self._runs = {run.position: run for run in begun}

    def take(self, offset: int) -> LeafHasher:
        """The run that goes on at `offset`, else one that begins with the next leaf. The taker gives it back."""
        return self._runs.pop(offset, None) or LeafHasher(self._leaf_size, offset + -offset % self._leaf_size)

    def give_back(self, run: LeafHasher) -> None:
        self._runs.pop(run.position, None)
        self._runs[run.position] = run
        if len(self._runs) > MAX_RUNS:
            del self._runs[next(iter(self._runs))]

    def forget(self, start: int, end: int) -> None:
        """What has hashed bytes between the two has hashed what is not there any more."""
        self._runs = {
            position: run
            for position, run in self._runs.items()
            if position <= start or position - position % self._leaf_size >= end
        }
