"""The consoles of documents, typed as a person would: what is shown is what happens.

`…` stands for any text, and alone on a line for any lines. The server in the documents is http://127.0.0.1:8000.
"""

import asyncio
import os
import re
import shlex
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from signal import SIGKILL
from typing import Final, NamedTuple

from tests.fences import Block
from tests.server import CHECKOUT, ServerProcess

SHOWN_URL: Final = "http://127.0.0.1:8000"
COMMAND_SECONDS: Final = 120
KILLED: Final = (128 + SIGKILL, -SIGKILL)
"""What a shell says of a command that was killed, and what is said of a shell that has become that command."""


class Step(NamedTuple):
    """A command, and what is to be seen of it."""

    command: str
    output: str


def steps(block: Block) -> list[Step]:
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert parts[0] == "", f"a console begins with a command: {parts[0]!r}"
    return [_step(part) for part in parts[1:]]


def _step(part: str) -> Step:
    """A command may go on in lines that begin with the shell's second prompt."""
    command, *rest = part.splitlines(keepends=True)
    typed = [command, *takewhile(lambda line: line.startswith("> "), rest)]
    return Step("".join(line.removeprefix("> ") for line in typed).rstrip("\n"), "".join(rest[len(typed) - 1 :]))


def pattern_of(output: str) -> str:
    """A regular expression of what a document shows."""
    lines = output.splitlines()
    return "".join(
        r"(?:.*\n)*?" if line == "…" else ".+".join(re.escape(part) for part in line.split("…")) + r"\n"
        for line in lines
    )


class Terminal:
    """A person at a shell in `folder`, with the commands that the documents speak of, and one server. `environment`
    has what they have set, beside the server's address."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.server = ServerProcess(folder / "towline-data")
        self.places: dict[str, str] = {}
        """What addresses in the documents stand for here."""
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("TOWLINE_")}
        self.environment |= environment or {}
        self._is_serving = False

    async def __aenter__(self) -> "Terminal":
        (self.folder / "run").symlink_to(CHECKOUT / "run")  # as in a checkout, with something to send
        shutil.copy(CHECKOUT / "LICENSE", self.folder)
        commands = self.folder / ".bin"
        commands.mkdir()
        for name, arguments in {"python": "", "towline": "-m client.cli"}.items():
            (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
            (commands / name).chmod(0o755)
        self.environment |= {
            "PATH": f"{commands}:{os.environ['PATH']}",
            "PYTHONPATH": str(CHECKOUT),
            "LC_ALL": "C.UTF-8",
            "XDG_STATE_HOME": str(self.folder / ".state"),
        }
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._is_serving:
            await self.server.kill()

    async def type(self, block: Block) -> None:
        """Do what a block shows, and see what it shows."""
        for step in steps(block):
            if block.info == "console server":
                await self._serve(step)
            else:
                await self._run(step)

    async def _serve(self, step: Step) -> None:
        assert step.output == f"listening on {SHOWN_URL}\n"
        options = re.fullmatch(r"(?:towline|\./run) serve(.*)", step.command)
        assert options is not None, step.command
        await self.serve(shlex.split(options[1]))

    async def serve(self, options: Sequence[str] = ()) -> None:
        """Start the server; one that runs is killed, and its port goes over to the new one."""
        if self._is_serving:
            await self.server.kill()
        port, self.server = self.server.port, ServerProcess(self.folder / "towline-data", options=options)
        self.server.port = port
        await self.server.__aenter__()
        self._is_serving = True
        self.places[SHOWN_URL] = self.environment["TOWLINE_SERVER"] = self.server.url

    async def output_of(self, block: Block) -> str:
        """What the one command of a block prints, when it prints what is shown."""
        (step,) = steps(block)
        return await self._run(step)

    async def _run(self, step: Step) -> str:
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", self._meant(step.command)),
            cwd=self.folder,
            env=self.environment,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
        )
        async with asyncio.timeout(COMMAND_SECONDS):
            output, _ = await process.communicate()
        shown = self._shown(output.decode())
        assert re.fullmatch(pattern_of(step.output), shown), f"$ {step.command}\n{shown}\ninstead of\n{step.output}"
        assert process.returncode in (KILLED if "-s KILL" in step.command else (0,)), step.command
        return shown

    def _meant(self, text: str) -> str:
        for shown, place in self.places.items():
            text = text.replace(shown, place)
        return text

    def _shown(self, text: str) -> str:
        for shown, place in self.places.items():
            text = text.replace(place, shown)
        return text
