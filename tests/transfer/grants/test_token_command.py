"""What an operator types to hand out tokens on the server's machine: beside a server, and without one."""

import asyncio
import json
import os
import re
import sys
from asyncio.subprocess import PIPE
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from pydantic import JsonValue
from typer.testing import CliRunner

from storage.granting import opened_grants
from storage.grants import Grant
from storage.store import utc_now
from tests.server import CHECKOUT, http_client, running
from transfer.grants import token_command
from transfer.grants.issuing import new_token
from transfer.grants.token_entries import TokenEntry
from transfer.settings import Settings

SECRET = re.compile(r"towline_[0-9a-f]{12}_[0-9a-f]{64}")


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, JsonValue]]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture(autouse=True)
def _in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def token(*arguments: str) -> Ended:
    """`towline token` with these arguments, in this process."""
    ended = CliRunner().invoke(token_command.app, arguments, prog_name="towline token", env={"COLUMNS": "200"})
    assert ended.exception is None or isinstance(ended.exception, SystemExit)
    return Ended(ended.exit_code, ended.stdout, ended.stderr)


def kept(folder: Path) -> list[Grant]:
    """What the store in the default place has, the newest first."""
    with opened_grants(folder / "towline-data") as book:
        return book.list()


def granted(folder: Path, *, now: datetime | None = None, expires: datetime | None = None) -> Grant:
    """A token of alice's that is there already."""
    _, grant = new_token("alice", ["read"], now=now or utc_now(), expires=expires)
    with opened_grants(folder / "towline-data") as book:
        book.add(grant)
    return grant


def link_of(folder: Path, parent: Grant) -> str:
    """A link that was made with a token."""
    grant = replace(parent, grant_id="11" * 6, kind="share", scopes=(), parent=parent.grant_id)
    with opened_grants(folder / "towline-data") as book:
        book.add(grant)
    return grant.grant_id


# ------------------------------------------------------------------------------------------------------------- create


async def test_the_secret_is_all_that_stdout_has(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "transfer.grants.token_command", "create", "alice"),
        stdout=PIPE,
        stderr=PIPE,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
    )
    output, errors = await process.communicate()
    assert process.returncode == 0
    assert SECRET.fullmatch(output.decode().removesuffix("\n"))
    assert not SECRET.search(errors.decode())
    assert "for alice: delete, read, upload; it does not expire, --expires 30d makes one" in errors.decode()


def test_a_token_may_upload_read_and_delete_and_does_not_expire(tmp_path: Path) -> None:
    token("create", "alice")
    (grant,) = kept(tmp_path)
    assert (grant.subject, grant.scopes, grant.prefix) == ("alice", ("delete", "read", "upload"), "")
    assert (grant.quota, grant.expires) == (None, None)


def test_what_is_said_of_a_token_is_what_it_gets(tmp_path: Path) -> None:
    options = ["--scope", "read,proxy", "--scope", "admin", "--prefix", "photos/", "--quota", "50GiB"]
    ended = token("create", "bob", *options, "--expires", "30d", "--json")
    (grant,) = kept(tmp_path)
    assert (grant.subject, grant.scopes, grant.prefix, grant.quota) == (
        *("bob", ("admin", "proxy", "read"), "photos/", 50 << 30),
    )
    assert grant.expires is not None
    assert grant.expires - grant.created == timedelta(days=30)
    (made,) = ended.objects
    assert SECRET.fullmatch(str(made.pop("token")))
    assert made == {
        "event": "created",
        "id": grant.grant_id,
        "subject": "bob",
        "scopes": ["admin", "proxy", "read"],
        "prefix": "photos/",
        "quota": 50 << 30,
        "used": 0,
        "created": grant.created.isoformat().replace("+00:00", "Z"),
        "expires": grant.expires.isoformat().replace("+00:00", "Z"),
        "state": "in force",
        "links": [],
    }
    assert ended.err == ""


