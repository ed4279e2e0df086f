"""What a machine knows of uploads that it began, and that nothing depends on it."""

import os
import subprocess
from pathlib import Path

import pytest

from client.http import UnfinishedUpload
from client.progress import Event, Ready
from client.terminal.begun import KEPT_SECONDS, BegunUploads, Origin, remembering
from client.terminal.unfinished import lines_of, resuming_command, typed
from client.terminal.wording import printable
from transfer.protocol.names import Name

SERVER = "https://files.example.org"
ORIGIN = Origin(source=Path("/home/me/my cat.jpg"), if_exists="replace", digest="blake3")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path)}


def kept(environment: dict[str, str]) -> list[Path]:
    return [*Path(environment["XDG_STATE_HOME"], "towline/begun").iterdir()]


def test_what_was_begun_is_known_until_it_is_complete(environment: dict[str, str]) -> None:
    begun = BegunUploads(SERVER, environment)
    begun.keep("id", ORIGIN)
    assert BegunUploads(f"{SERVER}:443/", environment).find("id") == ORIGIN
    assert BegunUploads("https://other.example.org", environment).find("id") is None
    assert begun.find("another") is None
    begun.forget("id")
    assert begun.find("id") is None
    assert kept(environment) == []


def test_nothing_on_the_disk_says_which_upload_or_server_it_is(environment: dict[str, str]) -> None:
    BegunUploads(SERVER, environment).keep("k3V9mQ", ORIGIN)
    (path,) = kept(environment)
    assert "k3V9mQ" not in path.name + path.read_text()
    assert "example" not in path.name + path.read_text()


def test_what_was_never_completed_is_forgotten_in_the_end(environment: dict[str, str]) -> None:
    BegunUploads(SERVER, environment).keep("old", ORIGIN)
    (path,) = kept(environment)
    long_ago = path.stat().st_mtime - KEPT_SECONDS - 1
    os.utime(path, (long_ago, long_ago))
    begun = BegunUploads(SERVER, environment)
    begun.keep("new", ORIGIN)
    assert (begun.find("old"), begun.find("new")) == (None, ORIGIN)


@pytest.mark.parametrize("path", [b"/d\xff/it's 100%25.bin", b"/a\x1b[2J\\b", "/Mädchen".encode()], ids=[*"abc"])
def test_a_source_may_have_any_bytes_in_its_path_and_what_is_typed_for_it_means_the_same(
    environment: dict[str, str], path: bytes
) -> None:
    begun, source = BegunUploads(SERVER, environment), Path(os.fsdecode(path))
    begun.keep("id", Origin(source=source))
    assert begun.find("id") == Origin(source=source)
    command = resuming_command(UPLOAD, Origin(source=source))
    assert command == printable(command)
    words = subprocess.run(["bash", "-c", f"printf '%s' {typed(source)}"], stdout=subprocess.PIPE, check=True)
    assert words.stdout == path


def test_a_record_that_another_command_forgets_meanwhile_is_no_fault(environment: dict[str, str]) -> None:
    begun = BegunUploads(SERVER, environment)
    for number in range(2):
        begun.keep(str(number), ORIGIN)
    for path in kept(environment):
        os.utime(path, (0, 0))
        path.rename(path.with_suffix(".txt"))
        path.symlink_to("nothing")  # it is listed, and is not there
    begun = BegunUploads(SERVER, environment)
    begun.keep("new", ORIGIN)
    assert begun.find("new") == ORIGIN


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff"])
def test_what_is_damaged_or_others_can_write_is_as_if_it_were_not_there(
    environment: dict[str, str], content: bytes
) -> None:
    begun = BegunUploads(SERVER, environment)
    begun.keep("id", ORIGIN)
    (path,) = kept(environment)
    path.chmod(0o666)
    assert begun.find("id") is None
    path.chmod(0o600)
    path.write_bytes(content)
    assert begun.find("id") is None


def test_an_upload_goes_on_where_nothing_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    heard: list[Event] = []
    begun = BegunUploads(SERVER, {"XDG_STATE_HOME": str(tmp_path / "file")})
    ready = Ready(name="cat.jpg", upload_id="id", offset=0, size=5)
    remembering(begun, heard.append, lambda name: ORIGIN)(ready)
    begun.forget("id")
    assert heard == [ready]
    assert begun.find("id") is None


UPLOAD = UnfinishedUpload.model_validate_json(
    '{"upload_id":"id","name":"-n cat.jpg","size":null,"offset":5,'
    '"created":"2026-11-30T12:00:00Z","active":"2026-11-30T12:00:00Z","expires":null}'
)


def test_the_command_that_goes_on_asks_for_the_same() -> None:
    assert UPLOAD.name == Name("-n cat.jpg")
    assert resuming_command(UPLOAD, ORIGIN, ["--server", SERVER]) == (
        "towline upload '/home/me/my cat.jpg' --name '-n cat.jpg' --if-exists replace --digest blake3 "
        "--server https://files.example.org"
    )
    piped = Origin(source=None)
    assert resuming_command(UPLOAD, piped) == "towline upload - --name '-n cat.jpg'"
    assert "piped in; pipe the same in again" in lines_of(UPLOAD, piped, "…")
    assert "from /home/me/my cat.jpg, which is not there now" in lines_of(UPLOAD, ORIGIN, "…")
    assert "5 bytes of an unknown size are safe; does not expire" in lines_of(UPLOAD, None, "…")
