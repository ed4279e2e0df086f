"""How a command of the operator's answers: lines or JSON to stdout, a bar to a terminal, one sentence when it fails."""

import json
import os
import sys
from collections.abc import Callable
from typing import Final, NoReturn, Self

import typer
from pydantic import JsonValue
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from transfer.protocol.errors import TransferError
from transfer.settings import WrongSetting

FAILED: Final = 1
MISUSED: Final = 2
INTERRUPTED: Final = 130


class Misused(Exception):
    """What was typed cannot be done; `str()` is a sentence."""


class Terminal:
    """Where one command says what it does. The bar is drawn on stderr, and only where that is a terminal."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        hidden = as_json or not console.is_terminal
        self._progress = Progress(
            *columns, console=console, transient=True, disable=hidden, redirect_stdout=False, redirect_stderr=False
        )
        self._bar: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begin(self, what: str, size: int) -> None:
        """`size` bytes are to be worked off from now on."""
        if self._bar is not None:
            self._progress.remove_task(self._bar)
        self._bar = self._progress.add_task(what, total=size)

    def advance(self, size: int) -> None:
        if self._bar is not None:
            self._progress.advance(self._bar, size)

    def tell(self, event: str, line: str, **facts: JsonValue) -> None:
        """Say it in lines, or the facts as an object."""
        text = json.dumps({"event": event, **facts}) if self._as_json else "\n".join(map(_printable, line.split("\n")))
        self._progress.stop()  # the bar goes, the line stays, the bar comes back
        print(text, flush=True)
        self._progress.start()

    def remark(self, sentence: str) -> None:
        """Something for people alone, to stderr: programs have it among the facts of a result."""
        if not self._as_json:
            self._progress.stop()
            print(_printable(sentence), file=sys.stderr, flush=True)
            self._progress.start()

    def refuse(self, sentence: str) -> None:
        if self._as_json:
            self.tell("error", "", message=sentence)
        else:
            self._progress.stop()
            print(f"towline: {_printable(sentence)}", file=sys.stderr, flush=True)


def _printable(line: str) -> str:
    """A line of which a terminal obeys nothing, whoever chose the words in it."""
    return line if line.isprintable() else repr(line)[1:-1]


def run(work: Callable[[Terminal], int], *, as_json: bool, interrupted: str) -> NoReturn:
    """Do the work of a command and end with its exit code; `interrupted` says what Ctrl-C leaves behind."""
    from storage.errors import StorageError  # the database takes its time to load: not before it is needed

    with Terminal(as_json=as_json) as terminal:
        try:
            code = work(terminal)
        except BrokenPipeError:  # whoever read our answers has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = FAILED
        except (Misused, WrongSetting) as wrong:
            terminal.refuse(str(wrong))
            code = MISUSED
        except (StorageError, TransferError) as refused:
            terminal.refuse(str(refused))
            code = FAILED
        except OSError as failed:
            where = f"{failed.filename}: " if failed.filename else ""
            terminal.refuse(f"{where}{failed.strerror.lower() if failed.strerror else failed}")
            code = FAILED
        except KeyboardInterrupt:
            terminal.refuse(f"interrupted: {interrupted}")
            code = INTERRUPTED
    raise typer.Exit(code)
