"""Plots of figures: what to draw, told apart from how. matplotlib draws them in a process of its own, from a folder
that only this has (tests/packages.py); nothing else imports it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tests.packages import installed

REQUIREMENTS: Final = Path(__file__).with_name("requirements.txt")
CHECKOUT: Final = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Bars:
    """A bar for each label, shortest to read first; `limit` is a line across."""

    title: str
    unit: str
    values: Mapping[str, float]
    spans: Mapping[str, tuple[float, float]] | None = None
    """The least and the largest of the values behind a bar, by label."""
    highlighted: Sequence[str] = ()
    """The labels that are ours."""
    limit: float | None = None
    kind: str = "bars"


@dataclass(frozen=True)
class Lines:
    """Curves over one axis: for each label its points (x, y)."""

    title: str
    x: str
    y: str
    curves: Mapping[str, Sequence[tuple[float, float]]]
    log_x: bool = False
    log_y: bool = False
    limit: float | None = None
    kind: str = "lines"


Plot = Bars | Lines


def draw(plots: Sequence[Plot], folder: Path, name: str) -> list[Path]:
    """Draw each as NAME.svg, NAME-2.svg, … in `folder`; the same figures give the same bytes. Raises NotInstalled."""
    files = [folder / (f"{name}.svg" if number == 1 else f"{name}-{number}.svg") for number in range(1, len(plots) + 1)]
    if not plots:
        return files
    path = os.pathsep.join([str(CHECKOUT), str(installed(REQUIREMENTS))])
    wanted = [{"file": str(file), **asdict(plot)} for file, plot in zip(files, plots, strict=True)]
    command = [sys.executable, "-m", "bench.plots"]
    environment = os.environ | {"PYTHONPATH": path}
    subprocess.run(command, input=json.dumps(wanted), text=True, env=environment, cwd=CHECKOUT, check=True)
    return files
