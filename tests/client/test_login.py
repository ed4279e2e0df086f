"""Logging in and out, and the tokens of commands: the real command against a real server that asks for tokens."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from storage.store import Store
from tests.client.at_terminal import at_terminal
from tests.client.command import Ended, Towline
from tests.links import Link
from tests.server import running
from tests.tokens import token_for
from transfer.access.tokens import Secret
from transfer.app import create_app
from transfer.settings import Settings

KEYRINGS = "tests.client.keyrings"


@dataclass(frozen=True, slots=True)
class Access:
    """A server that knows alice, and her token."""

    url: str
    store: Store
    secret: Secret

    @property
    def token(self) -> str:
        return self.secret.text


@pytest.fixture
async def access(tmp_path: Path) -> AsyncIterator[Access]:
    settings = Settings(data=tmp_path / "data", port=0)
    app = create_app(settings)
    async with running(settings, app) as url:
        yield Access(url, app.state.store, await token_for(app.state.store, "alice"))


@pytest.fixture
def server(access: Access) -> str:
    return access.url


@pytest.fixture
def credentials_file(towline: Towline) -> Path:
    return Path(towline.environment["XDG_CONFIG_HOME"]) / "towline" / "credentials.json"


@pytest.fixture
def keyring(towline: Towline) -> Path:
    """The command has a keyring: this file."""
    path = towline.folder.parent / "keyring.json"
    towline.environment |= {"PYTHON_KEYRING_BACKEND": f"{KEYRINGS}.FolderKeyring", "TOWLINE_TEST_KEYRING": str(path)}
    return path


def shows_no_secret(access: Access, *all_of_them: Ended) -> bool:
    digits = access.token.rpartition("_")[2]
    shown = "".join(ended.out + ended.err for ended in all_of_them)
    return digits[:16] not in shown and digits[-16:] not in shown


def text_of(path: Path) -> str:
    """Empty where there is no such file."""
    return path.read_text() if path.exists() else ""


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


# ------------------------------------------------------------------------------------------------------------- login


async def test_without_a_token_the_command_says_how_to_give_one(towline: Towline, access: Access) -> None:
    for arguments in (["ls"], ["echo", "hello"], ["upload", str(towline.write("a"))], ["proxy", "echo", "x"]):
        ended = await towline(*arguments, code=1)
        assert f"`towline login {access.url}`" in ended.err, arguments
        assert "TOWLINE_TOKEN or --token-file" in ended.err


async def test_a_token_is_kept_in_a_file_of_the_users_and_used_from_then_on(
    towline: Towline, access: Access, credentials_file: Path
) -> None:
    ended = await towline("login", stdin=access.token.encode() + b"\n")
    assert f"alice is logged in to {access.url}; the token is kept in {credentials_file}" in ended.err
    assert mode_of(credentials_file) == 0o600
    assert access.token in text_of(credentials_file)
    listed = await towline("ls")
    who = await towline("whoami", "--json")
    assert who.objects[0]["subject"] == "alice"
    assert shows_no_secret(access, ended, listed, who)


async def test_a_token_is_kept_in_the_keyring_where_there_is_one(
    towline: Towline, access: Access, credentials_file: Path, keyring: Path
) -> None:
    ended = await towline("login", "--json", stdin=access.token.encode())
    assert (ended.the("logged_in")["kept_in"], ended.the("logged_in")["subject"]) == ("your keyring", "alice")
    assert json.loads(text_of(keyring)) == {f"towline {access.url}": access.token}
    assert access.token not in text_of(credentials_file)
    await towline("ls")
    await towline("logout")
    assert json.loads(text_of(keyring)) == {}
    await towline("ls", code=1)


async def test_one_can_choose_the_file(towline: Towline, access: Access, credentials_file: Path, keyring: Path) -> None:
    await towline("login", "--store", "file", stdin=access.token.encode())
    assert text_of(keyring) == ""
    assert access.token in text_of(credentials_file)
    await towline("ls")


async def test_logging_out_forgets_in_both(
    towline: Towline, access: Access, credentials_file: Path, keyring: Path
) -> None:
    for store in ("keyring", "file"):
        await towline("login", "--store", store, stdin=access.token.encode())
    ended = await towline("logout")
    assert f"the token for {access.url} is forgotten here" in ended.err
    assert json.loads(text_of(keyring)) == {}
    assert access.token not in text_of(credentials_file)
    assert "there was no token" in (await towline("logout")).err


async def test_where_there_is_no_keyring_nobody_hears_of_it(
    towline: Towline, access: Access, credentials_file: Path
) -> None:
    del towline.environment["PYTHON_KEYRING_BACKEND"]
    towline.environment["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={towline.folder}/nowhere"
    ended = await towline("login", stdin=access.token.encode())
    assert ended.err == f"alice is logged in to {access.url}; the token is kept in {credentials_file}\n"
    assert (await towline("logout")).err == f"the token for {access.url} is forgotten here\n"


async def test_a_keyring_that_is_asked_for_and_not_there_is_an_error(towline: Towline, access: Access) -> None:
    ended = await towline("login", "--store", "keyring", stdin=access.token.encode(), code=1)
    assert "the keyring cannot be used (there is none here)" in ended.err


async def test_a_locked_keyring_is_said_in_words_without_the_token(
    towline: Towline, access: Access, keyring: Path
) -> None:
    await towline("login", stdin=access.token.encode())
    for backend, reason in (("LockedKeyring", "unlock the collection"), ("DeadKeyring", "ServiceUnknown")):
        towline.environment["PYTHON_KEYRING_BACKEND"] = f"{KEYRINGS}.{backend}"
        ended = await towline("ls", code=1)
        assert re.search(rf"towline: the keyring cannot be used \(.*{reason}.*\): unlock it, or", ended.err), ended.err
    refused = await towline("login", stdin=access.token.encode(), code=1)
    assert "the keyring cannot be used (cannot keep …)" in refused.err
    assert shows_no_secret(access, refused)


async def test_only_who_keeps_something_in_a_keyring_loads_one(towline: Towline, access: Access) -> None:
    towline.environment["PYTHON_KEYRING_BACKEND"] = "there.is.no.such.Keyring"
    await towline("login", "--store", "file", stdin=access.token.encode())
    await towline("ls")
    assert "the keyring cannot be used" in (await towline("login", stdin=access.token.encode(), code=1)).err


@pytest.mark.parametrize("place", ["file", "keyring"])
async def test_a_token_that_the_server_does_not_take_is_not_kept(
    towline: Towline, access: Access, credentials_file: Path, keyring: Path, place: str
) -> None:
    ended = await towline("login", "--store", place, stdin=Secret.new().text.encode(), code=1)
    assert "ask the server's operator" in ended.err
    assert text_of(credentials_file) == ""
    assert text_of(keyring) == ""


@pytest.mark.parametrize("more", [b" more", b"\xff", b"\0"], ids=["words", "bytes", "nul"])
async def test_what_is_no_token_is_refused_before_anybody_is_asked(
    towline: Towline, access: Access, more: bytes
) -> None:
    ended = await towline("login", stdin=access.token.encode() + more, code=1)
    assert "the first line of stdin is no token: it has white space" in ended.err
    assert shows_no_secret(access, ended)


async def test_a_server_that_asks_nobody_is_not_logged_in_to(towline: Towline, tmp_path: Path) -> None:
    async with running(Settings(data=tmp_path / "open", port=0)) as url:
        ended = await towline("whoami", "--server", url)
        assert ended.out.startswith("anonymous\n")
        refused = await towline("login", url, stdin=Secret.new().text.encode(), code=1)
    assert "this server asks for none" in refused.err


async def test_a_typed_token_is_not_shown(towline: Towline, access: Access) -> None:
    async with at_terminal(towline, "login") as terminal:
        shown = await terminal.until(": ")
        terminal.type(f"{access.token}\n")
        shown += await terminal.until("kept in")
        assert await terminal.process.wait() == 0
    assert f"token for {access.url}: " in shown
    assert access.token not in shown


async def test_nothing_is_drawn_over_the_prompt_for_a_token(towline: Towline) -> None:
    async with at_terminal(towline, "login") as terminal:
        shown = await terminal.until(": ")
        assert "\x1b" not in shown  # no cursor is hidden, no line is cleared


@pytest.mark.parametrize("line", ["\x04", "\n"], ids=["Ctrl-D", "an empty line"])
async def test_who_types_no_token_is_told_so(towline: Towline, line: str) -> None:
    async with at_terminal(towline, "login") as terminal:
        await terminal.until(": ")
        terminal.type(line)
        shown = await terminal.until("towline: ")
        assert await terminal.process.wait() == 1
    assert "Traceback" not in shown


# ------------------------------------------------------------------------------------------------------------- whoami


async def test_whoami_shows_what_one_may_and_until_when(towline: Towline, access: Access) -> None:
    secret = await token_for(
        access.store, "bob", ["read", "upload"], prefix="photos/", quota=5_000_000, lasts=timedelta(days=3)
    )
    towline.environment["TOWLINE_TOKEN"] = secret.text
    ended = await towline("whoami")
    assert re.fullmatch(
        r"bob\n  may:     read, upload\n  names:   those that begin with photos/\n"
        r"  quota:   5\.0 MB(, of which .* are used)?\n  expires: \d{4}-\d\d-\d\d \d\d:\d\d\n",
        ended.out,
    )


# ------------------------------------------------------------------------------------------------------------ commands


async def test_a_file_comes_before_the_environment_and_that_before_what_was_kept(
    towline: Towline, access: Access
) -> None:
    subjects = {}
    for subject in ("file", "environment", "kept"):
        subjects[subject] = (await token_for(access.store, subject)).text
    await towline("login", stdin=subjects["kept"].encode())
    assert (await towline("whoami")).out.startswith("kept\n")
    towline.environment["TOWLINE_TOKEN"] = subjects["environment"]
    assert (await towline("whoami")).out.startswith("environment\n")
    towline.write("token", subjects["file"].encode()).chmod(0o600)
    assert (await towline("whoami", "--token-file", "token")).out.startswith("file\n")


async def test_every_command_takes_a_token_file(towline: Towline, access: Access) -> None:
    towline.write("token", f"{access.token}\n".encode()).chmod(0o600)
    towline.write("cat.jpg")
    ended = [
        await towline(*arguments, "--token-file", "token")
        for arguments in (
            ["upload", "cat.jpg"],
            ["ls"],
            ["download", "cat.jpg", "-o", "copy.jpg"],
            ["mv", "cat.jpg", "tom.jpg"],
            ["rm", "tom.jpg"],
            ["uploads"],
            ["echo", "hello"],
            ["proxy", "echo", "hello"],
        )
    ]
    assert towline.read("copy.jpg") == towline.read("cat.jpg")
    assert shows_no_secret(access, *ended)
    assert not any("warning" in one.err for one in ended)


async def test_a_token_file_that_others_can_read_is_warned_of_even_when_quiet(towline: Towline, access: Access) -> None:
    towline.write("token", access.token.encode()).chmod(0o644)
    towline.write("a", b"a")
    ended = await towline("upload", "a", "--quiet", "--token-file", "token")
    assert ended.err == "towline: warning: others can read the token in token, whose mode is 0644: chmod 600 token\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [(["ls", "--token-file", "-"], "stdin is for content"), (["ls", "--token", "x"], "No such option")],
)
async def test_a_token_is_no_argument(towline: Towline, arguments: list[str], sentence: str) -> None:
    assert sentence in (await towline(*arguments, code=2)).err


async def test_a_token_file_that_is_not_there_is_named(towline: Towline) -> None:
    assert "nowhere: no such file" in (await towline("ls", "--token-file", "nowhere", code=1)).err


async def test_a_running_command_shows_its_token_to_nobody(towline: Towline, access: Access) -> None:
    towline.environment["TOWLINE_TOKEN"] = access.token
    async with Link("127.0.0.1", urlsplit(access.url).port or 0) as link:
        towline.environment["TOWLINE_SERVER"] = link.url
        async with towline.begun("upload", "-", "--name", "stream", "--json") as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"some bytes")
            first = await process.stdout.readline()
            while json.loads(first)["event"] != "ready":
                first = await process.stdout.readline()
            command_line = text_of(Path(f"/proc/{process.pid}/cmdline"))
            ended = await towline.end(process)
        assert link.upstream.forwarded_bytes > 0
    assert "client.cli" in command_line
    assert access.token not in command_line + first.decode()
    assert shows_no_secret(access, ended)


async def test_an_expired_token_is_an_error_that_says_where_it_came_from(towline: Towline, access: Access) -> None:
    secret = await token_for(access.store, "bob", lasts=timedelta(seconds=-1))
    towline.environment["TOWLINE_TOKEN"] = secret.text
    ended = await towline("ls", "--json", code=1)
    assert ended.the("error")["code"] == "unauthorized"
    assert str(ended.the("error")["message"]).endswith("(the token is that of TOWLINE_TOKEN): put a new one there")
