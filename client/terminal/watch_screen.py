"""The table of `towline watch` on a terminal: a line for each upload, as wide and as high as the terminal is, and what
has happened above it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, NamedTuple, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from client.http import UnfinishedUpload
from client.progress import Waiting
from client.terminal.bar_line import ending
from client.terminal.watched import RECENT_SECONDS, Row, Watched, sentence_of
from client.terminal.wording import printable, size_words, time_words, waiting_words
from transfer.protocol.events import EventMessage, FileEvent, ResetEvent, UploadEvent

DRAW_SECONDS: Final = 0.25
MOST_LINES: Final = 5
"""Of what happens between two drawings; the rest is counted."""


class Widths(NamedTuple):
    """How many columns each part of a line has; 0 for none. The name has the rest."""

    owner: int
    bar: int
    durable: int
    share: int
    speed: int
    left: int


def widths_for(width: int, *, owners: bool) -> Widths:
    """What fits; `owners` where there are some with names."""
    if width >= 120:
        return Widths(owner=16 if owners else 0, bar=width // 4, durable=20, share=5, speed=10, left=12)
    if width >= 100:
        return Widths(owner=12 if owners else 0, bar=12, durable=20, share=0, speed=10, left=12)
    if width >= 80:
        return Widths(owner=0, bar=12, durable=20, share=0, speed=10, left=7)
    if width >= 60:
        return Widths(owner=0, bar=10, durable=0, share=5, speed=10, left=7)
    return Widths(owner=0, bar=0, durable=0, share=5, speed=10, left=0)


class WatchScreen:
    """Draws what is watched when it is told to; within `with`."""

    def __init__(self, console: Console, server: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.watched = Watched()
        self._console, self._server, self._clock = console, server, clock
        self._lines: list[Text] = []
        self._uncounted, self._uncounted_bytes = 0, 0
        self._waiting: tuple[float, str] | None = None
        self._live = Live(console=console, get_renderable=self.render, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._print_lines()
        self._live.stop()

    def take(self, event: EventMessage) -> None:
        """Something happened."""
        self._waiting = None
        self.watched.take(event, self._clock())
        if isinstance(event, ResetEvent):
            if event.missed:
                self._lines.append(_timed(sentence_of(event), "yellow"))
        elif isinstance(event, FileEvent) or event.event in ("completed", "cancelled"):
            self._add_line(event)

    def _add_line(self, event: FileEvent | UploadEvent) -> None:
        if len(self._lines) < MOST_LINES:
            self._lines.append(_timed(sentence_of(event)))
        else:
            self._uncounted += 1
            self._uncounted_bytes += event.offset if isinstance(event, UploadEvent) else 0

    def add(self, uploads: Sequence[UnfinishedUpload]) -> None:
        """What was under way before."""
        self.watched.add(uploads, "", self._clock(), time.time())

    def wait(self, waiting: Waiting) -> None:
        """The server is away."""
        self._waiting = (self._clock() + waiting.seconds, waiting.reason)

    async def keep(self) -> None:
        """Draw now and then, until cancelled. Raises OSError where it cannot."""
        while True:
            self.draw()
            await asyncio.sleep(DRAW_SECONDS)

    def draw(self) -> None:
        """What has happened, and how things are."""
        self._print_lines()
        self._live.refresh()

    def _print_lines(self) -> None:
        if self._uncounted:
            self._lines.append(_timed(f"and {self._uncounted:,} more, {size_words(self._uncounted_bytes)}"))
        if self._lines:
            self._console.print(Text("\n").join(self._lines))
        self._lines, self._uncounted, self._uncounted_bytes = [], 0, 0

    # ----------------------------------------------------------------------------------------------------- drawing

    def render(self) -> RenderableType:
        """Everything below the lines."""
        now, size = self._clock(), self._console.size
        rows = self.watched.rows(now)
        most = max(1, size.height - 3)
        shown = rows if len(rows) <= most else rows[: most - 1]
        rest = [Text(f"and {len(rows) - len(shown)} more", "dim")] if len(shown) < len(rows) else []
        return Group(self._table(shown, size.width, now), *rest, self._summary(rows, now))

    def _table(self, rows: list[Row], width: int, now: float) -> RenderableType:
        widths = widths_for(width, owners=any(row.owner not in ("", "anonymous") for row in rows))
        columns = [part for part in widths if part]
        rest = max(1, width - sum(columns) - len(columns))
        table = Table.grid(_column(rest), *map(_column, columns), padding=(0, 1, 0, 0))
        for row in rows:
            parts = zip(_parts(row, widths, now), widths, strict=True)
            table.add_row(ending(printable(row.name), rest), *(part for part, width in parts if width))
        return table

    def _summary(self, rows: list[Row], now: float) -> Text:
        if self._waiting is not None:
            until, reason = self._waiting
            return _one_line(waiting_words(max(0.0, until - now), reason), "yellow")
        server = printable(self._server)
        if not rows:
            return _one_line(f"no uploads at {server}", "dim")
        speed = sum(row.speed(now) or 0.0 for row in rows)
        fast = f", {size_words(int(speed))}/s" if speed else ""
        return _one_line(f"{len(rows)} {'upload' if len(rows) == 1 else 'uploads'}{fast} at {server}", "bold")


def on_stdout(server: str) -> WatchScreen:
    """The screen of this process."""
    return WatchScreen(Console(highlight=False, markup=False, emoji=False), server)


def _column(width: int) -> Column:
    return Column(no_wrap=True, overflow="ellipsis", width=width)


def _parts(row: Row, widths: Widths, now: float) -> tuple[RenderableType, ...]:
    """In the order of these widths."""
    share = "" if not row.size else f"{100 * row.offset // row.size} %"
    of_size = "" if row.size is None else f" of {size_words(row.size)}"
    bar = ProgressBar(row.size, row.offset, width=widths.bar or 1) if row.size is not None else Text("")
    speed, left = _pace(row, widths, now)
    owner = Text(printable(row.owner), "dim")
    return owner, bar, _right(f"{size_words(row.offset)}{of_size}"), _right(share), speed, left


def _pace(row: Row, widths: Widths, now: float) -> tuple[Text, Text]:
    """How fast it is, and the time that is left, or why there is none."""
    speed, left, silent = row.speed(now), row.seconds_left, now - row.moved
    if row.is_whole:
        return _right("verifying", "cyan"), Text("")
    if silent > RECENT_SECONDS:
        return _right("silent", "yellow"), _right(time_words(silent), "yellow")
    if speed is None:
        return Text(""), Text("")
    word = " left" if widths.left >= len("0:00:00 left") else ""
    return _right(f"{size_words(int(speed))}/s", "green"), _right(f"{time_words(left)}{word}" if left else "", "green")


def _right(text: str, style: str = "") -> Text:
    return Text(text, style, justify="right")


def _timed(sentence: str, style: str = "") -> Text:
    return Text(f"{datetime.now().astimezone():%H:%M:%S}  {sentence}", style)


def _one_line(text: str, style: str) -> Text:
    return Text(text, style, no_wrap=True, overflow="ellipsis")
