"""Draws with matplotlib what comes on stdin (see `draw`); never run by hand."""

import json
import sys
from itertools import cycle
from typing import Final, TypedDict

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.figures import number

OURS: Final = "#1f6f8b"
OTHERS: Final = "#b8bfc6"
LIMIT: Final = "#c0392b"
CURVES: Final = ("#1f6f8b", "#d98c2b", "#5a9367", "#8e5ea2", "#7a7a7a", "#b04a5a")


class BarsWanted(TypedDict):
    title: str
    unit: str
    values: dict[str, float]
    spans: dict[str, tuple[float, float]] | None
    highlighted: list[str]
    limit: float | None


class LinesWanted(TypedDict):
    title: str
    x: str
    y: str
    curves: dict[str, list[tuple[float, float]]]
    log_x: bool
    log_y: bool
    limit: float | None


def main() -> None:
    matplotlib.rcParams.update({"svg.hashsalt": "towline", "svg.fonttype": "none", "font.family": "sans-serif"})
    for wanted in json.load(sys.stdin):
        count = len(wanted["values"]) if wanted["kind"] == "bars" else 8
        figure = Figure(figsize=(8, 1.2 + 0.32 * count if wanted["kind"] == "bars" else 4.2), layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(wanted["title"])
        axes.spines[["top", "right"]].set_visible(False)
        (draw_bars if wanted["kind"] == "bars" else draw_lines)(axes, wanted)
        figure.savefig(wanted["file"], metadata={"Date": None, "Creator": None})


def draw_bars(axes: Axes, wanted: BarsWanted) -> None:
    labels = list(wanted["values"])
    values = [wanted["values"][label] for label in labels]
    colours = [OURS if label in wanted["highlighted"] else OTHERS for label in labels]
    axes.barh(labels, values, color=colours)
    spans = wanted["spans"] or {}
    for label, value in zip(labels, values, strict=True):
        least, largest = spans.get(label, (value, value))
        axes.plot([least, largest], [label, label], color="#30363c", linewidth=1.2)
        axes.annotate(number(value), (largest, label), (4, 0), textcoords="offset points", va="center")
    if wanted["limit"] is not None:
        axes.axvline(wanted["limit"], color=LIMIT, linestyle="--", linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel(wanted["unit"])
    axes.margins(x=0.12)


def draw_lines(axes: Axes, wanted: LinesWanted) -> None:
    for colour, (label, points) in zip(cycle(CURVES), wanted["curves"].items(), strict=False):
        xs, ys = zip(*points, strict=True)
        axes.plot(xs, ys, marker="o", markersize=4, label=label, color=colour)
    if wanted["log_x"]:
        axes.set_xscale("log")
    if wanted["log_y"]:
        axes.set_yscale("log")
    if wanted["limit"] is not None:
        axes.axhline(wanted["limit"], color=LIMIT, linestyle="--", linewidth=1)
    if not wanted["log_y"]:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(wanted["x"])
    axes.set_ylabel(wanted["y"])
    axes.grid(visible=True, color="#e3e6e8", linewidth=0.6)
    if len(wanted["curves"]) > 1:
        axes.legend(frameon=False)


if __name__ == "__main__":
    main()
