"""What a command shows: bars on a terminal, plain lines elsewhere, JSON for machines.

Three classes with one interface, `Display`. Data goes to stdout, messages to people go to stderr; with JSON everything
is an object a line on stdout. Text that others chose (names, sentences of a server) is shown as it is, never obeyed:
no control characters, no markup.
"""

import json
import os
import sys
from contextlib import AbstractContextManager
from dataclasses import fields
from pathlib import Path
from shutil import get_terminal_size
from typing import Protocol, Self, TextIO

from pydantic import BaseModel, JsonValue

from client.progress import Event, Failed
from client.terminal.columns import fitted
from client.terminal.outcome import Outcome, outcome_of
from client.terminal.wording import Facts, error_line, line_of, printable
from transfer.protocol.digest import Digest


class Display(AbstractContextManager["Display"], Protocol):
    """Where a command shows what happens. Entered once, around everything."""

    def expect(self, files: int, size: int) -> None:
        """So many files with so many bytes in total will be transferred."""

    def show(self, event: Event) -> None:
        """Follow a transfer; a `Listener`. Does not raise when nobody reads any more."""

    def data(self, line: str, facts: Facts) -> None:
        """A result that was asked for: a line for people, facts for machines."""

    def notice(self, kind: str, sentence: str, facts: Facts, *, detail: bool = False) -> None:
        """Something that people may want to know, or, as a detail, the verbose; `kind` names it for machines."""

    def remark(self, sentence: str) -> None:
        """Something for people alone: machines have it among the facts of a result."""

    def error(self, outcome: Outcome, name: str = "", *, path: Path | None = None) -> None:
        """What went wrong, with what it is about: a name or an id on the server, or a path here."""


def choose_display(*, as_json: bool, quiet: bool, verbose: bool = False) -> Display:
    """The display for this process: what was asked for, else what stderr is. `quiet` counts more than `verbose`."""
    if as_json:
        return JsonDisplay(sys.stdout)
    bars = None if quiet or not sys.stderr.isatty() else _bars(verbose=verbose)
    return bars or PlainDisplay(sys.stdout, sys.stderr, quiet=quiet, verbose=verbose)


def _bars(*, verbose: bool) -> Display | None:
    """Bars, where the terminal can show them."""
    from rich.console import Console  # for terminals alone: loading it takes a tenth of a command's start

    from client.terminal.bars import BarsDisplay

    console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    return (
        BarsDisplay(console, sys.stdout, verbose=verbose)
        if console.is_terminal and not console.is_dumb_terminal
        else None
    )


# -------------------------------------------------------------------------------------------------------------- JSON


def json_of(event: Event) -> dict[str, JsonValue]:
    """An event as an object: its kind, and its fields."""
    if isinstance(event, Failed):
        outcome = outcome_of(event.error)
        return {"event": "error", "name": event.name, "code": outcome.code, "message": outcome.message}
    values = {field.name: _json_value(getattr(event, field.name)) for field in fields(event)}
    return {"event": type(event).__name__.lower(), **values}


def _json_value(value: object) -> JsonValue:
    match value:
        case BaseModel():
            dumped: JsonValue = value.model_dump(mode="json")
            return dumped
        case Digest() | Path():
            return str(value)
        case None | bool() | int() | float() | str():
            return value
    raise TypeError(type(value).__name__)


class JsonDisplay:
    """An object a line, in ASCII, at once."""

    def __init__(self, stdout: TextIO) -> None:
        self._stdout = stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def expect(self, files: int, size: int) -> None:
        self.notice("selected", "", {"files": files, "size": size})

    def show(self, event: Event) -> None:
        self._tell(json_of(event))

    def data(self, line: str, facts: Facts) -> None:
        print(json.dumps(facts), file=self._stdout, flush=True)

    def notice(self, kind: str, sentence: str, facts: Facts, *, detail: bool = False) -> None:
        self._tell({"event": kind, **facts} | ({"message": sentence} if sentence else {}))

    def remark(self, sentence: str) -> None:
        pass

    def error(self, outcome: Outcome, name: str = "", *, path: Path | None = None) -> None:
        about = {"path": str(path)} if path is not None else {"name": name} if name else {}
        self._tell({"event": "error", **about, "code": outcome.code, "message": outcome.message})

    def _tell(self, facts: Facts) -> None:
        """A transfer goes on when nobody reads its events any more."""
        try:
            self.data("", facts)
        except BrokenPipeError:
            silence(self._stdout)


def silence(stream: TextIO) -> None:
    """Send what is still written to a stream nowhere: the reader of its pipe has gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


# ------------------------------------------------------------------------------------------------------------- plain


class PlainDisplay:
    """A line when a file begins, resumes, waits and ends. When `quiet`, only what went wrong."""

    def __init__(self, stdout: TextIO, stderr: TextIO, *, quiet: bool = False, verbose: bool = False) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self._quiet = quiet
        self._verbose = verbose
        self._several = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def expect(self, files: int, size: int) -> None:
        self._several = files > 1

    def show(self, event: Event) -> None:
        line = line_of(event, verbose=self._verbose, several=self._several)
        if line is not None and (isinstance(event, Failed) or not self._quiet):
            self._say(line)

    def data(self, line: str, facts: Facts) -> None:
        print(line, file=self._stdout, flush=True)

    def notice(self, kind: str, sentence: str, facts: Facts, *, detail: bool = False) -> None:
        if self._verbose or not detail:
            self.remark(sentence)

    def remark(self, sentence: str) -> None:
        if not self._quiet:
            self._say(printable(sentence))

    def error(self, outcome: Outcome, name: str = "", *, path: Path | None = None) -> None:
        self._say(error_line(outcome, name if path is None else str(path)))

    def _say(self, line: str) -> None:
        width = get_terminal_size().columns if self._stderr.isatty() else None
        try:
            print(fitted(line, width), file=self._stderr, flush=True)
        except BrokenPipeError:
            silence(self._stderr)
