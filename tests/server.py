"""Towline servers for tests: in this process and loop, or as a process that can be killed.

    async with running(Settings(data=tmp_path / "data")) as url: ...

    async with ServerProcess(tmp_path / "data") as server:
        await server.kill()
        await server.restart()

Both take a free port, and have started when they are entered.
"""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import httpx2
from fastapi import FastAPI

from tests import evidence
from transfer.app import create_app
from transfer.server import Server, certificate_of, limits_of, open_listener, serving, url_of
from transfer.settings import Settings

CHECKOUT = Path(__file__).resolve().parent.parent
STARTED = "listening on "


def http_client(url: str) -> httpx2.AsyncClient:
    """An HTTP client that takes nothing from the environment, and loads no certificates."""
    hooks = {"response": [evidence.response]}
    return httpx2.AsyncClient(base_url=url, trust_env=False, verify=False, event_hooks=hooks)


@asynccontextmanager
async def running(settings: Settings, app: FastAPI | None = None) -> AsyncIterator[str]:
    """A server in this loop, on a free port; yields its base URL. With `app` it is one of `create_app(settings)`'s
    making, whose `app.state.store` the test wants to use. Raises StoreRefused."""
    async with serving_apart(app or create_app(settings), settings) as (url, _):
        yield url


@asynccontextmanager
async def serving_apart(
    app: FastAPI, settings: Settings, *, ping_interval: float = 20.0, ping_timeout: float = 20.0
) -> AsyncIterator[tuple[str, Server]]:
    """Serve any application in a task of its own, so that what a test raises does not arrive in exception groups."""
    listener, certificate = open_listener(settings.host, 0), certificate_of(settings)
    url, leaving = url_of(listener, tls=certificate is not None), asyncio.Event()
    started: asyncio.Future[Server] = asyncio.get_running_loop().create_future()

    async def serve() -> None:
        async with serving(
            app,
            listener,
            drain_timeout=settings.drain_timeout,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            connection_limits=limits_of(settings),
            certificate=certificate,
        ) as server:
            started.set_result(server)
            await leaving.wait()

    with listener:
        task = asyncio.create_task(serve())
        either: list[asyncio.Future[Any]] = [task, started]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        try:
            yield url, started.result()
        finally:
            leaving.set()
            await task


def alarms(log_lines: Iterable[str]) -> list[str]:
    """What of a log an operator would look into at once: errors, and what is no event at all."""
    return [line for line in log_lines if not line.startswith("{") or json.loads(line)["level"] == "error"]


class ServerProcess:
    """`towline serve` as a process, on a port that stays the same when it is started anew; killed at the end. With
    another `module` it is that one's main part, which does the same and more."""

    def __init__(
        self,
        data: Path,
        *,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        module: str = "transfer.cli",
    ) -> None:
        self.data = data
        self._module = module
        self._options = list(options)
        self._environment = dict(environment or {})
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._logged = asyncio.Event()
        self.port = 0
        self.url = ""
        self.log_lines: list[str] = []
        """What it wrote to stderr, over all its lives."""
        self.further_output = ""
        """What it wrote to stdout after its first line, known when it has ended."""

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def _running(self) -> Process:
        assert self._process is not None, "it was not started"
        return self._process

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def _start(self) -> None:
        command = ["-m", self._module, "--port", str(self.port), "--data", str(self.data), *self._options]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOWLINE_")}
        path = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
        self.data.parent.mkdir(parents=True, exist_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            stdout=PIPE,
            stderr=PIPE,
            cwd=self.data.parent,
            env=inherited | {"PYTHONPATH": path} | self._environment,
        )
        assert self._process.stdout is not None
        self._reader = asyncio.create_task(self._read_log(self._process))
        line = (await self._process.stdout.readline()).decode().rstrip("\n")
        if not line.startswith(STARTED):
            code = await self._end()
            raise AssertionError(f"it did not start, exit code {code}, said {line!r}:\n" + "\n".join(self.log_lines))
        self.url = line.removeprefix(STARTED)
        self.port = int(self.url.rpartition(":")[2])

    async def _read_log(self, process: Process) -> None:
        assert process.stderr is not None
        while line := await process.stderr.readline():
            self.log_lines.append(line.decode(errors="replace").rstrip("\n"))
            evidence.keep("log", self.log_lines[-1])
            self._logged.set()

    async def until_logged(self, text: str) -> str:
        """The first log line that contains `text`, as soon as there is one."""
        while True:
            self._logged.clear()
            for line in self.log_lines:
                if text in line:
                    return line
            await self._logged.wait()

    async def kill(self) -> None:
        """End it like a crash, if it runs."""
        if self._running.returncode is None:
            self._running.kill()
        await self._end()

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, and let it run on."""
        self._running.send_signal(number)

    async def terminate(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop. Returns its exit code."""
        self._running.send_signal(number)
        return await self._end()

    async def restart(self) -> None:
        """Start it again, on the same port and data; kills it first if it runs."""
        await self.kill()
        await self._start()

    async def _end(self) -> int:
        assert self._reader is not None
        assert self._running.stdout is not None
        self.further_output += (await self._running.stdout.read()).decode()
        await self._reader
        return await self._running.wait()
