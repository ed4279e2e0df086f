"""What an operator types on the server's machine, as a process: answers, sentences and exit codes."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import JsonValue

from storage.local import LocalStore
from tests.server import CHECKOUT, ServerProcess
from tests.transfer.seeds import put

CARGO = os.urandom(100_000)


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, JsonValue]]:
        return [json.loads(line) for line in self.out.splitlines()]


async def command(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Ended:
    """Run one to its end, in `folder`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "transfer.maintenance", *arguments),
        stdout=PIPE,
        stderr=PIPE,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)} | dict(environment or {}),
    )
    output, errors = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, output.decode(), errors.decode())


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A folder with a store in its default place, which has two files."""
    async with LocalStore(tmp_path / "towline-data") as store:
        await put(store, "cargo.bin", CARGO)
        await put(store, "docs/note.txt", b"note")
    return tmp_path


def object_of(folder: Path, content: bytes) -> Path:
    """Where a content lies."""
    (found,) = (
        path for path in (folder / "towline-data/objects").rglob("*") if path.is_file() and path.read_bytes() == content
    )
    return found


def damage(folder: Path) -> None:
    path = object_of(folder, CARGO)
    path.chmod(0o600)
    path.write_bytes(bytes([CARGO[0] ^ 1]) + CARGO[1:])
    path.chmod(0o400)


# -------------------------------------------------------------------------------------------------------------- verify


async def test_verify_says_that_there_is_no_damage(folder: Path) -> None:
    ended = await command(folder, "verify")
    assert ended == Ended(0, "verified 2 files and 0 unfinished uploads, 100.0 kB: no damage\n", "")


async def test_verify_names_what_is_damaged_where_and_what_to_do(folder: Path) -> None:
    damage(folder)
    async with ServerProcess(folder / "towline-data"):
        ended = await command(folder, "verify")
    first, last = ended.out.splitlines()
    assert ended.code == 1
    assert first.startswith("cargo.bin: damaged file: its content has another digest, bytes [0, 100000);")
    assert "upload it again with --if-exists replace" in first
    assert last == "verified 2 files and 0 unfinished uploads, 100.0 kB: 1 damaged"


async def test_verify_writes_objects_for_programs(folder: Path) -> None:
    damage(folder)
    ended = await command(folder, "verify", "--json")
    found, verified = ended.objects
    assert (found["event"], found["kind"], found["name"]) == ("damaged", "file", "cargo.bin")
    assert found["ranges"] == [[0, 100_000]]
    assert verified == {"event": "verified", "files": 2, "uploads": 0, "size": 100_004, "damaged": 1}


async def test_verify_reads_only_what_is_named(folder: Path) -> None:
    damage(folder)
    ended = await command(folder, "verify", "docs/", environment={"TOWLINE_DATA": str(folder / "towline-data")})
    assert ended == Ended(0, "verified 1 files and 0 unfinished uploads, 4 bytes: no damage\n", "")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["verify", "carg"], 2, "a file or an unfinished upload 'carg' is not here"),
        (["verify", "../x"], 2, "segment '..'"),
        (["verify", "--data", "other"], 1, "there is no store in other"),
    ],
)
async def test_what_cannot_be_done_is_one_sentence(folder: Path, arguments: list[str], code: int, said: str) -> None:
    ended = await command(folder, *arguments)
    assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1)
    assert ended.err.startswith("towline: ")
    assert said in ended.err
    as_json = await command(folder, *arguments, "--json")
    assert as_json.code == code
    assert said in str(as_json.objects[0]["message"])


async def test_a_wrong_setting_is_wrong_use(folder: Path) -> None:
    ended = await command(folder, "verify", environment={"TOWLINE_PORT": "x"})
    assert ended.code == 2
    assert "TOWLINE_PORT" in ended.err


async def test_other_commands_do_not_wait_for_the_database_to_load() -> None:
    code = "import sys, transfer.maintenance; print({'fastapi', 'uvicorn', 'sqlalchemy'} & set(sys.modules))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=PIPE, cwd=CHECKOUT)
    output, _ = await process.communicate()
    assert output == b"set()\n"
