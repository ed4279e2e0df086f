"""docs/howto/systemd.md: systemd takes the unit, and what it starts is a server."""

import asyncio
import configparser
import os
import shlex
import shutil
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Final

import pytest

from tests.fences import only_block
from tests.server import CHECKOUT, STARTED
from transfer.settings import Settings

DOCUMENT: Final = CHECKOUT / "docs" / "howto" / "systemd.md"
SHOWN_COMMAND: Final = "/opt/towline/.venv/bin/towline"
SHOWN_DATA: Final = "/var/lib/towline"


def service() -> configparser.SectionProxy:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign] # as the library's manual has it
    unit.read_string(only_block(DOCUMENT, "unit"))
    return unit["Service"]


def test_systemd_has_nothing_to_say_against_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None and os.environ.get("CI") == "true":
        pytest.fail("docs/howto/systemd.md needs systemd-analyze: install systemd, CI does not pass without this test")
    if analyze is None:
        pytest.skip("NOT SHOWN HERE: docs/howto/systemd.md needs systemd-analyze")
    file = tmp_path / "towline.service"
    there = shutil.which("true") or sys.executable  # what is to be started has to be there
    file.write_text(only_block(DOCUMENT, "unit").replace(SHOWN_COMMAND, there).replace("file:/opt", "file:/"))
    verified = subprocess.run([analyze, "verify", "--man=no", str(file)], capture_output=True, text=True, check=False)
    assert (verified.returncode, about(file.name, verified.stderr)) == (0, [])


def about(unit: str, said: str) -> list[str]:
    """What systemd-analyze says of this unit; of others that are on the machine it speaks too."""
    return [line for line in said.splitlines() if unit in line]


async def test_what_the_unit_starts_is_a_server_that_ends_in_order_when_systemd_stops_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=int(service()["StateDirectoryMode"], 8))
    shown, *arguments = shlex.split(service()["ExecStart"].replace(SHOWN_DATA, str(data)))
    assert shown == SHOWN_COMMAND
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "client.cli", *arguments, "--port", "0"),
        env={"PYTHONPATH": str(CHECKOUT), "PATH": os.environ["PATH"]},
        cwd=tmp_path,
        stdout=PIPE,
        stderr=PIPE,
    )
    assert process.stdout is not None
    line = await process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    await process.communicate()
    assert line.decode().startswith(STARTED)
    assert process.returncode == 0
    assert (data / "catalog.db").exists()


def test_systemd_waits_longer_than_a_server_that_drains() -> None:
    assert float(service()["TimeoutStopSec"]) > Settings.model_fields["drain_timeout"].default
