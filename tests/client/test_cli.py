"""The real command, as a process, against a real server."""

import hashlib
import json
import os
import random
import re
import shlex
import signal
import statistics
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

import client
from client.wire import open_wire
from tests.client.at_terminal import at_terminal
from tests.client.command import CONTENT, Ended, Towline
from tests.links import Link
from tests.server import running
from transfer.protocol.errors import BadMessage
from transfer.protocol.messages import ReadyMessage, UploadHeader
from transfer.protocol.names import Name
from transfer.settings import Settings

OTHER = random.Random(4).randbytes(3_000_001)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[str]:
    async with running(Settings(data=tmp_path / "data", port=0)) as url:
        yield url


@pytest.fixture
async def link(server: str, towline: Towline) -> AsyncIterator[Link]:
    """The way that the command takes to its server."""
    async with Link("127.0.0.1", urlsplit(server).port or 0) as link:
        towline.environment["TOWLINE_SERVER"] = link.url
        yield link


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


# ------------------------------------------------------------------------------------------------------------ upload


async def test_an_upload_tells_where_it_begins_what_is_safe_and_what_it_became(towline: Towline) -> None:
    towline.write("photos/cat.jpg")
    ended = await towline("upload", "photos/cat.jpg", "--json")
    ready, complete = ended.the("ready"), ended.the("complete")
    assert isinstance(ready["upload_id"], str)
    assert (ready["name"], ready["offset"], ready["size"]) == ("cat.jpg", 0, len(CONTENT))
    assert [line["offset"] for line in ended.objects if line["event"] == "ack"][-1] == len(CONTENT)
    file = complete["file"]
    assert isinstance(file, dict)
    assert (file["name"], file["size"], file["digest"]) == ("cat.jpg", len(CONTENT), digest_of(CONTENT))
    assert file["content_type"] == "image/jpeg"
    assert (complete["sent_bytes"], complete["unchanged"]) == (len(CONTENT), False)
    assert ended.err == ""


async def test_without_a_terminal_an_upload_prints_plain_lines_to_stderr(towline: Towline) -> None:
    towline.write("cat.jpg")
    ended = await towline("upload", "cat.jpg")
    assert ended.out == ""
    assert ended.err == "cat.jpg: uploading, 3.0 MB\ncat.jpg: done, 3.0 MB (3.0 MB sent)\n"


async def test_verbose_says_first_how_far_away_the_server_is_and_how_it_sends(towline: Towline) -> None:
    towline.write("cat.jpg")
    first, *further = (await towline("upload", "cat.jpg", "--verbose")).err.splitlines()
    assert re.fullmatch(r"cat\.jpg: connected: (round trip .+ ms, )?congestion control \w+( \(.+ machine\))?", first)
    assert [line.partition(" (")[0] for line in further] == ["cat.jpg: uploading, 3.0 MB", "cat.jpg: done, 3.0 MB"]


@pytest.mark.parametrize("several", [False, True], ids=["large", "small"])
async def test_what_is_sent_by_is_what_was_asked_for(towline: Towline, *, several: bool) -> None:
    towline.write("one/a.bin")
    towline.write("one/b.bin", b"small" * several)
    ended = await towline("upload", "one" if several else "one/a.bin", "--congestion", "bbr", "--json")
    for connected in (line for line in ended.objects if line["event"] == "connected"):
        assert connected["congestion"] == "bbr" or "bbr" in str(connected["reason"])


async def test_quiet_prints_nothing_when_all_went_well(towline: Towline) -> None:
    towline.write("cat.jpg")
    ended = await towline("upload", "cat.jpg", "-q")
    assert (ended.out, ended.err) == ("", "")


async def test_what_is_there_with_the_same_content_is_a_success_that_says_unchanged(towline: Towline) -> None:
    towline.write("cat.jpg")
    await towline("upload", "cat.jpg")
    again = await towline("upload", "cat.jpg")
    assert "cat.jpg: unchanged" in again.err
    complete = (await towline("upload", "cat.jpg", "--json")).the("complete")
    assert (complete["unchanged"], complete["sent_bytes"]) == (True, 0)


