"""Where a token comes from, when it is looked for again, and where it is never seen."""

import asyncio
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

import client
from client.credentials import Credentials, Source, TokenInTheClear, travels_in_the_clear
from client.errors import ClientError
from client.kept_tokens import KeptTokens
from client.private_file import NotPrivate
from client.token_sources import BadToken, token_source
from transfer.protocol.errors import Unauthorized

SERVER = "http://127.0.0.1:8000"
TOKEN = "towline_0123456789ab_" + "0123456789abcdef" * 4


def source_of(path: Path, text: str = TOKEN, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def looked(source: Source) -> str | None:
    token = source.look()
    return None if token is None else token.get_secret_value()


def of_values(*values: str | None) -> Source:
    """A source that has these, one after the other, and then the last."""
    left = list(values)

    def look() -> SecretStr | None:
        value = left.pop(0) if len(left) > 1 else left[0]
        if value == "gone":
            raise ClientError("the file is gone")
        return None if value is None else SecretStr(value)

    return Source(look, "that of a test", "do nothing")


# ------------------------------------------------------------------------------------------------------- the order


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """A person who has a token everywhere."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    KeptTokens().keep(SERVER, SecretStr("kept"), "file")
    return {"TOWLINE_TOKEN": "environment"}


def test_what_is_given_comes_before_a_file_the_environment_and_what_was_kept(
    tmp_path: Path, environment: Mapping[str, str]
) -> None:
    file = source_of(tmp_path / "token", "file")
    assert looked(token_source(SERVER, given="given", file=file, environment=environment)) == "given"
    assert looked(token_source(SERVER, file=file, environment=environment)) == "file"
    assert looked(token_source(SERVER, environment=environment)) == "environment"
    assert looked(token_source(SERVER, environment={"TOWLINE_TOKEN": ""})) == "kept"
    assert looked(token_source("http://127.0.0.1:8001", environment={})) is None


def test_a_program_that_gives_none_is_nobody_whatever_there_is_beside(environment: Mapping[str, str]) -> None:
    assert looked(token_source(SERVER, given=lambda: None, environment=environment)) is None


# ---------------------------------------------------------------------------------------------------------- no tokens


@pytest.mark.parametrize(
    "text", ["two words", f"{TOKEN} {TOKEN}", "\x1b[2J", "nül", "x" * 8_001], ids=["space", "twice", "esc", "é", "long"]
)
def test_what_is_no_token_is_named_by_its_place_and_not_shown(tmp_path: Path, text: str) -> None:
    file = source_of(tmp_path / "token", text)
    places = {
        "what was given": lambda: token_source(SERVER, given=text),
        "what the program's function gave": token_source(SERVER, given=lambda: text).look,
        f"the first line of {file}": token_source(SERVER, file=file).look,
        "TOWLINE_TOKEN": token_source(SERVER, environment={"TOWLINE_TOKEN": text}).look,
    }
    for place, look in places.items():
        with pytest.raises(BadToken) as refusal:
            look()
        said = str(refusal.value)
        assert said.startswith(f"{place} is no token: it has ")
        assert text[:12] not in said
        assert refusal.value.__cause__ is None


def test_an_empty_file_is_no_token(tmp_path: Path) -> None:
    with pytest.raises(BadToken, match="it is empty"):
        token_source(SERVER, file=source_of(tmp_path / "token", "\n")).look()


# ------------------------------------------------------------------------------------------------------------- files


def test_the_first_line_of_a_file_is_the_token(tmp_path: Path) -> None:
    file = source_of(tmp_path / "token", f"{TOKEN}\r\na comment\n")
    source = token_source(SERVER, file=file)
    assert looked(source) == TOKEN
    file.write_text("renewed\n")
    assert looked(source) == "renewed"


@pytest.mark.parametrize(("mode", "told"), [(0o600, 0), (0o400, 0), (0o640, 1), (0o604, 1), (0o444, 1)])
def test_a_file_that_others_can_read_is_used_and_told_of_once(tmp_path: Path, mode: int, told: int) -> None:
    file, warnings = source_of(tmp_path / "token", mode=mode), list[str]()
    source = token_source(SERVER, file=file, warn=warnings.append)
    assert looked(source) == looked(source) == TOKEN
    assert len(warnings) == told
    assert all(f"{mode:04o}: chmod 600 {file}" in said and TOKEN not in said for said in warnings)


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(f"{TOKEN}\n",))
    writer.start()
    source = token_source(SERVER, file=pipe)
    assert looked(source) == looked(source) == TOKEN
    writer.join()


# ------------------------------------------------------------------------------------------------------ looking again


async def test_the_source_is_looked_at_again_after_a_while_and_not_before() -> None:
    times = iter((0.0, 29.0, 30.0, 30.0, 59.0))
    credentials = Credentials(SERVER, of_values("first", "second"), look_again_after=30, clock=lambda: next(times))
    for expected in ("first", "first", "second", "second"):
        assert await credentials.current() == SecretStr(expected)


async def test_a_source_that_is_gone_takes_the_token_in_use_not_along() -> None:
    credentials = Credentials(SERVER, of_values("first", "gone"), look_again_after=0)
    for _ in range(3):
        assert await credentials.current() == SecretStr("first")
    refused = credentials.refused(Unauthorized("it has expired"), SecretStr("first"))
    with pytest.raises(ClientError, match="the file is gone"):
        await refused.renewed()


async def test_a_source_that_never_was_there_is_an_error() -> None:
    credentials = Credentials(SERVER, of_values("gone"))
    for _ in range(2):
        with pytest.raises(ClientError, match="the file is gone"):
            await credentials.current()


@pytest.mark.parametrize(("newest", "is_renewed"), [("used", False), (None, False), ("another", True)])
async def test_a_refused_token_is_renewed_only_by_another_one(newest: str | None, is_renewed: bool) -> None:
    refused = Credentials(SERVER, of_values(newest)).refused(Unauthorized("no"), SecretStr("used"))
    assert await refused.renewed() is is_renewed


async def test_a_function_is_asked_beside_the_loop() -> None:
    threads: list[threading.Thread] = []

    def ask() -> str:
        threads.append(threading.current_thread())
        return TOKEN

    await Credentials(SERVER, token_source(SERVER, given=ask)).current()
    assert threads != [threading.current_thread()]


# ---------------------------------------------------------------------------------------------------------- sentences


def test_a_refusal_says_where_the_token_came_from_and_what_to_do(tmp_path: Path) -> None:
    file = source_of(tmp_path / "token")
    remedies = {
        "that of TOWLINE_TOKEN): put a new one there": token_source(SERVER, environment={"TOWLINE_TOKEN": TOKEN}),
        f"that of {file}): put a new one there": token_source(SERVER, file=file),
        "the one that the program gave): give a new one": token_source(SERVER, given=TOKEN),
        f"`towline login` kept): `towline login {SERVER}` keeps a new one": token_source(SERVER, environment={}),
    }
    for remedy, source in remedies.items():
        refused = Credentials(SERVER, source).refused(Unauthorized("it has expired"), SecretStr(TOKEN))
        assert str(refused).startswith("it has expired (the token is ")
        assert str(refused).endswith(remedy)
        refused.resumable = True
        assert str(refused).endswith("what is durable stays, and the same command goes on with a new token")


def test_who_has_no_token_is_told_how_to_give_one() -> None:
    refused = Credentials(SERVER, token_source(SERVER, environment={})).refused(Unauthorized("no token"), None)
    assert str(refused).startswith(f"this server asks for a token: `towline login {SERVER}`")
    assert "TOWLINE_TOKEN or --token-file" in str(refused)


async def test_nothing_that_is_printed_of_them_has_the_token() -> None:
    credentials = Credentials(SERVER, token_source(SERVER, given=TOKEN))
    token = await credentials.current()
    refused = credentials.refused(Unauthorized("no"), token)
    for thing in (credentials, credentials.source, token, refused, client.connect(SERVER, token=TOKEN)):
        assert TOKEN not in f"{thing!r} {thing!s} {thing.args if isinstance(thing, Exception) else ''}"


# ---------------------------------------------------------------------------------------------------- in the clear


@pytest.mark.parametrize(
    ("server", "is_clear"),
    [
        ("http://127.0.0.1:8000", False),
        ("http://127.9.9.9", False),
        ("http://[::1]:8000/files", False),
        ("http://localhost", False),
        ("http://towline.localhost:1", False),
        ("https://files.example.org", False),
        ("http://files.example.org", True),
        ("http://192.168.1.5:8000", True),
        ("http://127.0.0.1.example.org", True),
        ("http://localhost.example.org", True),
        ("http://[2001:db8::1]", True),
        ("http://127.0.0.1@files.example.org", True),
    ],
)
def test_plain_http_to_another_machine_is_in_the_clear(server: str, is_clear: bool) -> None:
    assert travels_in_the_clear(server) is is_clear


async def test_a_token_in_the_clear_is_warned_of_once(recwarn: pytest.WarningsRecorder) -> None:
    said: list[str] = []
    credentials = Credentials("http://files.example.org", of_values(TOKEN, "next"), warn=said.append)
    await asyncio.gather(credentials.look(), credentials.look())
    assert len(said) == 1
    assert "travels in the clear to http://files.example.org" in said[0]
    with pytest.warns(TokenInTheClear, match="travels in the clear"):
        await Credentials("http://files.example.org", of_values(TOKEN)).current()
    await Credentials("http://files.example.org", of_values(None)).current()
    assert not recwarn.list


# --------------------------------------------------------------------------------------------------------- kept tokens


@pytest.fixture
def kept(tmp_path: Path) -> KeptTokens:
    return KeptTokens({"XDG_CONFIG_HOME": str(tmp_path / "config")})


@pytest.fixture
def credentials_file(tmp_path: Path) -> Path:
    return tmp_path / "config" / "towline" / "credentials.json"


@pytest.fixture(autouse=True)
def _no_keyring(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import keyring

    before = keyring.get_keyring()
    keyring.set_keyring(keyring.core.load_keyring("keyring.backends.fail.Keyring"))
    yield
    keyring.set_keyring(before)


def test_a_token_is_found_for_the_server_that_it_was_kept_for_and_for_no_other(kept: KeptTokens) -> None:
    kept.keep("https://files.example.org/team", SecretStr(TOKEN))
    for same in (
        "https://files.example.org/team",
        "https://files.example.org:443/team/",
        "https://FILES.example.org/team",
        "https://alice@files.example.org/team?x=y",
    ):
        assert kept.find(same) == SecretStr(TOKEN), same
    for other in (
        "http://files.example.org/team",
        "https://files.example.org",
        "https://files.example.org/team/a",
        "https://files.example.org/Team",
        "https://files.example.org:8443/team",
        "https://example.org/team",
        "https://files.example.org.evil.example/team",
        "https://files.example.org@evil.example/team",
    ):
        assert kept.find(other) is None, other


def test_only_the_user_can_read_what_is_kept(kept: KeptTokens, credentials_file: Path) -> None:
    before = os.umask(0)
    try:
        assert kept.keep(SERVER, SecretStr(TOKEN)) == str(credentials_file)
    finally:
        os.umask(before)
    assert credentials_file.stat().st_mode & 0o777 == 0o600
    assert credentials_file.parent.stat().st_mode & 0o777 == 0o700
    assert os.listdir(credentials_file.parent) == ["credentials.json"]


def test_tokens_of_several_servers_are_kept_and_forgotten_apart(kept: KeptTokens) -> None:
    kept.keep(SERVER, SecretStr("first"))
    kept.keep("http://[::1]:8000", SecretStr("second"))
    kept.keep(SERVER, SecretStr("third"))
    assert kept.forget(SERVER) is True
    assert kept.forget(SERVER) is False
    assert (kept.find(SERVER), kept.find("http://[::1]:8000")) == (None, SecretStr("second"))


@pytest.mark.parametrize(("mode", "remedy"), [(0o640, "chmod 600"), (0o604, "chmod 600"), (0o620, "chmod 600")])
def test_a_file_that_others_had_access_to_is_not_used(
    kept: KeptTokens, credentials_file: Path, mode: int, remedy: str
) -> None:
    kept.keep(SERVER, SecretStr(TOKEN))
    credentials_file.chmod(mode)
    for use in (lambda: kept.find(SERVER), lambda: kept.keep(SERVER, SecretStr(TOKEN)), lambda: kept.forget(SERVER)):
        with pytest.raises(NotPrivate) as refusal:
            use()
        assert str(refusal.value) == (
            f"{credentials_file} is not used: its mode is {mode:04o}: {remedy} {credentials_file}"
        )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_somebody_else_is_not_used(kept: KeptTokens, credentials_file: Path) -> None:
    kept.keep(SERVER, SecretStr(TOKEN))
    os.chown(credentials_file, 12_345, -1)
    with pytest.raises(NotPrivate, match="it belongs to the user with the number 12345"):
        kept.find(SERVER)


def test_a_folder_that_others_can_write_to_is_not_used(kept: KeptTokens, credentials_file: Path) -> None:
    credentials_file.parent.mkdir(parents=True)
    credentials_file.parent.chmod(0o777)
    with pytest.raises(NotPrivate, match=r"its mode is 0777: chmod 755"):
        kept.keep(SERVER, SecretStr(TOKEN))


def test_a_symbolic_link_is_not_followed(kept: KeptTokens, credentials_file: Path, tmp_path: Path) -> None:
    target = source_of(tmp_path / "target", "{}")
    credentials_file.parent.mkdir(parents=True, mode=0o700)
    credentials_file.symlink_to(target)
    with pytest.raises(NotPrivate, match="it is a symbolic link"):
        kept.keep(SERVER, SecretStr(TOKEN))
    assert target.read_text() == "{}"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"servers":{"x":{"token":"secret words"}}}', '{"servers":5}'])
def test_a_file_that_is_something_else_is_said_so_without_showing_it(
    kept: KeptTokens, credentials_file: Path, content: str
) -> None:
    kept.keep(SERVER, SecretStr(TOKEN))
    credentials_file.write_text(content)
    with pytest.raises(ClientError) as refusal:
        kept.find(SERVER)
    assert str(refusal.value) == (f"{credentials_file} is not as `towline login` writes it: delete it and log in again")


def test_who_has_no_home_has_no_token_and_can_keep_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "os.path.expanduser", lambda path: path
    )  # what it does for a user whom the system does not know
    monkeypatch.setattr("pathlib.os.path.expanduser", lambda path: path)
    assert KeptTokens({}).find(SERVER) is None
    with pytest.raises(ClientError, match="there is no home folder to keep a token in: give it in TOWLINE_TOKEN"):
        KeptTokens({}).keep(SERVER, SecretStr(TOKEN))


def test_a_relative_folder_for_configuration_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    where = KeptTokens({"XDG_CONFIG_HOME": "config"}).keep(SERVER, SecretStr(TOKEN))
    assert where == str(tmp_path / ".config" / "towline" / "credentials.json")
