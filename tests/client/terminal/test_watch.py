"""`towline watch`, and `connection.events()` beneath it: what happens on a server, as it happens."""

import asyncio
import io
import json
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from rich.console import Console

import client
from client.events import EventMessage, FileEvent, ResetEvent, UploadEvent
from client.http import UnfinishedUpload
from client.progress import Event, Waiting
from client.terminal.watch_screen import WatchScreen
from client.terminal.watched import Watched, is_below, sentence_of
from tests.client.at_terminal import at_terminal
from tests.client.command import Ended, Towline
from tests.client.terminal.test_display import entry
from tests.links import Link
from tests.server import ServerProcess, running
from tests.tokens import token_for
from transfer.app import create_app
from transfer.protocol.errors import Forbidden
from transfer.protocol.events import key_of
from transfer.protocol.limits import MIB
from transfer.protocol.names import Name
from transfer.settings import Settings

MB = 1_000_000
SECONDS = 0.6
"""Between two events, so that a speed can be told."""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[str]:
    async with running(Settings(data=tmp_path / "data", port=0)) as url:
        yield url


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def moved(
    offset: int, *, key: str = "1", name: str = "cat.jpg", size: int | None = 10 * MB, owner: str = "anonymous"
) -> UploadEvent:
    return UploadEvent(event="progressed", id="a-1", key=key, name=Name(name), size=size, offset=offset, owner=owner)


def done(key: str | None = "1", name: str = "cat.jpg", size: int = 10 * MB) -> UploadEvent:
    return UploadEvent(
        event="completed",
        id="a-2",
        key=key,
        name=Name(name),
        size=size,
        offset=size,
        owner="anonymous",
        file=entry(name, size),
    )


# ---------------------------------------------------------------------------------------------------------- the state


def test_a_row_is_there_from_its_first_event_to_its_end() -> None:
    watched = Watched()
    watched.take(moved(MB), 0.0)
    watched.take(moved(2 * MB, name="dog.jpg"), 1.0)
    (row,) = watched.rows(1.0)
    assert (row.name, row.offset, row.speed(1.0), row.seconds_left) == ("dog.jpg", 2 * MB, MB, 8.0)
    watched.take(done(), 2.0)
    assert watched.rows(2.0) == []


def test_a_row_that_does_not_move_has_no_speed_goes_to_the_end_and_then_away() -> None:
    watched = Watched()
    for second in range(2):
        watched.take(moved(MB * second, key="silent"), float(second))
    for second in range(80):
        watched.take(moved(MB * second, key="moving", name="moving", size=None), float(second))
        if 10 < second < 60:
            assert [(row.name, row.speed(float(second))) for row in watched.rows(float(second))] == [
                ("moving", MB),
                ("cat.jpg", None),
            ]
    assert [row.name for row in watched.rows(79.0)] == ["moving"]
    watched.take(moved(5 * MB, key="silent"), 79.0)
    assert [row.speed(79.0) for row in watched.rows(79.0)] == [None, MB]  # of what came back it is too early to say


def test_what_has_all_its_bytes_stays_while_the_server_reads_them() -> None:
    watched = Watched()
    watched.take(moved(10 * MB), 0.0)
    assert [row.is_whole for row in watched.rows(3_600.0)] == [True]