async def test_other_content_under_the_same_name_is_an_error_that_says_what_to_type(towline: Towline) -> None:
    towline.write("cat.jpg")
    await towline("upload", "cat.jpg")
    for content in (OTHER, b"short"):
        towline.write("cat.jpg", content)
        ended = await towline("upload", "cat.jpg", code=1)
        assert "--if-exists replace|rename" in ended.err
        error = (await towline("upload", "cat.jpg", "--json", code=1)).the("error")
        assert error["code"] == "exists"
    renamed = await towline("upload", "cat.jpg", "--if-exists", "rename")
    assert "cat.jpg: done, 5 bytes (5 bytes sent) as cat (2).jpg" in renamed.err
    await towline("upload", "cat.jpg", "--if-exists", "replace")
    await towline("download", "cat.jpg", "-o", "copy")
    assert towline.read("copy") == b"short"


async def test_a_folder_is_uploaded_with_the_ways_to_its_files(towline: Towline) -> None:
    for name in ("cat.jpg", "2026/dog.jpg", "2026/[red] :smile:.jpg"):
        towline.write(f"photos/{name}", name.encode())
    towline.write("photos/large.bin")
    (towline.folder / "photos/link").symlink_to("cat.jpg")
    ended = await towline("upload", "photos", "--prefix", "mine")
    assert "photos/link: skipped: a symbolic link" in ended.err
    assert "mine/photos/2026/[red] :smile:.jpg: done, 22 bytes" in ended.err
    assert "mine/photos/large.bin: done, 3.0 MB" in ended.err
    assert re.search(r"^4 files sent, 3\.0 MB in 0:00:\d\d, [0-9.]+ .?B/s; 1 skipped$", ended.err, re.MULTILINE)
    listed = (await towline("ls", "mine/", "--json")).objects
    assert [file["name"] for file in listed] == [
        "mine/photos/2026/[red] :smile:.jpg",
        "mine/photos/2026/dog.jpg",
        "mine/photos/cat.jpg",
        "mine/photos/large.bin",
    ]
    assert listed[1]["digest"] == digest_of(b"2026/dog.jpg")
    again = await towline("upload", "photos", "--prefix", "mine", "--json")
    summary = again.the("summary")
    assert (summary["complete"], summary["unchanged"], summary["failed"]) == (4, 4, 0)


async def test_one_file_that_is_refused_does_not_keep_the_others(towline: Towline) -> None:
    towline.write("photos/a.jpg", b"old")
    await towline("upload", "photos")
    for name in ("a.jpg", "b.jpg", "trailing dot."):
        towline.write(f"photos/{name}", b"new")
    ended = await towline("upload", "photos", "nothing", code=1)
    assert (
        "photos/a.jpg: the name 'photos/a.jpg' is taken by other content: use --if-exists replace|rename" in ended.err
    )
    assert "photos/b.jpg: done" in ended.err
    assert "towline: photos/trailing dot.: it cannot be called that on the server" in ended.err
    assert "towline: nothing: no such file or directory" in ended.err
    as_json = await towline("upload", "photos", "nothing", "--json", code=1)
    errors = [line for line in as_json.objects if line["event"] == "error"]
    assert [line["code"] for line in errors] == ["failed", "failed", "exists"]
    assert [line.get("path") for line in errors] == ["photos/trailing dot.", "nothing", None]
    assert [line.get("name") for line in errors] == [None, None, "photos/a.jpg"]


async def test_of_a_folder_all_is_told_however_few_files_are_left_of_it(towline: Towline) -> None:
    for name in ("a.txt", "b.tmp"):
        towline.write(f"photos/{name}", name.encode())
    for options in (["photos", "-x", "*.tmp"], ["photos"]):
        ended = await towline("upload", *options, "--json")
        assert ended.the("summary")["excluded"] == ended.has("excluded") == (len(options) > 1)
        (towline.folder / "photos/b.tmp").unlink(missing_ok=True)


async def test_what_a_folder_is_called_is_shown_and_not_obeyed(towline: Towline) -> None:
    (towline.folder / "a\x1b[2Jb").mkdir()
    ended = await towline("upload", "a\x1b[2Jb", "--name", "c", code=2)
    assert r"a\x1b[2Jb is a folder" in re.sub(r"[│\s]+", " ", ended.err)


