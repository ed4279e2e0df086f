"""How much a run of the suite does, from which seed, and what it counted."""

import random
from dataclasses import dataclass, field
from typing import NoReturn

import pytest


@dataclass(slots=True, kw_only=True)
class Plan:
    """One run. All chance comes from `seed`, so that a run can be repeated."""

    seed: int
    full: bool = False
    required: bool = False
    figures: dict[str, dict[str, int | str]] = field(default_factory=dict)
    """What each row counted, for the table at the end."""

    def count(self, in_ci: int, full: int) -> int:
        """How many cases a row has: the first number in each CI run, the second with `--full`."""
        return full if self.full else in_ci

    def chance(self, *case: object) -> random.Random:
        """The random numbers of one case, whichever ran before it."""
        return random.Random(":".join(map(str, (self.seed, *case))))

    def missing(self, what: str) -> NoReturn:
        """This machine lacks what the row needs: skip loudly, or fail where the row is required."""
        sentence = f"not shown here: {what}"
        if self.required:
            pytest.fail(sentence, pytrace=False)
        pytest.skip(sentence)

    def report(self, row: str, **figures: int | str) -> None:
        """Add to what a row counted: numbers are summed, texts replaced."""
        known = self.figures.setdefault(row, {})
        for key, value in figures.items():
            before = known.get(key, 0)
            known[key] = before + value if isinstance(value, int) and isinstance(before, int) else value

    def counted(self, row: str) -> str:
        return ", ".join(f"{value} {key.replace('_', ' ')}" for key, value in self.figures[row].items())
