"""Instructions per MiB beside a baseline: what is compared, and what is said of it. Nothing here counts."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Final, Self

TOLERANCE: Final = 0.05
SAME: Final = 0
CHANGED: Final = 1
NOT_COMPARED: Final = 75
"""EX_TEMPFAIL of sysexits.h: nothing is known to be wrong, and nothing was found out."""
RECORD: Final = "./run instructions --record"
Costs = Mapping[str, int]
"""Instructions per MiB, by what they are for."""


@dataclass(frozen=True)
class Count:
    """What was counted where. Figures of another environment say nothing about these; the digest of the lock is kept
    to tell why figures changed."""

    environment: Mapping[str, str]
    lock: str
    paths: Mapping[str, Costs]

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises ValueError, TypeError for what `written` did not make."""
        return cls(**json.loads(text))

    def written(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"


@dataclass(frozen=True)
class Verdict:
    """How a run ends, and what it says."""

    exit_code: int
    sentences: tuple[str, ...]


def compare(counted: Count, baseline: Count | None) -> Verdict:
    """Never says that all is well of what could not be compared."""
    if baseline is None:
        return Verdict(CHANGED, (f"there is no baseline: make one with {RECORD}, and commit it",))
    if baseline.environment != counted.environment:
        return Verdict(NOT_COMPARED, (_other_environment(counted.environment, baseline.environment),))
    if changes := tuple(_changes(counted, baseline)):
        lock = () if counted.lock == baseline.lock else ("requirements.lock is not the one of the baseline",)
        return Verdict(CHANGED, (*changes, *lock, f"where that is meant: {RECORD}, and commit what it writes"))
    return Verdict(SAME, (f"every figure is within {TOLERANCE:.0%} of the baseline",))


def _changes(counted: Count, baseline: Count) -> Iterator[str]:
    for path in sorted({*counted.paths, *baseline.paths}):
        now, before = counted.paths.get(path, {}), baseline.paths.get(path, {})
        for purpose in sorted({*now, *before}):
            found, was = now.get(purpose, 0), before.get(purpose, 0)
            if abs(found - was) > TOLERANCE * was:
                yield f"{path}, {purpose}: {found:,} instructions per MiB instead of {was:,}{_percent(found, was)}"


def _percent(found: int, was: int) -> str:
    return f", {found / was - 1:+.1%}" if was else ""


def _other_environment(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    differing = [name for name in sorted({*here, *there}) if here.get(name) != there.get(name)]
    facts = "; ".join(f"{name} {here.get(name, 'none')}, not {there.get(name, 'none')}" for name in differing)
    return (
        f"not compared: the baseline was counted elsewhere ({facts}): compare where it was, or, when that is what"
        f" .ci/run runs on from now on, {RECORD}"
    )