async def test_a_tree_goes_up_and_comes_down_by_what_the_options_say(towline: Towline) -> None:
    for name in ("a.txt", "b.tmp", "c.bin"):
        towline.write(f"photos/{name}", name.encode())
    would = await towline("upload", "photos", "-x", "*.tmp", "--dry-run")
    assert would.out == "photos/a.txt: would be sent, 5 bytes\nphotos/c.bin: would be sent, 5 bytes\n"
    assert would.err == "2 files would be sent, 10 bytes; 1 excluded; nothing was changed\n"
    assert (await towline("ls")).out == ""
    await towline("upload", "photos/a.txt", "--delete-source", "--prefix", "photos")
    deleting = ("--exclude", "*.tmp", "--exclude", "*.txt", "--delete-source", "--parallel", "2", "--checksum")
    assert "c.bin: deleted here" in (await towline("upload", "photos", *deleting)).err
    assert os.listdir(towline.folder / "photos") == ["b.tmp"]
    down = ("download", "photos", "--recursive", "--output", "copy", "--parallel", "2", "--json")
    summary = (await towline(*down)).the("summary")
    assert (summary["complete"], summary["unchanged"], summary["received_bytes"]) == (2, 0, 10)
    assert (await towline(*down, "--checksum")).the("summary")["unchanged"] == 2
    assert sorted(os.listdir(towline.folder / "copy")) == ["a.txt", "c.bin"]


async def test_stdin_is_uploaded_under_its_name(towline: Towline) -> None:
    ended = await towline("upload", "-", "--name", "logs/today", "--json", stdin=CONTENT)
    file = ended.the("complete")["file"]
    assert isinstance(file, dict)
    assert (file["name"], file["digest"]) == ("logs/today", digest_of(CONTENT))
    assert ended.the("ready")["size"] is None


async def test_another_digest_is_used_when_asked_for(towline: Towline) -> None:
    towline.write("cat.jpg")
    file = (await towline("upload", "cat.jpg", "--digest", "blake3", "--json")).the("complete")["file"]
    assert isinstance(file, dict)
    assert str(file["digest"]).startswith("blake3:")


async def test_a_cut_connection_is_resumed_by_itself(towline: Towline, link: Link) -> None:
    towline.write("cat.jpg")
    link.cut_after(upstream=2_000_000)
    ended = await towline("upload", "cat.jpg", "--json")
    assert ended.has("waiting", "ack")
    file = ended.the("complete")["file"]
    assert isinstance(file, dict)
    assert file["digest"] == digest_of(CONTENT)


async def test_a_file_that_is_a_device_is_refused_in_words(towline: Towline) -> None:
    ended = await towline("upload", "/dev/null", code=1)
    assert "/dev/null: a device, not a regular file" in ended.err


# ------------------------------------------------------------------------------------------------------- other data


async def test_ls_ends_when_nobody_reads_on(towline: Towline) -> None:
    for number in range(3):
        towline.write(f"many/{number}", b"x")
    await towline("upload", "many")
    async with towline.begun("ls") as process:
        assert process.stdout is not None
        process.stdout._transport.close()  # type: ignore[attr-defined] # the only way to close one pipe
        assert process.stderr is not None
        assert await process.stderr.read() == b""
        assert await process.wait() == 1


async def test_download_verifies_puts_in_place_and_says_unchanged(towline: Towline) -> None:
    towline.write("cat.jpg")
    await towline("upload", "cat.jpg", "--prefix", "photos")
    ended = await towline("download", "photos/cat.jpg", "-o", "copy.jpg")
    assert ended.out == ""
    assert "photos/cat.jpg: done, 3.0 MB (3.0 MB received), copy.jpg" in ended.err
    assert towline.read("copy.jpg") == CONTENT
    assert "unchanged" in (await towline("download", "photos/cat.jpg", "-o", "copy.jpg")).err
    towline.write("copy.jpg", OTHER)
    assert "--force" in (await towline("download", "photos/cat.jpg", "-o", "copy.jpg", code=1)).err
    forced = await towline("download", "photos/cat.jpg", "-o", "copy.jpg", "--force", "--json")
    downloaded = forced.the("downloaded")
    assert (downloaded["digest"], downloaded["path"]) == (digest_of(CONTENT), "copy.jpg")
    assert towline.read("copy.jpg") == CONTENT
    assert "not_found" in (await towline("download", "nothing", "--json", code=1)).out


