"""`towline serve`, on a disk that is slow now and then, and with a file that says who changed which object when.

    python -m tests.crash.watched_server --port 0 --data DIR

TOWLINE_WATCH names the file. Each line of it is one call: when it began and ended on the machine's monotonic clock, in
nanoseconds, the process, the descriptor and how often that was opened, the object, and what was called. With
TOWLINE_UNLOCKED the process takes no notice of `serve.lock`: what keeps two servers apart is then only what is in each.
"""

import fcntl
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import typer

from transfer.cli import serve

CHANGING: Final = ("pwritev", "pwrite", "ftruncate", "fchmod")
SLOWEST: Final = 0.004
"""Seconds that a write takes longer at the most."""


class Diary:
    """Writes down every call that changes an object."""

    def __init__(self, path: str, seed: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._chance = random.Random(seed)
        self._openings: Counter[int] = Counter()

    def keep(self) -> None:
        """From now on, in all of this process."""
        for name in CHANGING:
            vars(os)[name] = self._kept(name, getattr(os, name))
        close = os.close

        def counted(descriptor: int) -> None:
            self._openings[descriptor] += 1
            close(descriptor)

        vars(os)["close"] = counted

    def _kept(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        def kept(descriptor: int, *arguments: object) -> object:
            path = os.readlink(f"/proc/self/fd/{descriptor}").removesuffix(" (deleted)")
            opening, began = self._openings[descriptor], time.monotonic_ns()
            time.sleep(self._chance.random() * SLOWEST)
            try:
                return real(descriptor, *arguments)
            finally:
                ended = time.monotonic_ns()
                if "/objects/" in path:
                    line = f"{began} {ended} {os.getpid()} {descriptor}.{opening} {Path(path).name} {name}\n"
                    os.write(self._file, line.encode())

        return kept


def ignore_serve_lock() -> None:
    real = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        if not os.readlink(f"/proc/self/fd/{descriptor}").endswith("/serve.lock"):
            real(descriptor, operation)

    vars(fcntl)["flock"] = flock


if __name__ == "__main__":
    Diary(os.environ.pop("TOWLINE_WATCH"), os.environ.pop("TOWLINE_CHANCE")).keep()
    if os.environ.pop("TOWLINE_UNLOCKED", ""):
        ignore_serve_lock()
    typer.run(serve)
