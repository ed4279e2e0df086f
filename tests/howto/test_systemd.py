"""docs/howto/systemd.md, and the timer of backups.md: systemd takes the units, and what they start does its work."""

import asyncio
import configparser
import os
import shlex
import shutil
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE
from datetime import date
from pathlib import Path
from typing import Final

import pytest

from storage.granting import opened_grants
from tests.fences import only_block
from tests.server import CHECKOUT, STARTED
from transfer.settings import Settings

HOWTO: Final = CHECKOUT / "docs" / "howto"
DOCUMENT: Final = HOWTO / "systemd.md"
BACKUPS: Final = HOWTO / "backups.md"
UNITS: Final = {
    "towline.service": (DOCUMENT, "unit"),
    "towline-backup.service": (BACKUPS, "unit towline-backup.service"),
    "towline-backup.timer": (BACKUPS, "unit towline-backup.timer"),
}
SHOWN_COMMAND: Final = "/opt/towline/.venv/bin/towline"
SHOWN_DATA: Final = "/var/lib/towline"


def service() -> configparser.SectionProxy:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign] # as the library's manual has it
    unit.read_string(only_block(DOCUMENT, "unit"))
    return unit["Service"]


def test_systemd_has_nothing_to_say_against_the_units(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None and os.environ.get("CI") == "true":
        pytest.fail("docs/howto/systemd.md needs systemd-analyze: install systemd, CI does not pass without this test")
    if analyze is None:
        pytest.skip("NOT SHOWN HERE: docs/howto/systemd.md needs systemd-analyze")
    there = shutil.which("true") or sys.executable  # what is to be started has to be there
    files = [tmp_path / name for name in UNITS]
    for file in files:
        file.write_text(only_block(*UNITS[file.name]).replace(SHOWN_COMMAND, there))
    verified = subprocess.run([analyze, "verify", "--man=no", *files], capture_output=True, text=True, check=False)
    of_ours = [line for line in verified.stderr.splitlines() if any(file.name in line for file in files)]
    assert (verified.returncode, of_ours) == (0, []), verified.stderr  # of others on the machine it may speak too


def test_the_nightly_command_makes_a_backup_named_by_its_day(tmp_path: Path) -> None:
    (line,) = [line for line in only_block(*UNITS["towline-backup.service"]).splitlines() if "ExecStart=" in line]
    commands = {SHOWN_COMMAND: f"{sys.executable} -m client.cli", SHOWN_DATA: str(tmp_path / "data"), "%%": "%"}
    command = line.removeprefix("ExecStart=").replace("/mnt/backup", str(tmp_path / "backup"))
    for shown, meant in commands.items():
        command = command.replace(shown, meant)
    environment = {"PYTHONPATH": str(CHECKOUT), "PATH": os.environ["PATH"]}
    with opened_grants(tmp_path / "data"):
        pass  # makes the store
    subprocess.run(shlex.split(command), env=environment, check=True, capture_output=True)
    (made,) = (tmp_path / "backup").iterdir()
    date.fromisoformat(made.name)  # raises ValueError where it is no day
    assert (made / "catalog.db").exists()


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