async def test_an_interrupted_download_is_continued_by_the_same_command(towline: Towline, link: Link) -> None:
    towline.write("large.bin", CONTENT * 8)
    await towline("upload", "large.bin")
    link.hold_after(downstream=len(CONTENT) * 6)  # it cannot end before it is interrupted
    async with towline.begun("download", "large.bin", "-o", "copy", "--json") as process:
        assert process.stdout is not None
        while json.loads(await process.stdout.readline())["event"] != "received":
            pass
        process.send_signal(signal.SIGINT)
        ended = await towline.end(process, code=130)
    assert "run the same command to go on" in ended.out
    link.thaw()
    again = await towline("download", "large.bin", "-o", "copy", "--json")
    receiving, downloaded = again.the("receiving"), again.the("downloaded")
    assert isinstance(receiving["offset"], int)
    assert receiving["offset"] > 0
    assert downloaded["received_bytes"] == len(CONTENT) * 8 - receiving["offset"]
    assert towline.read("copy") == CONTENT * 8


async def test_mv_renames(towline: Towline) -> None:
    towline.write("a", b"a")
    towline.write("b", b"b")
    await towline("upload", "a", "b")
    assert "a: renamed to c" in (await towline("mv", "a", "c")).err
    assert "is taken: choose another one" in (await towline("mv", "c", "b", code=1)).err
    renamed = (await towline("mv", "c", "d", "--json")).the("renamed")
    assert isinstance(renamed["file"], dict)
    assert renamed["file"]["name"] == "d"
    assert "not here" in (await towline("mv", "a", "x", code=1)).err
    assert "empty segment" in (await towline("mv", "d", "x//y", code=1)).err


async def test_rm_deletes_what_is_there_and_names_what_is_not(towline: Towline) -> None:
    for name in "abc":
        towline.write(name, name.encode())
    await towline("upload", "a", "b", "c")
    ended = await towline("rm", "a", "nothing", "b", code=1)
    assert ended.err.splitlines() == [
        "a: deleted",
        "towline: nothing: the file 'nothing' is not here, or not yours",
        "b: deleted",
    ]
    assert (await towline("rm", "c", "--json")).the("deleted") == {
        "event": "deleted",
        "name": "c",
        "message": "c: deleted",
    }
    assert (await towline("ls")).out == ""


async def test_unfinished_uploads_are_listed_and_cancelled(towline: Towline, server: str) -> None:
    async with open_wire(server) as wire:
        await wire.send(UploadHeader(name=Name("big one.bin"), size=5_000_000))
        ready = await wire.receive()
        assert isinstance(ready, ReadyMessage)
        name, state, id_, origin, command = (await towline("uploads")).out.splitlines()
        assert (name, origin) == ("big one.bin", "    begun elsewhere; whoever has the file goes on with")
        assert re.fullmatch(r"    0 bytes of 5\.0 MB \(0 %\) are safe; expires \d{4}-\d\d-\d\d \d\d:\d\d", state)
        assert id_ == f"    id {ready.upload_id}"
        assert command == "    towline upload FILE --name 'big one.bin'"
        (told,) = (await towline("uploads", "--json")).objects
        assert (told["upload_id"], told["begun_here"], told["source"]) == (ready.upload_id, False, None)
        ended = await towline("cancel", "--", ready.upload_id, "nothing", code=1)
    assert f"{ready.upload_id}: cancelled" in ended.err
    assert "towline: nothing: this upload is not here, or not yours" in ended.err
    assert (await towline("uploads")).out == ""


async def test_an_unfinished_upload_tells_its_source_and_the_command_that_goes_on(
    towline: Towline, link: Link, server: str
) -> None:
    source = towline.write("my photos/cat.jpg")
    link.hold_after(upstream=2_500_000)
    async with towline.begun("upload", "my photos", "--digest", "blake3", "--json") as process:
        assert process.stdout is not None
        while json.loads(await process.stdout.readline())["event"] != "ack":
            pass
        process.kill()
    link.cut()
    state = towline.folder.parent / "state/towline/begun"
    (kept,) = state.iterdir()
    assert (kept.stat().st_mode & 0o077, state.stat().st_mode & 0o077) == (0, 0)
    (told,) = (await towline("uploads", "--json", "--server", server)).objects
    assert told["source"] is None  # another server, as far as anybody can tell
    (told,) = (await towline("uploads", "--json")).objects
    assert (told["source"], told["begun_here"]) == (str(source), True)
    assert f"from {source}\n" in (await towline("uploads")).out
    program, *words = shlex.split(str(told["command"]))
    assert (program, words[0], "blake3" in words) == ("towline", "upload", True)
    assert "my photos/cat.jpg: resumed at" in (await towline(*words)).err
    assert not [*state.iterdir()]


