"""Progress on a terminal: a bar for the file that moves, one for all of several, and lines that stay above them."""

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self, TextIO

from rich.console import Console, RenderableType
from rich.progress import Progress, TaskID
from rich.text import Text

from client.progress import (
    Ack,
    Comparing,
    Complete,
    Downloaded,
    Event,
    Failed,
    Ready,
    Received,
    Receiving,
    Verifying,
    Waiting,
)
from client.terminal.bar_line import columns
from client.terminal.columns import fitted
from client.terminal.outcome import Outcome
from client.terminal.wording import Facts, error_line, line_of, printable, size_words

SPEED_SECONDS: Final = 10.0
"""Speed is an average over so long."""
SETTLING_SECONDS: Final = 0.5
"""Speed is not told before."""
LINES_SECONDS: Final = 0.1
"""A file that is done sooner after another one is told with the next, or at the end."""


class Meter:
    """Bytes that moved, over the last seconds. Bytes that were there already count as progress, not as speed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.start_at(0)

    def start_at(self, offset: int) -> None:
        """From here on bytes move."""
        self.offset = offset
        self._samples = deque([(self._clock(), offset)])

    def skip(self, size: int) -> None:
        """So many bytes need not move."""
        self.offset += size
        self._samples = deque((moment, offset + size) for moment, offset in self._samples)

    def reach(self, offset: int) -> None:
        """Everything below `offset` is there; what goes back to repair something does not count."""
        now = self._clock()
        self.offset = max(self.offset, offset)
        self._samples.append((now, self.offset))
        while len(self._samples) > 2 and self._samples[1][0] < now - SPEED_SECONDS:
            self._samples.popleft()

    @property
    def speed(self) -> float | None:
        """Bytes a second; None while it is too early to say."""
        (first, start), (last, end) = self._samples[0], self._samples[-1]
        return (end - start) / (last - first) if last - first >= SETTLING_SECONDS and end > start else None


class BarsDisplay:
    """A bar for the file that moves and, for several files, one for all of them; lines that stay above them. It draws
    nothing before something moves: what is typed behind a prompt would be drawn over."""

    def __init__(
        self,
        console: Console,
        stdout: TextIO,
        *,
        redraw_by_itself: bool = True,
        verbose: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._clock = clock
        self._verbose = verbose
        self._stdout = stdout
        self._progress = Progress(
            *columns(console),
            console=console,
            transient=True,
            auto_refresh=redraw_by_itself,
        )
        self._files: dict[str, tuple[TaskID, Meter]] = {}
        self._total: tuple[TaskID, Meter] | None = None
        self._expected_files = 0
        self._ended_files = 0
        self._entered = False
        self._lines: list[Text] = []
        """Not printed yet."""
        self._printed = 0.0

    def __enter__(self) -> Self:
        self._entered = True
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._print_lines()
        self._progress.stop()

    def __rich__(self) -> RenderableType:
        return self._progress.get_renderable()

    def expect(self, files: int, size: int) -> None:
        if files > 1:
            meter = Meter(self._clock)
            self._begin_drawing()
            self._expected_files = files
            self._total = (self._progress.add_task(f"0 of {files} files", total=size, meter=meter), meter)

    def data(self, line: str, facts: Facts) -> None:
        print(line, file=self._stdout, flush=True)

    def notice(self, kind: str, sentence: str, facts: Facts, *, detail: bool = False) -> None:
        if self._verbose or not detail:
            self.remark(sentence)

    def remark(self, sentence: str) -> None:
        self._line(printable(sentence))

    def error(self, outcome: Outcome, name: str = "", *, path: Path | None = None) -> None:
        self._line(error_line(outcome, name if path is None else str(path)), style="red")

    def show(self, event: Event) -> None:
        line = line_of(event, verbose=self._verbose, several=self._total is not None)
        has_bar = isinstance(event, Waiting) and bool(event.name or self._total)  # which counts down
        if line is not None and not has_bar:
            one_of_many = isinstance(event, Complete) and self._total is not None
            self._line(line, style="red" if isinstance(event, Failed) else "", may_wait=one_of_many)
        match event:
            case Ready() | Receiving():
                self._start(event.name, event.offset, event.size)
            case Ack() | Received():
                self._reach(event.name, event.offset)
            case Comparing() | Verifying():
                self._tell(event.name, f"{type(event).__name__.lower()} at {size_words(event.offset)}")
            case Waiting() if has_bar:
                self._tell(event.name, "", until=time.monotonic() + event.seconds)
            case Complete():
                self._end(event.name, event.file.size, moved=event.sent_bytes > 0)
            case Downloaded():
                self._end(event.name, event.size, moved=event.received_bytes > 0)
            case Failed():
                self._end(event.name, None, moved=False)

    def _line(self, line: str, style: str = "", *, may_wait: bool = False) -> None:
        self._lines.append(Text(fitted(line, self._console.width), style=style))
        if not may_wait or time.monotonic() - self._printed >= LINES_SECONDS:
            self._print_lines()

    def _print_lines(self) -> None:
        """All that wait, in one go: the bars are drawn anew below them, which takes longer than a small file."""
        if self._lines:
            self._console.print(Text("\n").join(self._lines))
            self._lines.clear()
            self._printed = time.monotonic()

    def _begin_drawing(self) -> None:
        if self._entered:
            self._progress.start()

    def _start(self, name: str, offset: int, size: int | None) -> None:
        task, meter = self._file(name)
        already = offset - meter.offset
        meter.start_at(offset)
        self._progress.update(task, total=size, completed=offset, state="", until=None)
        if self._total is not None:
            self._total[1].skip(already)
            self._update_total()

    def _reach(self, name: str, offset: int) -> None:
        task, meter = self._file(name)
        before = meter.offset
        meter.reach(offset)
        self._progress.update(task, completed=meter.offset, state="", until=None)
        if self._total is not None:
            self._total[1].reach(self._total[1].offset + meter.offset - before)
            self._update_total()

    def _tell(self, name: str, state: str, until: float | None = None) -> None:
        task, _ = self._file(name) if name or self._total is None else self._total
        self._progress.update(task, state=state, until=until)

    def _end(self, name: str, size: int | None, *, moved: bool) -> None:
        task, meter = self._files.pop(name, (None, Meter(self._clock)))
        if task is not None:
            self._progress.remove_task(task)
        self._ended_files += 1
        if self._total is not None:
            missing = 0 if size is None else size - meter.offset
            total = self._total[1]
            total.reach(total.offset + missing) if moved else total.skip(missing)
            self._update_total()

    def _file(self, name: str) -> tuple[TaskID, Meter]:
        if name not in self._files:
            meter = Meter(self._clock)
            self._begin_drawing()
            self._files[name] = (self._progress.add_task(printable(name), total=None, meter=meter), meter)
        return self._files[name]

    def _update_total(self) -> None:
        assert self._total is not None
        task, meter = self._total
        words = f"{self._ended_files} of {self._expected_files} files"
        self._progress.update(task, completed=meter.offset, description=words, until=None)