async def test_a_token_made_beside_a_server_is_asked_for_and_taken_at_once(tmp_path: Path) -> None:
    async with running(Settings(data=tmp_path / "towline-data")) as url, http_client(url) as http:
        assert (await http.get("/files")).status_code == 200
        secret = token("create", "alice").out.strip()
        assert (await http.get("/files")).status_code == 401
        assert (await http.get("/files", headers={"Authorization": f"Bearer {secret}"})).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["alice", "--scope", "reed"], "'reed' is no scope: write upload,read,delete"),
        (["alice", "--scope", ""], "'' is no scope"),
        (["alice", "--prefix", "photos"], "prefix without a slash at its end"),
        (["alice", "--quota", "50 gigs"], "'50 gigs' is no size: write 50GiB"),
        (["alice", "--expires", "soon"], "'soon' is no duration: write 90m"),
        (["anonymous"], "a subject is not 'anonymous'"),
        ([""], "a subject has 1 to 255 characters"),
        (["alice", "--token-file", "x"], "--token-file goes with --server"),
        (["alice", "--server", "http://127.0.0.1:1", "--data", "x"], "give one of them"),
        (["alice", "--server", "http://127.0.0.1:1"], "--server is for the command towline token"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_wrong_usage_and_makes_nothing(tmp_path: Path, arguments: list[str], said: str) -> None:
    ended = token("create", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert said in re.sub(r"[│\s]+", " ", ended.err)
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------------------------------------------- list


def test_the_list_shows_whose_they_are_what_for_and_until_when(tmp_path: Path) -> None:
    made = token("create", "bob", "--scope", "read", "--prefix", "photos/", "--quota", "10GB")
    token("create", "alice", "--expires", "2w")
    ended = token("list")
    alice, bob = ended.out.splitlines()
    for cell in ("alice", "delete,read,upload", "all names", "0 bytes used", "in force"):
        assert f"  {cell}" in alice
    for cell in ("bob", "read", "photos/", "0 bytes used of 10.0 GB", "expires never", "in force"):
        assert f"  {cell}" in bob
    assert bob.split()[0] in made.out
    assert alice.index("in force") == bob.index("in force")


def test_no_secret_is_ever_listed(tmp_path: Path) -> None:
    secret = token("create", "alice").out.strip()
    (grant,) = kept(tmp_path)
    for options in ([], ["--all"], ["--json"]):
        ended = token("list", *options)
        assert secret.rpartition("_")[2] not in ended.out + ended.err
        assert grant.secret_hash.hex() not in ended.out


def test_those_that_have_ended_are_counted_and_shown_when_asked_for(tmp_path: Path) -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC)
    expired, revoked = granted(tmp_path, now=past, expires=past), granted(tmp_path)
    with opened_grants(tmp_path / "towline-data") as book:
        book.revoke(revoked.grant_id)
    ended = token("list")
    assert (ended.out, ended.err) == ("", "2 more have expired or were revoked: --all shows them\n")
    states = {entry["id"]: entry["state"] for entry in (token("list", "--all", "--json")).objects}
    assert states == {expired.grant_id: "expired", revoked.grant_id: "revoked"}


@pytest.mark.parametrize("command", [["list"], ["revoke", "ab"]], ids=["list", "revoke"])
def test_a_folder_without_a_store_is_said_and_stays_without_one(tmp_path: Path, command: list[str]) -> None:
    ended = token(*command)
    assert (ended.code, ended.out) == (1, "")
    assert "there is no store in towline-data" in ended.err
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------------------- revoke


def test_revoking_names_the_links_that_went_with_it(tmp_path: Path) -> None:
    grant = granted(tmp_path)
    link = link_of(tmp_path, grant)
    ended = token("revoke", grant.grant_id)
    assert (ended.code, ended.out) == (
        *(0, f"revoked token {grant.grant_id} of alice, and with it the links {link}\n"),
    )
    assert all(each.revoked for each in kept(tmp_path))


def test_the_first_characters_of_an_id_are_enough(tmp_path: Path) -> None:
    first, second = granted(tmp_path), granted(tmp_path)
    token("revoke", second.grant_id[:11])
    assert {each.grant_id: each.revoked is not None for each in kept(tmp_path)} == {
        first.grant_id: False,
        second.grant_id: True,
    }


def test_revoking_again_says_so_and_changes_nothing(tmp_path: Path) -> None:
    grant = granted(tmp_path)
    token("revoke", grant.grant_id)
    before = kept(tmp_path)
    ended = token("revoke", grant.grant_id)
    assert (ended.code, ended.out) == (0, f"token {grant.grant_id} of alice was revoked before\n")
    assert kept(tmp_path) == before


def test_a_token_is_revoked_by_its_secret_which_no_sentence_shows(tmp_path: Path) -> None:
    secret = token("create", "alice").out.strip()
    other = "1" if secret[8] == "0" else "0"
    unknown = token("revoke", f"{secret[:8]}{other}{secret[9:]}")
    ended = token("revoke", secret)
    assert (unknown.code, ended.code) == (1, 0)
    assert secret[21:] not in unknown.err + ended.out + ended.err
    assert [each.revoked is None for each in kept(tmp_path)] == [False]


def test_an_id_that_none_or_several_have_revokes_nothing(tmp_path: Path) -> None:
    first = granted(tmp_path)
    with opened_grants(tmp_path / "towline-data") as book:
        book.add(replace(first, grant_id=f"{first.grant_id[:11]}-"))
    several = token("revoke", first.grant_id[:11])
    assert (several.code, several.out) == (1, "")
    assert "several tokens begin with" in several.err
    for text in ("x", "", link_of(tmp_path, first)):
        ended = token("revoke", text)
        assert (ended.code, ended.out) == (1, "")
        assert f"there is no token {text!r}: towline token list --all shows them" in ended.err
    assert [each.revoked for each in kept(tmp_path)] == [None] * 3


async def test_revoking_beside_a_server_keeps_its_bearer_out(tmp_path: Path) -> None:
    async with running(Settings(data=tmp_path / "towline-data")) as url, http_client(url) as http:
        secret = token("create", "alice").out.strip()
        token("revoke", secret.split("_")[1])
        assert (await http.get("/files", headers={"Authorization": f"Bearer {secret}"})).status_code == 401


def test_the_entry_point_leads_to_the_commands() -> None:
    assert EntryPoint("token", "transfer.grants.token_command:app", "towline.commands").load() is token_command.app
    assert 'token = "transfer.grants.token_command:app"' in (CHECKOUT / "pyproject.toml").read_text()


@pytest.mark.parametrize("width", [30, 80, 400])
def test_a_list_of_tokens_fits_into_any_terminal(width: int) -> None:
    entry = TokenEntry(
        id="0123456789ab",
        subject="alice",
        scopes=["upload", "read", "delete"],
        prefix="photos/2026/",
        quota=50_000_000_000,
        used=1_000,
        created=datetime(2026, 3, 1, tzinfo=UTC),
        expires=None,
        state="in force",
        links=[],
    )
    shown = token_command.table_of([entry, entry.model_copy(update={"subject": "bob"})], width)
    assert max(len(line) for block in shown for line in block.split("\n")) <= width
    assert [" ".join(block.split()).startswith("0123456789ab") for block in shown] == [True, True]
    assert all("expires never" in " ".join(block.split()) for block in shown)
    assert (len("\n".join(shown).split("\n")) == 2) == (width == 400)
