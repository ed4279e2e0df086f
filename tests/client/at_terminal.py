"""The real command at a terminal, and what is typed there."""

import asyncio
import os
import pty
import re
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.client.command import Towline


class Terminal:
    """One side of a pseudo-terminal, with the command on the other one."""

    def __init__(self, descriptor: int, process: Process) -> None:
        self.process = process
        self._descriptor = descriptor

    async def until(self, pattern: str) -> str:
        """What is shown until a regular expression is found in it, and what came with that."""
        return await asyncio.to_thread(self._read_until, re.compile(pattern.encode()))

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def _read_until(self, pattern: re.Pattern[bytes]) -> str:
        shown = b""
        while pattern.search(shown) is None:
            shown += os.read(self._descriptor, 4_096)
        return shown.decode()


@asynccontextmanager
async def at_terminal(towline: Towline, *arguments: str) -> AsyncIterator[Terminal]:
    """Start the command there; killed at the end if it still runs."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "client.cli", *arguments),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=towline.folder,
        env=towline.environment,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Terminal(ours, process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)
