"""What `towline download` does with a folder: what is fetched, what not, and where it goes."""

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import client
from client.errors import CannotConnect
from client.progress import Received
from client.target_folder import NoPlace, TargetFolder
from client.terminal.display import JsonDisplay
from client.terminal.download_command import DownloadCommand, DownloadOptions
from client.terminal.outcome import Exit
from tests.client.answering import answering
from tests.client.requests_seen import RequestsSeen
from tests.client.trees import LARGE, Server, serving, write
from transfer.protocol.errors import NotFound
from transfer.settings import Settings


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    async with serving(Settings(data=tmp_path / "data", port=0)) as server:
        yield server


def tree(root: str) -> dict[str, tuple[bytes, int]]:
    """The files below a folder: content, and time of change to the microsecond."""
    files = (path for path in Path(root).rglob("*") if path.is_file())
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns // 1_000) for path in sorted(files)
    }


async def test_a_folder_comes_back_as_it_went_and_again_one_request_finds_it_unchanged(server: Server) -> None:
    for number in range(20):
        write(f"photos/{number % 3}/{number}.jpg", f"content {number}")
    write("photos/large.bin", LARGE)
    os.utime("photos/0/3.jpg", ns=(1, 1_234_567_890_123_456_789))
    await server.upload("photos")
    contents = {f"GET /files/{name}": 1 for name in await server.names()}
    server.seen.forget()
    ended = await server.download("photos/", to="copy")
    assert tree("copy") == tree("photos")
    assert server.seen.requests == {"GET /files": 1, "HEAD /files/photos/large.bin": 1} | contents
    assert (ended.summary["complete"], ended.summary["unchanged"], ended.exit) == (21, 0, Exit.DONE)
    server.seen.forget()
    again = await server.download("photos/", to="copy")
    assert server.seen.requests == {"GET /files": 1}
    assert (again.summary["unchanged"], again.summary["received_bytes"]) == (21, 0)


