"""One line of progress on a terminal: the name, what is there, a bar, speed and time left; as much of it as fits, in
words that get shorter before anything is cut."""

import math
import time
from typing import Final

from rich.console import Console, RenderableType
from rich.progress import ProgressColumn, Task
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from client.terminal.columns import width_of
from client.terminal.wording import size_words, time_words

BAR_COLUMNS: Final = 16
WIDE: Final = 79
"""From here on a bar fits, and whole sentences."""
MEDIUM: Final = 56
"""From here on sizes fit; below stands how much of a hundred."""
LEAST_NAME: Final = 10
MOST_NAME: Final = 80
WIDE_OTHERS: Final = 63
"""What a line has beside the name: `333.3 GB of 999.9 GB waiting for the network, retrying in 30 s`."""
MEDIUM_OTHERS: Final = 46
"""`333.3 GB of 999.9 GB 999.9 MB/s  0:00:05 left`."""
NARROW_OTHERS: Final = 26
"""`100 % 999.9 MB/s  0:00:05`."""


def columns(console: Console) -> list[ProgressColumn]:
    """The columns of a progress display there; each looks anew how wide the terminal is."""
    return [_Name(console), _Durable(console), _State(console)]


def ending(name: str, width: int) -> str:
    """A name in at most so many columns: its end, which tells it from others of its folder."""
    if width_of(name) <= width:
        return name
    start = len(name)
    while start and width_of(name[start - 1 :]) < width:
        start -= 1
    return "…" + name[start:]


class _Column(ProgressColumn):
    def __init__(self, console: Console) -> None:
        super().__init__(Column(no_wrap=True, overflow="ellipsis"))
        self._console = console

    @property
    def _width(self) -> int:
        return self._console.width

    @property
    def _wide(self) -> bool:
        return self._width >= WIDE

    @property
    def _narrow(self) -> bool:
        return self._width < MEDIUM


class _Name(_Column):
    def render(self, task: Task) -> Text:
        others = WIDE_OTHERS if self._wide else NARROW_OTHERS if self._narrow else MEDIUM_OTHERS
        return Text(ending(task.description, min(MOST_NAME, max(LEAST_NAME, self._width - others))))


class _Durable(_Column):
    """`1.2 MB of 3.1 MB`, or `38 %`."""

    def render(self, task: Task) -> Text:
        offset = task.fields["meter"].offset
        if self._narrow and task.total:
            return Text(f"{100 * offset // int(task.total)} %")
        total = "" if task.total is None else f" of {size_words(int(task.total))}"
        return Text(f"{size_words(offset)}{total}")


class _State(_Column):
    """A bar with speed and time left, or why nothing moves."""

    def render(self, task: Task) -> RenderableType:
        until = task.fields.get("until")
        if until is not None:
            return Text(self._waiting(max(1, math.ceil(until - time.monotonic()))), "yellow")
        if not self._wide:
            return self._words(task)
        row = Table.grid(padding=(0, 1))
        row.add_row(ProgressBar(task.total, task.completed, width=BAR_COLUMNS), self._words(task))
        return row

    def _waiting(self, seconds: int) -> str:
        if self._wide:
            return f"waiting for the network, retrying in {seconds} s"
        return f"again in {seconds} s" if self._narrow else f"waiting, again in {seconds} s"

    def _words(self, task: Task) -> Text:
        state, meter = task.fields.get("state", ""), task.fields["meter"]
        if state or meter.speed is None:
            return Text(state, "cyan")
        speed = f"{size_words(int(meter.speed))}/s"
        if task.total is None:
            return Text(speed, "green")
        left = time_words(max(0.0, task.total - meter.offset) / meter.speed)
        return Text(f"{speed}  {left}" + ("" if self._narrow else " left"), "green")
