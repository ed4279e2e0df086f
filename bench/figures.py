"""Figures: several values of one kind, what they have to reach, and tables of both. Nothing here measures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Final, Literal

LOWER: Final = "at most"
HIGHER: Final = "at least"


@dataclass(frozen=True)
class Series:
    """What the rounds gave for one figure. Raises ValueError when there is none."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("a series has at least one value")

    @staticmethod
    def of(values: Iterable[float]) -> "Series":
        return Series(tuple(values))

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def min(self) -> float:
        return min(self.values)

    @property
    def max(self) -> float:
        return max(self.values)

    def percentile(self, of_hundred: int) -> float:
        """The value below which so many of a hundred lie, between the two nearest."""
        return quantiles(self.values, n=100, method="inclusive")[of_hundred - 1] if len(self.values) > 1 else self.max

    def facts(self, digits: int = 3) -> dict[str, float | list[float]]:
        """For JSON: median, min, max and every value, in the order of the rounds."""
        rounded = [round(value, digits) for value in self.values]
        return {
            "median": round(self.median, digits),
            "min": min(rounded),
            "max": max(rounded),
            "values": rounded,
        }


@dataclass(frozen=True)
class Target:
    """What a figure has to reach; make it with `at_most` or `at_least`, as a constant of the script."""

    what: str
    limit: float
    unit: str
    sense: Literal["at most", "at least"]
    goal: bool = False
    """Something to go on towards: shown beside the targets, and nothing fails when it is missed."""

    def met(self, value: float) -> bool:
        return value <= self.limit if self.sense == LOWER else value >= self.limit

    def checked(self, value: float) -> "Checked":
        return Checked(self, value)


def at_most(what: str, limit: float, unit: str = "", *, goal: bool = False) -> Target:
    return Target(what, limit, unit, LOWER, goal)


def at_least(what: str, limit: float, unit: str = "", *, goal: bool = False) -> Target:
    return Target(what, limit, unit, HIGHER, goal)


@dataclass(frozen=True)
class Checked:
    """A target with what was measured for it."""

    target: Target
    value: float

    @property
    def met(self) -> bool:
        return self.target.met(self.value)

    @property
    def ratio(self) -> float:
        """The value in parts of the limit. Raises ZeroDivisionError where that is nothing."""
        return self.value / self.target.limit

    @property
    def missed(self) -> bool:
        """Whether this ends the script with an error."""
        return not self.met and not self.target.goal

    def sentence(self) -> str:
        target = self.target
        return f"{target.what} is {_figure(self.value, target)}, not {target.sense} {_figure(target.limit, target)}"

    def facts(self) -> dict[str, str | float | bool]:
        target = self.target
        return {
            "what": target.what,
            "value": round(self.value, 4),
            "limit": target.limit,
            "unit": target.unit,
            "sense": target.sense,
            "goal": target.goal,
            "met": self.met,
        }


def _figure(value: float, target: Target) -> str:
    return f"{number(value)} {target.unit}".rstrip()


def number(value: float) -> str:
    """A figure as people read it: three digits that matter, thousands apart."""
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


@dataclass(frozen=True)
class Table:
    """Rows of cells that are text already; `number` makes text of figures. The first column is to the left, others are
    to the right."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""

    @staticmethod
    def of(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> "Table":
        """Raises ValueError when a row has more or fewer cells than there are columns."""
        cells = tuple(tuple(row) for row in rows)
        if any(len(row) != len(columns) for row in cells):
            raise ValueError(f"each row has {len(columns)} cells: {', '.join(columns)}")
        return Table(tuple(columns), cells, title)

    def text(self) -> str:
        """For a terminal."""
        widths = [max(map(len, cells)) for cells in zip(self.columns, *self.rows, strict=True)]
        lines = [
            "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(pairs))
            for pairs in (list(zip(row, widths, strict=True)) for row in (self.columns, *self.rows))
        ]
        return "\n".join([*([self.title] if self.title else []), *(line.rstrip() for line in lines)])

    def markdown(self) -> str:
        """For a document."""
        rule = ("---", *("---:" for _ in self.columns[1:]))
        lines = ["| " + " | ".join(row) + " |" for row in (self.columns, rule, *self.rows)]
        return "\n".join([*([f"{self.title}\n"] if self.title else []), *lines])


def targets_table(checks: Sequence[Checked]) -> Table:
    """What was to be reached, and whether it was."""
    columns = ("target", "measured", "limit", "ratio to it", "")
    rows = [
        (
            check.target.what,
            _figure(check.value, check.target),
            f"{check.target.sense} {_figure(check.target.limit, check.target)}",
            number(check.ratio) if check.target.limit else "–",
            "met" if check.met else "not yet" if check.target.goal else "MISSED",
        )
        for check in checks
    ]
    return Table.of(columns, rows)