# -------------------------------------------------------------------------------------------------------------- echo


async def test_echo_prints_what_came_back_and_how_long_that_took(towline: Towline) -> None:
    ended = await towline("echo", "grüße [red]")
    assert ended.out == "Echo: grüße [red]\n"
    assert re.fullmatch(r"round trip: \d+\.\d{3} ms\n", ended.err)
    assert (await towline("echo", "", "--quiet")) == Ended(0, "Echo: \n", "")


async def test_a_terminal_obeys_nothing_of_what_came_back(towline: Towline) -> None:
    async with at_terminal(towline, "echo", "a\x1b[2Jb") as terminal:
        assert r"Echo: a\x1b[2Jb" in await terminal.until("round trip")


async def test_echo_tells_a_program_everything_in_one_object(towline: Towline) -> None:
    ended = await towline("echo", "hello", "--json")
    (told,) = ended.objects
    taken = told.pop("round_trip_ms")
    assert told == {"event": "echo", "text": "hello"}
    assert isinstance(taken, float)
    assert taken > 0
    assert ended.err == ""


TRIP = r"56 bytes from http://127\.0\.0\.1:\d+: seq=%d time=\d+\.\d{3} ms\n"
SUMMARY = (
    r"\n--- http://127\.0\.0\.1:\d+ echo statistics ---\n%d sent, %d came back\n"
    r"rtt min/avg/max/mdev = \d+\.\d{3}/\d+\.\d{3}/\d+\.\d{3}/\d+\.\d{3} ms\n"
)


async def test_echo_without_a_text_measures_ten_round_trips(towline: Towline) -> None:
    ended = await towline("echo", "--interval", "0")
    trips = "".join(TRIP % number for number in range(1, 11))
    assert re.fullmatch(trips + SUMMARY % (10, 10), ended.out)
    assert ended.err == ""


async def test_round_trips_are_summed_up_from_what_was_told_of_each(towline: Towline) -> None:
    *trips, summary = (await towline("echo", "--count", "3", "--interval", "0", "--json")).objects
    taken = [float(str(trip["round_trip_ms"])) for trip in trips]
    assert [(trip["event"], trip["seq"]) for trip in trips] == [("echo", 1), ("echo", 2), ("echo", 3)]
    assert (summary["event"], summary["sent"], summary["came_back"]) == ("summary", 3, 3)
    assert (summary["min_ms"], summary["max_ms"]) == (min(taken), max(taken))
    assert summary["avg_ms"] == pytest.approx(statistics.fmean(taken), abs=0.002)
    assert summary["mdev_ms"] == pytest.approx(statistics.pstdev(taken), abs=0.002)


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["lines", "json"])
async def test_ctrl_c_sums_up_the_round_trips_so_far(towline: Towline, options: list[str]) -> None:
    async with towline.begun("echo", "--interval", "3600", *options) as process:
        assert process.stdout is not None
        first = (await process.stdout.readline()).decode()
        process.send_signal(signal.SIGINT)
        ended = await towline.end(process, code=130)
    if options:
        assert json.loads(first)["seq"] == 1
        assert (ended.the("summary")["sent"], ended.the("error")["code"]) == (1, "interrupted")
    else:
        assert re.fullmatch(TRIP % 1 + SUMMARY % (1, 1), first + ended.out)
        assert "interrupted" in ended.err


async def test_a_server_that_goes_away_does_not_take_the_round_trips_so_far_along(towline: Towline, link: Link) -> None:
    async with towline.begun("echo", "--count", "1000000", "--interval", "0") as process:
        assert process.stdout is not None
        first = (await process.stdout.readline()).decode()
        link.cut_after(downstream=100)
        ended = await towline.end(process, code=1)
    assert first.startswith("56 bytes from ")
    assert re.search(r"\n(\d+) sent, (\d+) came back\nrtt min/avg/max/mdev = ", ended.out)
    assert "the server cannot be reached: connection lost" in ended.err


async def test_a_text_that_cannot_be_sent_is_refused_in_words(towline: Towline) -> None:
    assert "is not Unicode" in (await towline("echo", os.fsdecode(b"a\xffb"), code=1)).err
    assert "a text of 65538 bytes is longer than 65536" in (await towline("echo", "é" * 32_769, code=1)).err
    error = (await towline("echo", "a" * 65_537, "--json", code=1)).the("error")
    assert error["code"] == "bad_message"


