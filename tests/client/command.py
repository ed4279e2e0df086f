"""The real command, as a process."""

import asyncio
import json
import os
import random
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from tests.server import CHECKOUT

NO_KEYRING = "keyring.backends.fail.Keyring"
CONTENT = random.Random(3).randbytes(3_000_001)
"""Of a file that a test does not care about."""


@dataclass(frozen=True)
class Ended:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, JsonValue]]:
        """stdout, read as an object a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    def the(self, event: str) -> dict[str, JsonValue]:
        """The only object of one kind."""
        (found,) = [line for line in self.objects if line["event"] == event]
        return found

    def has(self, *events: str) -> bool:
        """Whether there are objects of these kinds."""
        return set(events) <= {str(line["event"]) for line in self.objects}


class Towline:
    """The command in one folder, for one server."""

    def __init__(self, folder: Path, server: str) -> None:
        self.folder = folder
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("TOWLINE_")}
        self.environment |= {"PYTHONPATH": str(CHECKOUT), "TOWLINE_SERVER": server, "COLUMNS": "100"}
        self.environment |= {"XDG_CONFIG_HOME": str(folder.parent / "config"), "PYTHON_KEYRING_BACKEND": NO_KEYRING}
        self.environment["XDG_STATE_HOME"] = str(folder.parent / "state")

    async def __call__(self, *arguments: str, stdin: bytes = b"", code: int = 0) -> Ended:
        """Run it to its end, which is to have this exit code and no traceback."""
        async with self.begun(*arguments) as process:
            return await self.end(process, stdin=stdin, code=code)

    @asynccontextmanager
    async def begun(self, *arguments: str) -> AsyncIterator[Process]:
        """Start it, with pipes; killed at the end if it still runs."""
        command = [sys.executable, "-m", "client.cli", *arguments]
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=self.folder, env=self.environment
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def end(self, process: Process, *, stdin: bytes = b"", code: int = 0) -> Ended:
        out, err = await process.communicate(stdin)
        assert process.returncode is not None
        ended = Ended(process.returncode, out.decode(), err.decode())
        assert "Traceback" not in ended.err
        assert ended.code == code, ended
        return ended

    def write(self, path: str, content: bytes = CONTENT) -> Path:
        """A file in the folder."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    def read(self, path: str) -> bytes:
        return (self.folder / path).read_bytes()
