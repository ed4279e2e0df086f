"""How the transfers of one command ended: sums only, for there may be millions."""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from client.progress import Complete, Downloaded, Failed
from client.terminal.outcome import Exit, outcome_of
from client.terminal.wording import Facts, count_words, size_words, time_words
from transfer.protocol.errors import Exists


@dataclass(slots=True)
class Tally:
    """`moved` says what has happened to bytes here: `sent` or `received`."""

    moved: str
    clock: Callable[[], float] = monotonic
    complete: int = 0
    unchanged: int = 0
    resumed: int = 0
    failed: int = 0
    refused_names: int = 0
    """How many of those failed because other content has their names."""
    skipped: int = 0
    excluded: int = 0
    deleted: int = 0
    size: int = 0
    """Of all files that are complete, in bytes."""
    moved_bytes: int = 0
    resumed_bytes: int = 0
    """What did not have to move, since it was there from before."""
    exit: Exit = Exit.DONE
    _began: float = field(init=False)
    _moving_since: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self._moving_since = self.clock()

    def compared(self) -> None:
        """From now on bytes move: what came before is no part of their speed."""
        self._moving_since = self.clock()

    def count(self, result: Complete | Downloaded | Failed) -> None:
        """One more has ended."""
        if isinstance(result, Failed):
            self.refused_names += isinstance(result.error, Exists)
            self.fail(outcome_of(result.error).exit)
            return
        self.complete += 1
        self.unchanged += result.unchanged
        if isinstance(result, Complete):
            self.size += result.file.size
            self.moved_bytes += result.sent_bytes
        else:
            self.size += result.size
            self.moved_bytes += result.received_bytes
        if result.resumed_at and not result.unchanged:
            self.resumed += 1
            self.resumed_bytes += result.resumed_at

    def fail(self, code: Exit = Exit.FAILED) -> None:
        """One more has failed."""
        self.failed += 1
        self.exit = max(self.exit, code)

    @property
    def seconds(self) -> float:
        return max(self.clock() - self._began, 1e-3)

    @property
    def speed(self) -> int:
        """Bytes a second."""
        return int(self.moved_bytes / max(self.clock() - self._moving_since, 1e-3))

    @property
    def sentence(self) -> str:
        """For people: `3 files sent, 1.2 MB in 0:00:03, 400.0 kB/s; 99,997 unchanged`."""
        if self.complete == self.unchanged and not self.moved_bytes:
            return f"nothing {self.moved}{self.others}"
        changed, size = count_words(self.complete - self.unchanged, "file"), size_words(self.moved_bytes)
        return f"{changed} {self.moved}, {size} in {time_words(self.seconds)}, {size_words(self.speed)}/s{self.others}"

    @property
    def others(self) -> str:
        """The end of such a sentence; what there was none of is left out."""
        parts = [
            (self.resumed, f"resumed, {size_words(self.resumed_bytes)} were there already"),
            (self.unchanged, "unchanged"),
            (self.failed, "failed"),
            (self.skipped, "skipped"),
            (self.excluded, "excluded"),
            (self.deleted, "deleted here"),
        ]
        counts = "".join(f"; {count:,} {words}" for count, words in parts if count)
        advice = "; --if-exists replace sends what has changed since it was sent" if self.refused_names else ""
        return counts + advice

    @property
    def facts(self) -> Facts:
        """The same for machines."""
        return {
            "complete": self.complete,
            "unchanged": self.unchanged,
            "resumed": self.resumed,
            "failed": self.failed,
            "skipped": self.skipped,
            "excluded": self.excluded,
            "deleted": self.deleted,
            "bytes": self.size,
            f"{self.moved}_bytes": self.moved_bytes,
            "resumed_bytes": self.resumed_bytes,
            "seconds": round(self.seconds, 3),
            "bytes_per_second": self.speed,
        }