@pytest.mark.parametrize("option", ["--count", "--interval"])
async def test_a_text_is_sent_once(towline: Towline, option: str) -> None:
    assert "leave it out to measure" in (await towline("echo", "hello", option, "2", code=2)).err


async def test_a_text_that_comes_back_as_another_is_an_error() -> None:
    async def answer(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send('{"type":"echo","text":"\\u001b[2J"}')

    async with serve(answer, "127.0.0.1", 0, subprotocols=[Subprotocol("towline.v1")]) as server:
        port = server.sockets[0].getsockname()[1]
        async with client.connect(f"http://127.0.0.1:{port}") as connection:
            with pytest.raises(BadMessage, match="another text"):
                await connection.echo("hello")


# --------------------------------------------------------------------------------------------------- ends in between


async def test_giving_up_ends_with_75_and_says_how_to_go_on(towline: Towline, link: Link) -> None:
    towline.write("cat.jpg")
    towline.write("dog.jpg")
    await towline("upload", "cat.jpg", "--name", "there")
    link.refusing = True
    for command in (["upload", "cat.jpg"], ["upload", "cat.jpg", "dog.jpg"], ["download", "there"]):
        ended = await towline(*command, "--give-up-after", "0", code=75)
        assert "run the same command to go on" in ended.err
        as_json = await towline(*command, "--give-up-after", "0", "--json", code=75)
        assert as_json.the("error")["code"] == "gave_up"


async def test_being_taken_over_ends_with_75_and_says_how_to_take_it_back(
    towline: Towline, link: Link, server: str
) -> None:
    async with towline.begun("upload", "-", "--name", "log", "--json") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"x" * 1_000)
        while json.loads(await process.stdout.readline())["event"] != "ready":
            pass
        async with open_wire(server) as newcomer:
            await newcomer.send(UploadHeader(name=Name("log")))
            assert isinstance(await newcomer.receive(), ReadyMessage)
            code = await process.wait()
            ended = (await process.stdout.read()).decode()
    assert code == 75
    error = json.loads(ended.splitlines()[-1])
    assert error["code"] == "superseded"
    assert "run the same command to take it back" in error["message"]


async def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(towline: Towline) -> None:
    towline.write("large.bin", CONTENT * 8)
    async with towline.begun("upload", "-", "--name", "large.bin", "--json") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(CONTENT * 7)
        while (line := json.loads(await process.stdout.readline()))["event"] != "ack":
            pass
        process.send_signal(signal.SIGINT)  # stdin stays open: nothing must wait for it
        await process.wait()
        out, err = await process.stdout.read(), await process.stderr.read() if process.stderr else b""
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert json.loads(out.splitlines()[-1]) == {
        "event": "error",
        "code": "interrupted",
        "message": "interrupted: run the same command to go on",
    }
    again = await towline("upload", "large.bin", "--json")
    first = next(event for event in again.objects if event["event"] == "ready")
    assert isinstance(first["offset"], int)
    assert first["offset"] >= line["offset"]
    assert again.the("complete")["sent_bytes"] == len(CONTENT) * 8 - first["offset"]


async def test_ctrl_c_while_waiting_for_the_network_ends_at_once(towline: Towline, link: Link) -> None:
    towline.write("cat.jpg")
    link.refusing = True
    async with towline.begun("upload", "cat.jpg") as process:
        assert process.stderr is not None
        assert b"waiting for the network, retrying in " in await process.stderr.readline()
        process.send_signal(signal.SIGINT)
        ended = await towline.end(process, code=130)
    assert ended.err == "towline: interrupted: run the same command to go on\n"


async def test_an_upload_goes_on_when_nobody_reads_its_events_any_more(towline: Towline) -> None:
    async with towline.begun("upload", "-", "--name", "log", "--json") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(CONTENT)
        await process.stdout.readline()
        process.stdout._transport.close()  # type: ignore[attr-defined] # the only way to close one pipe
        process.stdin.close()
        assert await process.wait() == 0
    assert digest_of(CONTENT) in (await towline("ls", "--json")).out


