"""Servers with faults that start in tens of milliseconds: forks of one process that has imported everything.

    async with Nursery(faults.environment) as nursery:
        server = await nursery.start(data)
        code = await server.ended()

There is one server at a time, for the faults' trace and counters are one. Run as a program this module is that process:
a line on stdin is the data folder of the next server, what it says on stdout is where it listens and how it ended.
"""

import asyncio
import importlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from tests.server import CHECKOUT, STARTED
from transfer import cli

ENDED: Final = "ended "
PID: Final = "pid "
BUG: Final = 70
"""The exit code of a server that ended with a traceback."""


class NotStarted(Exception):
    """It ended before it listened."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class FaultyServer:
    """One life of `towline serve`, whose system calls may fail."""

    def __init__(self, nursery: "Nursery") -> None:
        self._nursery = nursery
        self._code: int | None = None
        self.pid = 0
        self.url = ""

    async def started(self) -> Self:
        """Raises NotStarted."""
        self.pid = int((await self._nursery.line()).removeprefix(PID))
        line = await self._nursery.line()
        if not line.startswith(STARTED):
            self._code = int(line.removeprefix(ENDED))
            raise NotStarted(self._code)
        self.url = line.removeprefix(STARTED)
        return self

    async def ended(self) -> int:
        """Its exit code, negative for a signal, once it has ended by itself."""
        if self._code is None:
            self._code = int((await self._nursery.line()).removeprefix(ENDED))
        return self._code

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it, if it runs. Returns its exit code."""
        if self._code is None:
            os.kill(self.pid, number)
        return await self.ended()


class Nursery:
    """The process that forks."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._log: list[str] = []
        self._more = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._process: Process | None = None
        self._server: FaultyServer | None = None

    async def __aenter__(self) -> Self:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOWLINE_")}
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.crash.nursery"),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            cwd=CHECKOUT,
            env=inherited | {"PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1"} | dict(self._environment),
        )
        self._reader = asyncio.create_task(self._read_log(self._process))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        if self._server is not None and self._server.pid:
            await self._server.stop(signal.SIGKILL)
        assert self._reader is not None
        self._process.kill()
        await self._process.wait()
        await self._reader

    async def start(self, data: Path) -> FaultyServer:
        """Returns when it listens. Raises NotStarted. The one before must have ended."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{data}\n".encode())
        self._server = FaultyServer(self)
        return await self._server.started()

    async def ended(self) -> int:
        """The exit code of the last server, once it has ended by itself."""
        assert self._server is not None
        return await self._server.ended()

    async def line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode().rstrip("\n")
        assert line, f"the nursery ended:\n{self.logged()}"
        return line

    def logged(self) -> str:
        """What all servers wrote to stderr so far."""
        return "".join(self._log)

    async def until_logged(self, text: str) -> None:
        """Until a server has written `text`."""
        while text not in self.logged():
            self._more.clear()
            await self._more.wait()

    async def _read_log(self, process: Process) -> None:
        assert process.stderr is not None
        while line := await process.stderr.readline():
            self._log.append(line.decode(errors="replace"))
            self._more.set()


def main() -> None:
    for late in ("alembic.command", "pydantic.v1", "sqlalchemy.dialects.sqlite", "uvloop", "transfer.server"):
        importlib.import_module(late)
    while line := sys.stdin.readline():
        if not (pid := os.fork()):
            print(f"{PID}{os.getpid()}")
            os._exit(_serve(Path(line.rstrip("\n"))))
        print(f"{ENDED}{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}")


def _serve(data: Path) -> int:
    os.chdir(data.parent)
    try:
        return cli.run({"port": 0, "data": data})
    except BaseException:  # noqa: BLE001 - as in any process: a traceback, and that was it
        sys.excepthook(*sys.exc_info())
        return BUG
    finally:
        sys.stderr.flush()


if __name__ == "__main__":
    main()
