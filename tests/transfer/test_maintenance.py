"""What an operator types on the server's machine, as a process: answers, sentences and exit codes."""

import asyncio
import hashlib
import json
import os
import shlex
import sys
import tomllib
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer
from pydantic import JsonValue

from storage.local import LocalStore
from tests.server import CHECKOUT, ServerProcess, http_client
from tests.transfer.seeds import put
from transfer import maintenance
from transfer.terminal import Terminal, run

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


# -------------------------------------------------------------------------------------------------------------- backup


async def test_backup_copies_a_running_server_and_another_one_starts_on_it(folder: Path) -> None:
    async with ServerProcess(folder / "towline-data"):
        ended = await command(folder, "backup", "monday")
        line = "backed up 2 files and 0 unfinished uploads to monday: 100.0 kB linked, 0 bytes copied\n"
        assert ended == Ended(0, line, "")
        async with ServerProcess(folder / "monday") as other, http_client(other.url) as http:
            assert (await http.get("/files/cargo.bin")).content == CARGO
    assert (await command(folder, "verify", "--data", "monday")).code == 0


async def test_backup_writes_objects_for_programs_and_says_what_was_lost(folder: Path) -> None:
    object_of(folder, CARGO).unlink()
    ended = await command(folder, "backup", "monday", "--json")
    lost, done = ended.objects
    assert (ended.code, lost["event"], lost["name"]) == (1, "lost", "cargo.bin")
    assert (done["event"], done["files"], done["lost"], done["folder"]) == ("backed_up", 1, 1, "monday")


async def test_backup_refuses_a_folder_with_something_in_it(folder: Path) -> None:
    ended = await command(folder, "backup", "towline-data")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "towline: towline-data is there already: choose a folder that is not there, or is empty\n"


# ------------------------------------------------------------------------------------------------------------- recover


async def test_recover_makes_a_store_of_one_that_a_server_refuses(folder: Path) -> None:
    for path in (folder / "towline-data").glob("catalog.db*"):
        path.unlink()
    with pytest.raises(AssertionError, match="run towline recover"):
        async with ServerProcess(folder / "towline-data"):
            pass
    ended = await command(folder, "recover")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("recovered 2 files, named recovered/sha256-... by their digests; 0 objects")
    assert "tokens and links are gone with the catalog: make them anew" in ended.out
    async with ServerProcess(folder / "towline-data") as server, http_client(server.url) as http:
        name = f"recovered/sha256-{hashlib.sha256(CARGO).hexdigest()}"
        assert (await http.get(f"/files/{name}")).content == CARGO


async def test_recover_refuses_what_needs_none_and_what_a_server_uses(folder: Path) -> None:
    ended = await command(folder, "recover", "--json")
    assert ended.code == 1
    assert "nothing needs recovering" in str(ended.objects[0]["message"])
    async with ServerProcess(folder / "towline-data"):
        ended = await command(folder, "recover")
    assert (ended.code, ended.err) == (1, "towline: a server uses the data directory towline-data: stop it first\n")


async def test_recover_says_it_when_nothing_but_store_json_was_broken(folder: Path) -> None:
    (folder / "towline-data" / "store.json").write_text("")
    ended = await command(folder, "recover")
    assert ended == Ended(0, "store.json was written anew: every file and upload keeps its name\n", "")


# ------------------------------------------------------------------------------------------------------------ all three


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("verify", ["towline verify photos/ report.pdf", "--data", "--json", "Exit codes"]),
        ("backup", ["towline backup /mnt/backup/monday", "DIR.unfinished", "same command again", "Exit codes"]),
        ("recover", ["towline recover --data /srv/towline", "recovered/sha256-", "same command again", "Exit codes"]),
    ],
)
async def test_help_teaches(folder: Path, name: str, parts: list[str]) -> None:
    ended = await command(folder, name, "--help", environment={"COLUMNS": "100"})
    assert (ended.code, ended.err) == (0, "")
    assert [part for part in parts if part not in ended.out] == []


def test_ctrl_c_ends_it_with_130_and_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    def work(terminal: Terminal) -> int:
        raise KeyboardInterrupt

    with pytest.raises(typer.Exit) as ended:
        run(work, as_json=False, interrupted="run the same command to go on")
    assert ended.value.exit_code == 130
    assert capsys.readouterr().err == "towline: interrupted: run the same command to go on\n"


async def test_who_reads_the_answers_may_leave(folder: Path) -> None:
    shell = f"{shlex.quote(sys.executable)} -m transfer.maintenance verify --json | head -c 0"
    process = await asyncio.create_subprocess_shell(
        shell, stderr=PIPE, cwd=folder, env=os.environ | {"PYTHONPATH": str(CHECKOUT)}
    )
    _, errors = await process.communicate()
    assert errors == b""


def test_the_entry_points_lead_to_the_commands() -> None:
    entries = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["entry-points"]["towline.commands"]
    for name in ("verify", "backup", "recover"):
        assert EntryPoint(name, entries[name], "towline.commands").load() is getattr(maintenance, name)