def test_what_moved_just_before_is_listed_and_a_reset_forgets_all() -> None:
    watched, now = Watched(), datetime(2026, 11, 30, 12, tzinfo=UTC)
    for upload_id, minute in (("recent", 0), ("old", 30)):
        moment = now.replace(hour=11, minute=59 - minute, second=30)
        upload = UnfinishedUpload(
            upload_id=upload_id, name=Name(upload_id), size=10 * MB, offset=MB, created=moment, active=moment
        )
        watched.add([upload], "", 100.0, now.timestamp())
    assert [row.name for row in watched.rows(100.0)] == ["recent"]
    watched.take(moved(2 * MB, key=key_of("recent"), name="recent"), 101.0)
    assert [row.offset for row in watched.rows(101.0)] == [2 * MB]
    watched.take(ResetEvent(id="a-1"), 101.0)
    assert watched.rows(101.0) == []


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (moved(MB), "cat.jpg: 1.0 MB of 10.0 MB"),
        (moved(MB, size=None), "cat.jpg: 1.0 MB"),
        (moved(MB).model_copy(update={"event": "created"}), "cat.jpg: uploading, 10.0 MB"),
        (moved(MB, size=None).model_copy(update={"event": "created"}), "cat.jpg: uploading"),
        (moved(MB).model_copy(update={"event": "cancelled"}), "cat.jpg: cancelled at 1.0 MB"),
        (moved(MB).model_copy(update={"event": "cancelled", "expired": True}), "cat.jpg: expired at 1.0 MB"),
        (moved(MB, owner="alice\x1b[2J"), "cat.jpg: 1.0 MB of 10.0 MB (alice\\x1b[2J)"),
        (done(), "cat.jpg: done, 10.0 MB"),
        (done().model_copy(update={"file": entry("cat (2).jpg")}), "cat.jpg: done, 10.0 MB as cat (2).jpg"),
        (done().model_copy(update={"unchanged": True}), "cat.jpg: unchanged"),
        (FileEvent(event="deleted", id="a-1", name=Name("a")), "a: deleted"),
        (FileEvent(event="renamed", id="a-1", name=Name("a"), file=entry("b")), "a: renamed to b"),
        (FileEvent(event="renamed", id="a-1", file=entry("b")), "b: here"),
    ],
)
def test_each_event_is_a_sentence(event: EventMessage, sentence: str) -> None:
    assert sentence_of(event) == sentence


def test_a_prefix_is_of_the_name_before_or_after() -> None:
    renamed = FileEvent(event="renamed", id="a-1", name=Name("a/1"), file=entry("b/1"))
    assert [is_below(renamed, prefix) for prefix in ("", "a/", "b/", "c/")] == [True, True, True, False]
    assert is_below(ResetEvent(id="a-1"), "c/")


# ---------------------------------------------------------------------------------------------------------- the screen


def drawn(width: int, height: int, *events: EventMessage, wait: Waiting | None = None) -> list[str]:
    """What a terminal of this size shows in the end, without the spaces at the ends of its lines."""
    clock, written = Clock(), io.StringIO()
    console = Console(
        file=written, width=width, height=height, force_terminal=True, color_system=None, legacy_windows=False
    )
    screen = WatchScreen(console, "http://127.0.0.1:8000", clock)
    for event in events:
        clock.now += SECONDS
        screen.take(event)
    if wait is not None:
        screen.wait(wait)
    with console.capture() as capture:
        console.print(screen.render())
    return [line.rstrip() for line in capture.get().splitlines()]


LONG = "films/2026/a name that is longer than what there is, number {}.mp4"
TWO = [moved(MB * step, key=str(key), name=LONG.format(key)) for step in range(5) for key in range(2)]


@pytest.mark.parametrize("width", [200, 120, 100, 80, 60, 40])
def test_every_line_fits_and_tells_the_uploads_apart(width: int) -> None:
    lines = drawn(width, 24, *TWO)
    assert [len(line) <= width for line in lines] == [True] * 3
    for key in range(2):
        assert f"number {key}.mp4" in lines[key]
        assert "kB/s" in lines[key]
    assert lines[-1].startswith("2 uploads, 1.7 MB/s")


def test_a_wide_terminal_shows_all_and_a_narrow_one_what_matters_most() -> None:
    assert drawn(200, 24, *[moved(MB * step, owner="alice") for step in range(5)])[0].split() == [
        *("cat.jpg", "alice", "━" * 20, "4.0", "MB", "of", "10.0", "MB", "40", "%", "1.7", "MB/s", "0:00:04", "left"),
    ]
    assert drawn(40, 24, *[moved(MB * step) for step in range(5)])[0].split() == ["cat.jpg", "40", "%", "1.7", "MB/s"]


def test_what_does_not_fit_into_the_height_is_counted() -> None:
    lines = drawn(80, 10, *[moved(MB, key=str(key), name=f"{key}.mp4") for key in range(20)])
    assert (len(lines), lines[-2]) == (8, "and 14 more")


def test_it_says_when_nothing_happens_and_when_the_server_is_away() -> None:
    assert drawn(80, 24) == ["no uploads at http://127.0.0.1:8000"]
    waiting = Waiting(name="", seconds=2.2, reason="connection refused")
    assert drawn(80, 24, wait=waiting) == ["waiting for the network, retrying in 3 s (connection refused)"]


