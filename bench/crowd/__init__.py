"""Many clients of one server, in a process of their own that is told what they do.

with Crowd(server.port, "/ws") as crowd:
    crowd.connect(1_000)
    crowd.upload_slowly()
    echoes = crowd.probe(5.0)
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, Self

CHECKOUT: Final = Path(__file__).resolve().parent.parent.parent
MESSAGE_BYTES: Final = 16 << 10
SLOW_PERIOD: Final = 1.0
"""Seconds between two messages of a slow client."""
UPLOAD_BYTES: Final = 4 << 20
"""The size of a slow upload, most of which never comes."""
PROBE_SECONDS: Final = 0.007


class Crowd:
    """The clients at `path` of the server at `port`; they are gone when the block ends. What is asked of them returns
    when it is done, or under way where it is done slowly."""

    def __init__(self, port: int, path: str) -> None:
        self._command = [sys.executable, "-m", "bench.crowd", str(port), path]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, text=True, cwd=CHECKOUT)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.communicate()

    def _ask(self, name: str, *arguments: float) -> Any:
        """Raises RuntimeError where the process has ended: it said why on stderr."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, *arguments]) + "\n")
        self._process.stdin.flush()
        if not (line := self._process.stdout.readline()):
            raise RuntimeError(f"the clients ended when they were to {name}")
        return json.loads(line)

    def connect(self, count: int) -> None:
        self._ask("connect", count)

    def leave(self) -> None:
        self._ask("leave")

    def upload_slowly(self) -> None:
        """From now on a message of MESSAGE_BYTES each SLOW_PERIOD, on each connection."""
        self._ask("upload_slowly")

    def echo_slowly(self) -> None:
        """The same messages, to a server that sends them back."""
        self._ask("echo_slowly")

    def ack_seconds(self) -> list[float]:
        """How long messages of slow uploads took to be acknowledged."""
        found: list[float] = self._ask("ack_seconds")
        return found

    def probe(self, seconds: float) -> list[float]:
        """How long echoes take on one more connection, one each PROBE_SECONDS."""
        found: list[float] = self._ask("probe", seconds)
        return found

    def upload_at_once(self, size: int, pieces: int) -> float:
        """Seconds until each connection has uploaded a file of so many pieces of `size` bytes."""
        seconds: float = self._ask("upload_at_once", size, pieces)
        return seconds
