"""What a real bash completes, from a real server, with names on it that would like to be run."""

import asyncio
import os
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import client
from client.terminal.completing import ONE_WORD
from tests.client.command import Towline
from tests.corpus import HOSTILE_NAMES
from tests.server import running
from transfer.settings import Settings

PATIENT_TOWLINE = """
from client import cli
from client.terminal import completing

completing.PATIENCE_SECONDS = 60
cli.main()
"""
"""A machine that is busy with other tests may need more than a person at a prompt waits."""
SCRIPT = """
source <(towline completion bash)
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_towline_completion towline
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[str]:
    async with running(Settings(data=tmp_path / "data", port=0)) as url:
        yield url


async def completed(towline: Towline, *words: str) -> list[str]:
    """What bash has for the last of these words."""
    commands = towline.folder / ".bin"
    commands.mkdir(exist_ok=True)
    (commands / "towline").write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{PATIENT_TOWLINE}' \"$@\"\n")
    (commands / "towline").chmod(0o755)
    process = await asyncio.create_subprocess_exec(
        *("bash", "--norc", "-c", SCRIPT, "bash", "towline", *words),
        cwd=towline.folder,
        env=towline.environment | {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"},
        stdout=PIPE,
        stderr=PIPE,
    )
    out, errors = await process.communicate()
    assert errors == b""
    return out.decode().split()


async def test_bash_completes_commands_options_and_what_goes_with_them(towline: Towline) -> None:
    assert await completed(towline, "dow") == ["download"]
    assert {"share", "serve"} <= {*await completed(towline, "s")}
    assert await completed(towline, "ls", "--so") == ["--sort"]
    assert await completed(towline, "ls", "--sort", "") == ["name", "size", "created", "modified"]
    assert await completed(towline, "token", "cr") == ["create"]


async def test_bash_completes_names_on_the_server_that_are_one_word(towline: Towline, server: str) -> None:
    names = ["photos/cat.jpg", "photos/кот.jpg", "photos/$(touch run)", "photos/*", "photos/a b", "photos/`x`"]
    async with client.connect(server) as connection:
        for name in names:
            await connection.upload(b"", name=name)
    for command in ("download", "rm", "mv", "share", "ls"):
        assert await completed(towline, command, "photos/") == ["photos/cat.jpg", "photos/кот.jpg"]
    assert not (towline.folder / "run").exists()


def test_what_is_offered_is_one_word_to_a_shell_as_it_stands(tmp_path: Path) -> None:
    offered = [name for name in HOSTILE_NAMES if ONE_WORD.fullmatch(name)]
    assert len(offered) > 10
    assert not [name for name in offered if name.startswith("-")]
    said = subprocess.run(
        ["bash", "--norc", "-c", f"printf '%s\\0' {' '.join(offered)}"], cwd=tmp_path, capture_output=True, check=True
    )
    assert said.stdout.decode().split("\0")[:-1] == offered


async def test_a_server_that_does_not_answer_completes_nothing_and_says_nothing(towline: Towline) -> None:
    towline.environment["TOWLINE_SERVER"] = "http://127.0.0.1:1"
    assert await completed(towline, "rm", "") == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
async def test_other_shells_get_what_theirs_needs(towline: Towline, shell: str) -> None:
    said = (await towline("completion", shell)).out
    assert f"_TOWLINE_COMPLETE=complete_{shell}" in said
    assert "no such" not in said