def test_of_a_flood_of_files_some_are_told_and_the_rest_is_counted() -> None:
    written = io.StringIO()
    console = Console(file=written, width=80, height=24, force_terminal=True, color_system=None)
    with WatchScreen(console, "http://127.0.0.1:8000") as screen:
        for number in range(1_000):
            screen.take(done(None, f"{number}.txt", 1_000))
        screen.draw()
    assert "4.txt: done" in written.getvalue()
    assert "5.txt" not in written.getvalue()
    assert "and 995 more, 995.0 kB" in written.getvalue()


# --------------------------------------------------------------------------------------------------------- the library


async def test_events_go_on_after_a_break_and_none_is_missed_or_told_twice(server: str) -> None:
    waits: list[Event] = []
    async with (
        Link("127.0.0.1", urlsplit(server).port or 0) as link,
        client.connect(link.url) as listening,
        client.connect(server) as sending,
        aclosing(listening.events(on_event=waits.append)) as events,  # type: ignore[type-var]
    ):
        assert isinstance(await anext(events), ResetEvent)
        names = []
        for number in range(6):
            if number % 2:
                link.cut()
            await sending.upload(b"cargo", name=f"{number}")
            while not isinstance(event := await anext(events), UploadEvent) or event.event != "completed":
                assert not isinstance(event, ResetEvent)
            names.append(str(event.name))
    assert names == ["0", "1", "2", "3", "4", "5"]
    assert len(waits) >= 3
    assert all(isinstance(wait, Waiting) for wait in waits)


async def test_events_after_one_that_was_heard_leave_out_what_came_before(server: str) -> None:
    async with client.connect(server) as connection:
        async with aclosing(connection.events()) as events:  # type: ignore[type-var]
            first = await anext(events)
        await connection.upload(b"cargo", name="missed")
        async with aclosing(connection.events(first.id)) as events:  # type: ignore[type-var]
            assert isinstance(missed := await anext(events), UploadEvent)
            assert str(missed.name) == "missed"


async def test_who_may_see_nothing_hears_so_at_once(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data", port=0)
    app = create_app(settings)
    async with running(settings, app) as url:
        token = await token_for(app.state.store, "alice", ["proxy"])
        async with client.connect(url, token=token.text) as connection:
            with pytest.raises(Forbidden):
                await anext(connection.events())


# --------------------------------------------------------------------------------------------------------- the command


async def test_json_tells_each_event_and_goes_on_over_a_restart(towline: Towline, tmp_path: Path) -> None:
    async with ServerProcess(tmp_path / "served") as server:
        towline.environment["TOWLINE_SERVER"] = server.url
        async with towline.begun("watch", "--json") as process, client.connect(server.url) as connection:
            assert process.stdout is not None
            assert json.loads(await process.stdout.readline())["missed"] is False
            await connection.upload(b"cargo", name="before")
            completed = json.loads(await process.stdout.readline())
            assert (completed["event"], completed["file"]["name"]) == ("completed", "before")
            await server.restart()
            while (told := json.loads(await process.stdout.readline())).get("event") == "waiting":
                assert told["reason"]
            assert (told["type"], told["missed"]) == ("reset", True)
            process.send_signal(signal.SIGINT)
            assert (await towline.end(process, code=130)).the("error")["code"] == "interrupted"


async def test_where_there_is_no_terminal_what_happens_is_a_line_each(towline: Towline, server: str) -> None:
    async with towline.begun("watch", "b/") as process, client.connect(server) as connection:
        assert process.stdout is not None
        line = asyncio.create_task(process.stdout.readline())
        while not line.done():
            await connection.upload(b"cargo", name="a/cargo", if_exists="replace")
            await connection.upload(b"cargo", name="b/cargo", if_exists="replace")
            await connection.delete("b/cargo")
            await asyncio.wait([line], timeout=0.1)
        process.send_signal(signal.SIGINT)
        ended: Ended = await towline.end(process, code=130)
    words = ((await line).decode() + ended.out).splitlines()
    assert all(word.partition("  ")[2].startswith("b/cargo: ") for word in words)
    assert "interrupted" in ended.err


async def test_a_terminal_shows_an_upload_while_it_goes_on(towline: Towline, server: str) -> None:
    async with at_terminal(towline, "watch") as terminal, client.connect(server) as connection:
        await terminal.until("no uploads at http")
        uploading = asyncio.create_task(connection.upload(bytes(3 * MIB), name="photos/cat.jpg"))
        await terminal.until(r"photos/cat\.jpg: done, 3\.1 MB")
        await uploading
        terminal.process.send_signal(signal.SIGINT)
        await terminal.until("interrupted")
        assert await terminal.process.wait() == 130
