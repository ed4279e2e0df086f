"""What `towline upload` does with a folder: what is sent, what not, and what the server is asked for."""

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import client
from client.terminal.deletion import SourceKept, delete_source
from client.terminal.display import JsonDisplay
from client.terminal.outcome import Exit
from client.terminal.selection import select
from client.terminal.upload_command import UploadCommand, UploadOptions
from tests.client.requests_seen import RequestsSeen
from tests.client.trees import LARGE, Server, serving, write
from tests.links import Happening, Link, Passage
from tests.server import running
from tests.tokens import token_for
from transfer.app import create_app
from transfer.settings import Settings

LISTING = "GET /files"


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    async with serving(Settings(data=tmp_path / "data", port=0)) as server:
        yield server


def rewrite_unnoticed(path: str, content: str) -> None:
    """Other content, with the same time of change."""
    status = os.stat(path)
    write(path, content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


# ------------------------------------------------------------------------------------------------- what is not sent


async def test_of_a_tree_with_three_changed_files_three_are_sent_after_one_request(server: Server) -> None:
    for number in range(120):
        write(f"tree/{number // 10}/{number}.txt", f"content {number}")
    write("tree/large.bin", LARGE)
    await server.upload("tree")
    server.seen.forget()
    for path in ("tree/0/3.txt", "tree/5/50.txt", "tree/large.bin"):
        write(path, f"{path} is another one now")
    again = await server.upload("tree", if_exists="replace")
    assert server.seen.requests == {LISTING: 1}
    assert sorted(server.seen.uploads) == ["tree/0/3.txt", "tree/5/50.txt", "tree/large.bin"]
    assert sorted(map(str, again.sent())) == ["tree/0/3.txt", "tree/5/50.txt", "tree/large.bin"]
    assert (again.summary["complete"], again.summary["unchanged"], again.summary["failed"]) == (121, 118, 0)


@pytest.mark.parametrize("size", ["small", "large"])
async def test_content_is_compared_where_the_time_is_another_one_and_with_checksum_always(
    server: Server, size: str
) -> None:
    more = LARGE.hex() if size == "large" else ""
    for name in ("touched", "unnoticed", "same"):
        write(f"tree/{name}", f"{name} 1{more}")
    await server.upload("tree")
    os.utime("tree/touched", (1, 1))
    rewrite_unnoticed("tree/unnoticed", f"unnoticed 2{more}")
    by_time = await server.upload("tree", if_exists="replace")
    assert (by_time.summary["unchanged"], by_time.sent()) == (3, [])
    server.seen.forget()
    by_digest = await server.upload("tree", if_exists="replace", by_digest=True)
    assert by_digest.sent() == ["tree/unnoticed"]
    assert by_digest.summary["unchanged"] == 2
    assert server.seen.requests == {LISTING: 1}


async def test_a_rehearsal_says_what_would_happen_and_changes_nothing(server: Server) -> None:
    for name in ("same", "touched", "other", "larger"):
        write(f"tree/{name}", f"{name} 1")
    await server.upload("tree")
    os.utime("tree/touched", (1, 1))
    write("tree/other", "other 2")
    write("tree/larger", "larger than before")
    write("tree/new", "new")
    server.seen.forget()
    would = await server.upload("tree", rehearse=True, if_exists="replace")
    assert [line["name"] for line in would.all("would_send")] == ["tree/larger", "tree/new", "tree/other"]
    assert sorted(str(line["name"]) for line in would.all("unchanged")) == ["tree/same", "tree/touched"]
    assert (would.summary["would_send"], would.summary["unchanged"]) == (3, 2)
    assert (server.seen.requests, server.seen.uploads) == ({LISTING: 1}, [])
    refused = await server.upload("tree", rehearse=True)
    assert [line["code"] for line in refused.all("error")] == ["exists", "exists"]
    assert all(
        str(line["message"]).endswith("use --if-exists replace|rename, or another name")
        for line in refused.all("error")
    )
    assert refused.exit == Exit.FAILED
    assert await server.names() == ["tree/larger", "tree/other", "tree/same", "tree/touched"]


async def test_a_token_that_may_not_list_sends_all_and_hears_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write("tree/a", "a")
    write("tree/b", "b")
    app = create_app(settings := Settings(data=tmp_path / "data", port=0))
    async with running(settings, app) as url:
        token = await token_for(app.state.store, "alice", ["upload"])
        server = Server(url, RequestsSeen())
        first = await server.upload("tree", token=token.text)
        again = await server.upload("tree", token=token.text)
    assert len(first.sent()) == 2
    assert again.summary["unchanged"] == 2


# ------------------------------------------------------------------------------------------------------ side by side


@pytest.mark.parametrize("parallel", [1, 3])
async def test_so_many_files_are_sent_at_a_time_each_on_a_connection_of_its_own(server: Server, parallel: int) -> None:
    for number in range(6):
        write(f"tree/large {number}", LARGE + bytes([number]))
        write(f"tree/small {number}", f"{number}")
    ended = await server.upload("tree", parallel=parallel)
    assert ended.summary["complete"] == 12
    assert server.seen.most_open == parallel
    for number in range(6):
        assert len(LARGE) + 1 in {file.size for file in await client.list_files(server.url, f"tree/large {number}")}


async def test_an_interrupted_run_sums_up_and_the_same_one_goes_on(server: Server) -> None:
    for number in range(4):
        write(f"tree/{number}", LARGE + bytes([number]))
    first_ended = asyncio.Event()

    class Told(JsonDisplay):
        def show(self, event: client.Event) -> None:
            super().show(event)
            if isinstance(event, client.Complete):
                first_ended.set()

    said = io.StringIO()
    async with client.connect(server.url) as connection:
        command = UploadCommand(connection, Told(said), UploadOptions(parallel=2))
        working = asyncio.create_task(command.selection(select([Path("tree")])))
        await first_ended.wait()
        working.cancel()
        await asyncio.wait([working])
    assert working.cancelled()
    assert json.loads(said.getvalue().splitlines()[-1])["event"] == "summary"
    again = await server.upload("tree")
    assert again.summary["complete"] == 4
    assert again.summary["failed"] == 0


# --------------------------------------------------------------------------------------------------- deleting sources


async def test_sources_are_deleted_once_the_server_has_them_and_no_others(server: Server) -> None:
    write("tree/there", "there 1")
    write("tree/taken", "taken 1")
    await server.upload("tree")
    write("tree/taken", "taken 2")
    write("tree/new", "new")
    write("tree/large", LARGE)
    rewrite_unnoticed("tree/there", "there 2")
    ended = await server.upload("tree", delete_sources=True, by_digest=True)
    assert sorted(os.listdir("tree")) == ["taken", "there"]
    assert sorted(str(line["path"]) for line in ended.all("deleted")) == ["tree/large", "tree/new"]
    assert (ended.summary["deleted"], ended.summary["failed"], ended.exit) == (2, 2, Exit.FAILED)


async def test_before_a_source_is_deleted_the_server_is_asked_for_each_and_no_listing_is_trusted(
    server: Server,
) -> None:
    write("tree/small", "small")
    write("tree/large", LARGE)
    await server.upload("tree")
    server.seen.forget()
    ended = await server.upload("tree", delete_sources=True, by_digest=True)
    assert server.seen.requests[LISTING] == 0
    assert set(server.seen.uploads) == {"tree/small", "tree/large"}
    assert (ended.summary["deleted"], ended.summary["unchanged"], ended.exit) == (2, 2, Exit.DONE)
    assert os.listdir("tree") == []


async def test_a_source_that_changed_meanwhile_or_is_a_link_is_kept_in_words(server: Server) -> None:
    write("changed", "changed")
    write("target", "target")
    os.symlink("target", "link")
    async with client.connect(server.url) as connection:
        said = io.StringIO()
        options = UploadOptions(delete_sources=True, by_digest=True)
        command = UploadCommand(connection, JsonDisplay(said), options)
        selection = select([Path("changed"), Path("link")])
        write("changed", "changed since it was looked at")
        assert await command.selection(selection) == Exit.FAILED
    kept = [json.loads(line)["message"] for line in said.getvalue().splitlines() if '"error"' in line]
    assert kept == [
        "uploaded, and kept here: it has changed since",
        "uploaded, and kept here: it is a symbolic link, and what it points to may be wanted elsewhere",
    ]
    assert sorted(os.listdir()) == ["changed", "link", "target"]


def test_another_file_of_the_same_size_and_time_in_a_sources_place_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write("source", "old")
    write("put in its place", "new")
    os.utime("put in its place", ns=(0, os.stat("source").st_mtime_ns))
    (found,) = select([Path("source")]).items
    os.replace("put in its place", "source")
    with pytest.raises(SourceKept):
        delete_source(found)
    assert Path("source").read_text() == "new"


async def test_where_a_proxy_lets_one_connection_through_that_one_sends_all_files(server: Server) -> None:
    for number in range(5):
        write(f"tree/{number}", LARGE + bytes([number]))
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"

    def forbid_others(passage: Passage, piece: bytes) -> Iterator[bytes | Happening]:
        """The listing comes by the first connection, the first WebSocket by the second."""
        yield piece if passage.number < 2 else refusal

    async with Link("127.0.0.1", urlsplit(server.url).port or 0) as link:
        link.downstream.fault = forbid_others
        ended = await Server(link.url, server.seen).upload("tree", parallel=3)
    assert (ended.summary["complete"], ended.summary["failed"]) == (5, 0)
    assert len(await server.names()) == 5
