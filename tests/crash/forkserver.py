"""Processes that begin as forks of one that has imported the service once: a start takes tens of milliseconds.

    process = ForkedProcess(work, "argument", log=tmp_path / "log")
    process.kill()
    assert await process.ended() == -SIGKILL

    async with ForkedServer(Settings(data=tmp_path / "data", port=0), tmp_path / "log") as server:
        await server.kill()
        await server.start()

What is forked has neither threads nor an event loop: it is `multiprocessing`'s fork server, told what to import.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, NoReturn, Self

import transfer
from tests.server import CHECKOUT, STARTED
from transfer.settings import PREFIX, Settings

_CONTEXT: Final = get_context("forkserver")
_WHILE_STARTING: Final = (
    *("alembic.command", "encodings.idna", "pydantic.v1", "sqlalchemy.dialects.sqlite", "sqlite3", "uvloop"),
    *("uvicorn.lifespan.off", "uvicorn.loops.uvloop"),
)
"""What the service imports while it starts."""
_CONTEXT.set_forkserver_preload(["tests.crash.forkserver", "transfer.server", *_WHILE_STARTING])


class ForkedProcess:
    """A process that calls `target(*arguments)` and exits with what that returns. It has a session of its own, none of
    the environment's settings, and writes what it has to say on stderr to the end of `log`.

    `target` is a function that a module has by its name, arguments are what can be pickled.
    """

    def __init__(self, target: Callable[..., int | None], *arguments: object, log: Path) -> None:
        self._log = log
        receiving, sending = Pipe(duplex=False)
        self._process = _CONTEXT.Process(target=_become, args=(target, arguments, sending, log), daemon=True)
        self._process.start()
        sending.close()
        with receiving:
            self._stdout = os.fdopen(os.dup(receiving.fileno()))

    async def says(self, beginning: str) -> str:
        """What follows `beginning` in the first line on stdout that starts with it. Fails when it ends before."""
        while line := await asyncio.to_thread(self._stdout.readline):
            if line.startswith(beginning):
                return line.removeprefix(beginning).rstrip("\n")
        code = await self.ended()
        raise AssertionError(f"it ended with {code} before it said {beginning!r}:\n{self._log.read_text()}")

    def kill(self) -> None:
        """SIGKILL, wherever it is; nothing when it has ended."""
        self._process.kill()

    async def ended(self) -> int:
        """Its exit code, once it has ended; negative when a signal ended it."""
        await asyncio.to_thread(self._process.join)
        self._stdout.close()
        assert self._process.exitcode is not None
        return self._process.exitcode


class ForkedServer:
    """`towline serve` with these settings, on a port that stays the same; killed at the end."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self._settings = settings
        self._process: ForkedProcess | None = None
        self.log = log
        self.port = settings.port
        self.starts = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    def begin(self) -> None:
        """Fork: it recovers and listens some time later, unless it is killed before."""
        settings = self._settings.model_copy(update={"port": self.port})
        self._process = ForkedProcess(_serve, settings, log=self.log)
        self.starts += 1

    async def start(self) -> None:
        """Returns when it listens. Fails when it refuses to start."""
        self.begin()
        assert self._process is not None
        self.port = int((await self._process.says(STARTED)).rpartition(":")[2])

    async def kill(self) -> None:
        """End it like a crash, if it runs, and wait until nothing of it is left."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await process.ended()


def _serve(settings: Settings) -> int:
    from transfer.server import serve  # only where it is served: whoever starts it needs less

    return serve(settings)


def _become(
    target: Callable[..., int | None], arguments: tuple[object, ...], stdout: Connection, log: Path
) -> NoReturn:
    os.setsid()
    assert transfer.__file__ is not None
    assert Path(transfer.__file__).is_relative_to(CHECKOUT), "the fork server has imported another checkout"
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
    os.dup2(stdout.fileno(), 1)
    stdout.close()
    written = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(written, 2)
    os.close(written)
    sys.exit(target(*arguments))