# ------------------------------------------------------------------------------------------------------- wrong usage


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["upload"], "Missing argument"),
        (["upload", "-"], "needs --name"),
        (["upload", "-", "x", "--name", "y"], "- stands alone"),
        (["upload", "x", "y", "--name", "z"], "it names one file"),
        (["upload", ".", "--name", "z"], ". is a folder"),
        (["upload", "x", "--name", "y", "--prefix", "z"], "leave --prefix out"),
        (["upload", "x", "--if-exists", "ask"], "ask"),
        (["upload", "x", "--digest", "md5"], "md5"),
        (["upload", "x", "--give-up-after", "-1"], "greater than or equal to 0"),
        (["upload", "x", "--exclude", "!"], "Invalid git pattern"),
        (["upload", "-", "--name", "y", "--dry-run"], "are for files"),
        (["upload", "x", "--name", r"C:\photos\cat.jpg"], "did you mean 'photos/cat.jpg'?"),
        (["upload", "x", "--prefix", r"photos\2026"], "did you mean 'photos/2026'?"),
        (["download", "x", "-o", "-"], "not to stdout"),
        (["download", r"photos\cat.jpg"], "did you mean 'photos/cat.jpg'?"),
        (["download", "x", "https://files.example.org/s/x"], "stands alone"),
        (["ls", "--server", "files.example.org"], "a server is written like http://127.0.0.1:8000"),
        (["login", "towline_0123456789ab"], "that looks like a token, which others can read in a command"),
        (["ls", "--token-file", "eyJhbGciOiJub25lIn0"], "that looks like a token, which others can read in a command"),
        (["downlaod", "x"], "download"),
        (["--nothing"], "No such option"),
    ],
)
async def test_wrong_usage_ends_with_2_and_says_what_is_wrong(
    towline: Towline, arguments: list[str], sentence: str
) -> None:
    ended = await towline(*arguments, code=2)
    assert sentence in re.sub(r"[│\s]+", " ", ended.err)
    assert ended.out == ""


async def test_version_is_printed(towline: Towline) -> None:
    assert (await towline("--version")).out.startswith("towline")


async def test_a_server_that_is_not_there_is_said_to_be_away(towline: Towline, link: Link) -> None:
    link.refusing = True
    for command in (["ls"], ["echo", "hello"], ["uploads"]):
        ended = await towline(*command, code=1)
        assert "the server cannot be reached" in ended.err
        assert "--server or TOWLINE_SERVER" in ended.err


# ------------------------------------------------------------------------------------------------ commands of others


@contextmanager
def installed(folder: Path, **sources: str) -> Iterator[str]:
    """A package with a command for each source, as if it were installed in `folder`."""
    info = folder / "other-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    lines = [f"{name} = other_{name}:command" for name in sources]
    (info / "entry_points.txt").write_text("\n".join(["[towline.commands]", *lines, ""]))
    for name, source in sources.items():
        (folder / f"other_{name}.py").write_text(source)
    yield str(folder)


WORKING = '''
import typer

def command(times: int = typer.Option(1, help="How often.")) -> None:
    """Say hello."""
    print("hello " * times)
'''


SEVERAL = """
import typer

command = typer.Typer(help="Say several things.")

@command.command()
def hello(name: str) -> None:
    print("hello", name)

@command.command()
def goodbye() -> None:
    print("goodbye")
"""


async def test_commands_of_other_packages_are_loaded_when_they_are_asked_for(towline: Towline, tmp_path: Path) -> None:
    with installed(tmp_path / "site", greet=WORKING, broken="import nothing_of_that_name", echo=WORKING) as site:
        towline.environment["PYTHONPATH"] += os.pathsep + site
        assert (await towline("greet", "--times", "2")).out == "hello hello \n"
        shown = await towline("--help")
        assert "Say hello." in shown.out
        assert "broken" in shown.out
        ended = await towline("broken", "--whatever", "x", code=1)
        assert "the command broken does not work here: ModuleNotFoundError" in ended.err
        assert (await towline("echo", "ours")).out == "Echo: ours\n"


async def test_another_package_may_have_a_command_of_several(towline: Towline, tmp_path: Path) -> None:
    with installed(tmp_path / "site", say=SEVERAL) as site:
        towline.environment["PYTHONPATH"] += os.pathsep + site
        assert (await towline("say", "hello", "you")).out == "hello you\n"
        assert "Say several things." in (await towline("--help")).out


async def test_a_name_that_the_output_cannot_encode_is_written_as_escapes(towline: Towline, server: str) -> None:
    async with client.connect(server) as connection:
        await connection.upload(b"", name="кот")
    towline.environment["PYTHONIOENCODING"] = "ascii"
    assert r"\u043a\u043e\u0442" in (await towline("ls")).out