@pytest.mark.parametrize(
    ("names", "to", "wanted"),
    [
        (["a/photos/"], None, ["photos/1.jpg", "photos/2026/2.jpg"]),
        (["a/photos/2026/"], "best", ["best/2.jpg"]),
        (["a/photos/", "b.jpg"], "all", ["all/b.jpg", "all/photos/1.jpg", "all/photos/2026/2.jpg"]),
        (["/"], "all", ["all/a/photos/1.jpg", "all/a/photos/2026/2.jpg", "all/b.jpg"]),
    ],
    ids=["here", "elsewhere", "several", "everything"],
)
async def test_a_folder_becomes_one_here(
    server: Server, tmp_path: Path, names: list[str], to: str | None, wanted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/photos/1.jpg", "a/photos/2026/2.jpg", "b.jpg"):
        write(name, name)
    await server.upload("a", "b.jpg")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    await server.download(*names, to=to)
    assert list(tree(".")) == wanted


async def test_what_is_here_with_other_content_is_replaced_by_force_alone_and_the_rest_arrives(server: Server) -> None:
    for name in ("changed", "new", "touched", "unnoticed"):
        write(f"tree/{name}", f"{name} 1")
    await server.upload("tree")
    os.remove("tree/new")
    write("tree/changed", "changed 2, and longer")
    os.utime("tree/touched", (1, 1))
    status = os.stat("tree/unnoticed")
    write("tree/unnoticed", "unnoticed 2")
    os.utime("tree/unnoticed", ns=(status.st_atime_ns, status.st_mtime_ns))
    refused = await server.download("tree/")
    assert [(line["name"], line["code"]) for line in refused.all("error")] == [("tree/changed", "target_taken")]
    assert tree("tree")["new"][0] == b"new 1"
    assert tree("tree")["touched"][1] != 1_000_000
    assert (refused.summary["unchanged"], refused.exit) == (2, Exit.FAILED)
    forced = await server.download("tree/", force=True, by_digest=True)
    assert (forced.summary["unchanged"], forced.summary["failed"]) == (2, 0)
    assert {name: content for name, (content, _) in tree("tree").items()} == {
        name: f"{name} 1".encode() for name in ("changed", "new", "touched", "unnoticed")
    }


async def test_an_interrupted_download_of_a_folder_goes_on_in_the_midst_of_files(server: Server) -> None:
    write("tree/large.bin", LARGE * 4)
    write("tree/small", "small")
    await server.upload("tree")
    received = asyncio.Event()

    class Told(JsonDisplay):
        def show(self, event: client.Event) -> None:
            if isinstance(event, Received) and event.name == "tree/large.bin":
                received.set()

    async with client.connect(server.url, limit_rate=2_000_000) as connection:
        command = DownloadCommand(connection, Told(io.StringIO()), DownloadOptions())
        working = asyncio.create_task(command.several(["tree/"], Path("copy")))
        await received.wait()
        working.cancel()
        await asyncio.wait([working])
    assert "large.bin" not in os.listdir("copy")
    again = await server.download("tree/", to="copy")
    assert again.summary["resumed"] == 1
    assert tree("copy") == tree("tree")
    assert sorted(os.listdir("copy")) == ["large.bin", "small"]


async def test_nothing_is_written_through_a_link_in_the_folder(server: Server, tmp_path: Path) -> None:
    write("tree/inner/file", "content")
    write("tree/file", "content")
    await server.upload("tree")
    (tmp_path / "elsewhere").mkdir()
    os.mkdir("copy")
    os.symlink(tmp_path / "elsewhere", "copy/inner")
    os.symlink(tmp_path / "elsewhere" / "file", "copy/file")
    ended = await server.download("tree/", to="copy", force=True)
    assert os.listdir(tmp_path / "elsewhere") == []
    assert "symbolic link" in str(next(line for line in ended.all("error") if line["name"] == "tree/inner/file"))
    assert ended.exit == Exit.FAILED


@pytest.mark.parametrize(
    ("name", "words"),
    [("tree/../../out", "not expected"), ("out", "asked for in 'tree/', its listing has 'out'")],
    ids=["a way out", "elsewhere"],
)
async def test_a_listing_with_a_name_that_leads_out_is_refused_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    entry = {"name": name, "size": 0, "digest": "sha256:" + "0" * 64, "content_type": "a/b"}
    body = json.dumps(entry | {"created": "2026-01-01T00:00:00Z"}).encode() + b"\n"
    async with answering("200 OK", "application/x-ndjson", body) as url:
        with pytest.raises(CannotConnect, match=words):
            await Server(url, RequestsSeen()).download("tree/", to="copy")
    assert not (tmp_path / "out").exists()


async def test_a_file_that_is_called_like_what_is_left_of_a_download_is_not_removed_with_that(server: Server) -> None:
    """As of a folder that was uploaded in the midst of a download into it."""
    names = ["file", ".file.0123456789abcdef.towline-part", ".file.fedcba9876543210.towline-part"]
    for name in names:
        write(f"tree/{name}", name)
    await server.upload("tree")
    write(f"copy/{names[2]}", names[2])
    os.utime(f"copy/{names[2]}", ns=(0, os.stat(f"tree/{names[2]}").st_mtime_ns))
    write("copy/.file.0000000000000000.towline-part", "stale")
    ended = await server.download("tree/", to="copy")
    assert ended.summary["unchanged"] == 1
    assert tree("copy") == tree("tree")


@pytest.mark.parametrize("second", ["file", "File"], ids=["the same", "where case does not count"])
async def test_two_files_that_would_have_one_place_are_not_both_fetched(server: Server, second: str) -> None:
    write("a/file", "a")
    write(f"b/{second}", "b")
    await server.upload("a", "b")
    ended = await server.download("a/file", f"b/{second}", to="copy")
    assert tree("copy") == {"file": tree("a")["file"]}
    assert [line["name"] for line in ended.all("error")] == [f"b/{second}"]


async def test_a_folder_that_was_asked_for_as_a_file_is_said_to_be_one(server: Server) -> None:
    write("tree/file", "content")
    await server.upload("tree")
    async with client.connect(server.url) as connection:
        command = DownloadCommand(connection, JsonDisplay(io.StringIO()), DownloadOptions())
        with pytest.raises(NotFound, match=r"'tree/' or --recursive"):
            await command.one("tree", None)
    missing = await server.download("nothing/", "neither", to="copy")
    assert [line["code"] for line in missing.all("error")] == ["not_found", "not_found"]
    assert (await server.download("tree", recursive=True, to="copy")).summary["complete"] == 1
    assert (await server.download("tree/file", recursive=True, to="copy")).exit == Exit.FAILED


@pytest.mark.parametrize("way", ["C:/cat.jpg", "photos/what?.jpg", 'photos/"a".jpg'])
def test_a_name_that_windows_cannot_write_is_refused_there_in_words(tmp_path: Path, way: str) -> None:
    with pytest.raises(NoPlace, match="no file of Windows has"):
        TargetFolder(tmp_path, windows=True).place_of(way)
    assert TargetFolder(tmp_path, windows=False).place_of(way) == tmp_path / way
