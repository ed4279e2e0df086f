"""docs/howto/script.md: its script tries until it is done, and events have the fields that it says."""

import asyncio
import re
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from dataclasses import fields
from pathlib import Path
from typing import Final

import pytest

from client import progress
from tests.consoles import Terminal
from tests.fences import blocks, only_block
from tests.server import CHECKOUT

DOCUMENT: Final = CHECKOUT / "docs" / "howto" / "script.md"
SCRIPT: Final = "until-done.sh"
NO_PROGRESS: Final = {"selected", "error"}
"""Events that are about no file, or whatever may be wrong with one."""


@pytest.fixture
async def terminal(tmp_path: Path) -> AsyncIterator[Terminal]:
    """A person with the script, and a server that runs."""
    (tmp_path / SCRIPT).write_text(only_block(DOCUMENT, f"sh {SCRIPT}"))
    async with Terminal(tmp_path) as terminal:
        await terminal.serve()
        yield terminal


async def test_what_the_consoles_show_is_what_happens(terminal: Terminal) -> None:
    for block in blocks(DOCUMENT, "console"):
        await terminal.type(block)


async def test_the_script_goes_on_until_the_server_is_there(terminal: Terminal) -> None:
    (terminal.folder / "cargo.bin").write_bytes(bytes(100_000))
    await terminal.server.kill()
    script = await asyncio.create_subprocess_exec(
        *("sh", SCRIPT, "cargo.bin", "--give-up-after", "0.1"),
        cwd=terminal.folder,
        env=terminal.environment | {"PAUSE": "0"},
        stdin=DEVNULL,
        stderr=PIPE,
    )
    assert script.stderr is not None
    while b"gave up" not in await script.stderr.readline():
        assert script.returncode is None
    await terminal.serve()
    said = (await script.stderr.read()).decode()
    assert await script.wait() == 0, said
    assert "cargo.bin: done" in said


async def test_the_script_does_not_try_again_what_cannot_succeed(terminal: Terminal) -> None:
    script = await asyncio.create_subprocess_exec(
        *("sh", SCRIPT, "not-there.bin"), cwd=terminal.folder, env=terminal.environment, stdin=DEVNULL, stderr=DEVNULL
    )
    assert await script.wait() == 1


def test_the_events_have_the_fields_that_the_document_says() -> None:
    table = DOCUMENT.read_text().partition("| `event` | fields | when |")[2].partition("\n\n")[0]
    rows = [re.findall(r"`([a-z_]+)`", "|".join(row.split("|")[1:3])) for row in table.splitlines()[2:]]
    told = {kind: set(names) for kind, *names in rows if kind not in NO_PROGRESS}
    assert len(told) >= 5
    for kind, names in told.items():
        assert names == {field.name for field in fields(getattr(progress, kind.capitalize()))}, kind
