import io
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from client.errors import ClientError
from client.progress import (
    Ack,
    Comparing,
    Complete,
    Connected,
    Downloaded,
    Event,
    Failed,
    Ready,
    Received,
    Receiving,
    Resending,
    Verifying,
    Waiting,
)
from client.terminal.bar_line import ending
from client.terminal.bars import BarsDisplay, Meter
from client.terminal.display import Display, JsonDisplay, PlainDisplay
from client.terminal.outcome import Exit, Outcome, outcome_of
from client.terminal.wording import line_of, printable, time_words
from transfer.protocol.digest import digest_bytes
from transfer.protocol.errors import Exists, NotFound, Superseded
from transfer.protocol.messages import FileEntry
from transfer.protocol.names import Name

MOMENT = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
WAITING = Waiting(name="cat.jpg", seconds=2.2, reason="connection refused")


def entry(name: str = "cat.jpg", size: int = 3_100_000) -> FileEntry:
    return FileEntry(
        name=Name(name),
        size=size,
        digest=digest_bytes(b""),
        content_type="image/jpeg",
        created=MOMENT,
        owner="anonymous",
        url=f"/files/{name}",
    )


def ready(offset: int = 0, size: int | None = 3_100_000, name: str = "cat.jpg") -> Ready:
    return Ready(name=name, upload_id="k3V", offset=offset, size=size)


def connected(
    *,
    name: str = "cat.jpg",
    connections: int = 1,
    congestion: str | None = "bbr",
    reason: str | None = None,
    round_trip: float | None = 0.1,
) -> Connected:
    return Connected(name=name, connections=connections, congestion=congestion, reason=reason, round_trip=round_trip)


def complete(file: FileEntry | None = None, *, unchanged: bool = False, sent_bytes: int = 2_000_000) -> Complete:
    return Complete(
        name="cat.jpg", file=file or entry(), sent_bytes=sent_bytes, unchanged=unchanged, resumed_at=1_100_000
    )


def downloaded(*, unchanged: bool = False) -> Downloaded:
    return Downloaded(
        name="photos/cat.jpg",
        path=Path("cat.jpg"),
        size=3_100_000,
        digest=digest_bytes(b""),
        received_bytes=2_000_000,
        unchanged=unchanged,
        resumed_at=1_100_000,
    )


# ------------------------------------------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (ready(), "cat.jpg: uploading, 3.1 MB"),
        (ready(size=None), "cat.jpg: uploading"),
        (ready(1_100_000), "cat.jpg: resumed at 1.1 MB of 3.1 MB"),
        (ready(1_100_000, None), "cat.jpg: resumed at 1.1 MB"),
        (Ack(name="cat.jpg", offset=5), None),
        (Comparing(name="cat.jpg", offset=5, size=9), None),
        (Verifying(name="cat.jpg", offset=5), None),
        (Resending(name="cat.jpg", size=1_048_576), "cat.jpg: sending 1.0 MB again that differ"),
        (WAITING, "cat.jpg: waiting for the network, retrying in 3 s (connection refused)"),
        (
            Waiting(name="", seconds=0.1, reason="connection lost"),
            "waiting for the network, retrying in 1 s (connection lost)",
        ),
        (complete(), "cat.jpg: done, 3.1 MB (2.0 MB sent)"),
        (complete(entry("cat (2).jpg")), "cat.jpg: done, 3.1 MB (2.0 MB sent) as cat (2).jpg"),
        (complete(unchanged=True), "cat.jpg: unchanged, the server has this content already"),
        (Failed(name="cat.jpg", error=NotFound("this upload is not here")), "cat.jpg: this upload is not here"),
        (Receiving(name="cat.jpg", offset=0, size=3_100_000), "cat.jpg: downloading, 3.1 MB"),
        (Receiving(name="cat.jpg", offset=1_100_000, size=3_100_000), "cat.jpg: resumed at 1.1 MB of 3.1 MB"),
        (Received(name="cat.jpg", offset=5), None),
        (connected(), None),
        (downloaded(), "photos/cat.jpg: done, 3.1 MB (2.0 MB received), cat.jpg"),
        (downloaded(unchanged=True), "photos/cat.jpg: unchanged, cat.jpg has this content already"),
    ],
)
def test_every_event_has_its_line_or_only_moves_a_bar(event: Event, line: str | None) -> None:
    assert line_of(event) == line


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (connected(), "cat.jpg: connected: round trip 100 ms, congestion control bbr"),
        (
            connected(name="", congestion="cubic", reason="this system has no bbr", round_trip=0.00012),
            "connected: round trip 0.12 ms, congestion control cubic (this system has no bbr)",
        ),
        (
            connected(connections=3, congestion=None, reason="nobody knows", round_trip=None),
            "cat.jpg: connection 3: congestion control unknown (nobody knows)",
        ),
        (ready(), "cat.jpg: uploading, 3.1 MB"),
    ],
)
def test_the_verbose_read_more(event: Event, line: str) -> None:
    assert line_of(event, verbose=True) == line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("photos/cat.jpg", "photos/cat.jpg"),
        ("кошка 猫 👍🏽", "кошка 猫 👍🏽"),
        ("\x1b[2J\x07bell\r\n", r"\x1b[2J\x07bell\r\n"),
        ("\u202egpj.exe\u2028\x9b", r"\u202egpj.exe\u2028\x9b"),
        (os.fsdecode(b"\xff"), r"\udcff"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "0:00:01"), (83, "0:01:23"), (36_000, "10:00:00")])
def test_times_are_told_in_hours_minutes_and_seconds(seconds: float, words: str) -> None:
    assert time_words(seconds) == words


def test_the_error_for_a_taken_name_says_what_to_type() -> None:
    outcome = outcome_of(
        Exists("the name 'a' is taken by other content: choose if_exists replace or rename", digest="x")
    )
    assert outcome == Outcome(
        Exit.FAILED,
        "exists",
        "the name 'a' is taken by other content: use --if-exists replace|rename, or another name",
    )


def test_an_upload_that_was_taken_over_can_be_taken_back() -> None:
    outcome = outcome_of(Superseded("another connection has taken this upload over"))
    assert outcome.exit is Exit.RESUMABLE
    assert "run the same command" in outcome.message


def test_an_error_of_the_system_is_told_in_its_words_with_the_path() -> None:
    outcome = outcome_of(FileNotFoundError(2, "whatever", "photos/cat.jpg"))
    assert outcome == Outcome(Exit.FAILED, "os_error", "photos/cat.jpg: no such file or directory")


# -------------------------------------------------------------------------------------------------------------- JSON


def shown_as_json(*events: Event) -> list[dict[str, object]]:
    stdout = io.StringIO()
    with JsonDisplay(stdout) as display:
        for event in events:
            display.show(event)
    return [json.loads(line) for line in stdout.getvalue().splitlines()]


def test_json_has_an_object_a_line_with_what_was_promised() -> None:
    lines = shown_as_json(ready(7), Ack(name="cat.jpg", offset=9), complete(), WAITING)
    assert lines[0] == {"event": "ready", "name": "cat.jpg", "upload_id": "k3V", "offset": 7, "size": 3_100_000}
    assert lines[1] == {"event": "ack", "name": "cat.jpg", "offset": 9}
    assert lines[2]["event"] == "complete"
    assert lines[2]["sent_bytes"] == 2_000_000
    assert lines[2]["unchanged"] is False
    assert lines[2]["file"] == entry().model_dump(mode="json")
    assert lines[3] == {"event": "waiting", "name": "cat.jpg", "seconds": 2.2, "reason": "connection refused"}


def test_json_tells_a_failure_with_its_code() -> None:
    (line,) = shown_as_json(Failed(name="cat.jpg", error=NotFound("it is not here")))
    assert line == {"event": "error", "name": "cat.jpg", "code": "not_found", "message": "it is not here"}


def test_json_tells_downloads_with_paths_and_digests_as_text() -> None:
    lines = shown_as_json(Receiving(name="a", offset=0, size=5), Received(name="a", offset=5), downloaded())
    assert [line["event"] for line in lines] == ["receiving", "received", "downloaded"]
    assert lines[2]["path"] == "cat.jpg"
    assert lines[2]["digest"] == str(digest_bytes(b""))


def test_json_is_ascii_whatever_a_name_holds() -> None:
    stdout = io.StringIO()
    JsonDisplay(stdout).error(outcome_of(ClientError("not utf-8: \udcff, 猫")), os.fsdecode(b"\xff.jpg"))
    assert stdout.getvalue().isascii()
    assert json.loads(stdout.getvalue())["name"] == "\udcff.jpg"


def test_a_transfer_goes_on_when_nobody_reads_its_events_any_more() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as stdout:
        display = JsonDisplay(stdout)
        display.show(ready())
        display.show(complete())


def test_data_that_nobody_reads_any_more_is_an_end() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stdout = open(writing, "w")  # noqa: SIM115 - closing it raises once more
    with pytest.raises(BrokenPipeError):
        JsonDisplay(stdout).data("", {"name": "cat.jpg"})
    with pytest.raises(BrokenPipeError):
        stdout.close()


# ------------------------------------------------------------------------------------------------------------- plain


def run_through(display: Display) -> None:
    with display:
        display.expect(2, 4_100_000)
        display.notice("skipped", "photos/link: skipped", {})
        display.show(ready())
        display.show(Ack(name="cat.jpg", offset=1_000_000))
        display.show(WAITING)
        display.show(ready(1_100_000))
        display.show(complete())
        display.show(Failed(name="dog.jpg", error=NotFound("gone")))
        display.error(outcome_of(NotFound("\x1b[31mgone")), "dog.jpg")
        display.data("Echo: hello", {})
        display.remark("round trip: 0.512 ms")


def test_plain_lines_tell_what_changes_and_not_every_ack() -> None:
    stdout, stderr = io.StringIO(), io.StringIO()
    run_through(PlainDisplay(stdout, stderr))
    assert stdout.getvalue() == "Echo: hello\n"
    assert stderr.getvalue().splitlines() == [
        "photos/link: skipped",
        "cat.jpg: uploading, 3.1 MB",
        "cat.jpg: waiting for the network, retrying in 3 s (connection refused)",
        "cat.jpg: resumed at 1.1 MB of 3.1 MB",
        "cat.jpg: done, 3.1 MB (2.0 MB sent)",
        "dog.jpg: gone",
        r"towline: dog.jpg: \x1b[31mgone",
        "round trip: 0.512 ms",
    ]


def test_quiet_tells_only_what_went_wrong() -> None:
    stdout, stderr = io.StringIO(), io.StringIO()
    run_through(PlainDisplay(stdout, stderr, quiet=True))
    assert stdout.getvalue() == "Echo: hello\n"
    assert stderr.getvalue().splitlines() == ["dog.jpg: gone", r"towline: dog.jpg: \x1b[31mgone"]


# -------------------------------------------------------------------------------------------------------------- bars


class Terminal:
    """A terminal of so many columns that keeps what was written; bars are drawn when a test asks for it."""

    def __init__(self, width: int = 100, clock: Callable[[], float] = time.monotonic) -> None:
        self._written = io.StringIO()
        self.console = Console(
            file=self._written, force_terminal=True, width=width, height=24, color_system=None, legacy_windows=False
        )
        self.stdout = io.StringIO()
        self.display = BarsDisplay(self.console, self.stdout, redraw_by_itself=False, clock=clock)

    def drawn(self) -> list[str]:
        """The bars as they are now."""
        with self.console.capture() as capture:
            self.console.print(self.display)
        return [line.rstrip() for line in capture.get().splitlines()]

    def written(self) -> str:
        return self._written.getvalue()


def test_bars_show_lines_that_stay_and_keep_data_on_stdout() -> None:
    terminal = Terminal()
    run_through(terminal.display)
    for line in ("cat.jpg: uploading, 3.1 MB", "cat.jpg: resumed at 1.1 MB of 3.1 MB", "dog.jpg: gone"):
        assert line in terminal.written()
    assert r"towline: dog.jpg: \x1b[31mgone" in terminal.written()
    assert "round trip: 0.512 ms" in terminal.written()
    assert terminal.stdout.getvalue() == "Echo: hello\n"


def test_of_many_files_every_line_is_told_in_its_order() -> None:
    terminal = Terminal()
    with terminal.display as display:
        display.expect(40, 40)
        for number in range(40):
            failed = number % 8 == 3
            name = f"file-{number:02}"
            display.show(
                Failed(name=name, error=ClientError("gone")) if failed else replace(complete(entry(name)), name=name)
            )
    told = re.findall(r"(file-\d\d): (?:done|gone)", terminal.written())
    assert told == [f"file-{number:02}" for number in range(40)]


def test_a_bar_shows_durable_bytes_of_its_size() -> None:
    terminal = Terminal()
    terminal.display.show(ready())
    terminal.display.show(Ack(name="cat.jpg", offset=1_100_000))
    (line,) = terminal.drawn()
    assert line.startswith("cat.jpg ")
    assert "1.1 MB of 3.1 MB" in line


def test_a_bar_of_a_stream_shows_bytes_without_a_size() -> None:
    terminal = Terminal()
    terminal.display.show(ready(size=None))
    terminal.display.show(Ack(name="cat.jpg", offset=1_100_000))
    assert "1.1 MB" in terminal.drawn()[0]
    assert " of " not in terminal.drawn()[0]


def test_a_bar_counts_down_while_it_waits_for_the_network() -> None:
    terminal = Terminal()
    terminal.display.show(ready())
    terminal.display.show(WAITING)
    assert terminal.drawn()[0].endswith("waiting for the network, retrying in 3 s")
    terminal.display.show(Ack(name="cat.jpg", offset=1))
    assert "waiting" not in terminal.drawn()[0]


def test_lines_that_stay_break_between_words_in_a_narrow_terminal() -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=24, color_system=None, soft_wrap=True)
    with BarsDisplay(console, io.StringIO(), redraw_by_itself=False) as display:
        display.show(complete())
        display.show(Failed(name="cat.jpg", error=NotFound("this upload is not here")))
    lines = written.getvalue().splitlines()
    assert lines[-4:] == ["cat.jpg: done, 3.1 MB", "(2.0 MB sent)", "cat.jpg: this upload is", "not here"]


def test_what_waits_before_there_is_a_bar_is_told_as_a_line_and_leaves_none() -> None:
    terminal = Terminal()
    terminal.display.show(Waiting(name="", seconds=2.0, reason="connection refused"))
    terminal.display.show(ready())
    terminal.display.show(Ack(name="cat.jpg", offset=1))
    assert len(terminal.drawn()) == 1
    assert "waiting for the network, retrying in 2 s (connection refused)" in terminal.written()


def test_a_bar_says_what_else_is_going_on() -> None:
    terminal = Terminal()
    terminal.display.show(Comparing(name="cat.jpg", offset=1_100_000, size=3_100_000))
    assert terminal.drawn()[0].endswith("comparing at 1.1 MB")
    terminal.display.show(Verifying(name="cat.jpg", offset=2_000_000))
    assert terminal.drawn()[0].endswith("verifying at 2.0 MB")


def test_several_files_have_a_bar_in_total_that_counts_what_was_there_already() -> None:
    terminal = Terminal()
    terminal.display.expect(2, 4_000_000)
    assert terminal.drawn()[0].startswith("0 of 2 files")
    terminal.display.show(ready(1_000_000))
    terminal.display.show(Ack(name="cat.jpg", offset=2_000_000))
    total, file = terminal.drawn()
    assert "2.0 MB of 4.0 MB" in total
    assert "2.0 MB of 3.1 MB" in file
    terminal.display.show(complete())
    (total,) = terminal.drawn()
    assert total.startswith("1 of 2 files")
    assert "3.1 MB of 4.0 MB" in total


def test_a_name_is_no_markup() -> None:
    terminal = Terminal()
    with terminal.display:
        terminal.display.show(ready(name="[bold red]a[/bold red] :smile:"))
    assert "[bold red]a[/bold red] :smile:" in terminal.drawn()[0]
    assert "[bold red]a[/bold red] :smile:: uploading" in terminal.written()


def test_a_bar_fits_into_80_columns_with_a_long_name() -> None:
    terminal = Terminal(width=80)
    name = "photos/" + "very" * 30 + "long.jpg"
    terminal.display.show(ready(size=999_900_000_000, name=name))
    terminal.display.show(Ack(name=name, offset=333_300_000_000))
    (moving,) = terminal.drawn()
    terminal.display.show(Waiting(name=name, seconds=30, reason="connection refused"))
    (waiting,) = terminal.drawn()
    assert "333.3 GB of 999.9 GB" in moving
    assert waiting.endswith("333.3 GB of 999.9 GB waiting for the network, retrying in 30 s")


@pytest.mark.parametrize("width", [10, 30, 40, 50, 60, 78, 79, 80, 120, 200])
def test_a_bar_stays_on_its_line_however_narrow_a_terminal_is(width: int) -> None:
    terminal = Terminal(width, clock := Clock())
    name = "photos/" + "very" * 30 + "long.jpg"
    terminal.display.show(ready(size=999_900_000_000, name=name))
    clock.now += 1_000
    terminal.display.show(Ack(name=name, offset=333_300_000_000))
    moving = terminal.drawn()
    terminal.display.show(Waiting(name=name, seconds=30, reason="connection refused"))
    for (line,) in (moving, terminal.drawn()):
        assert cell_len(line) <= width


@pytest.mark.parametrize(
    ("width", "moving", "waiting"),
    [
        (40, "…tos/cat-1.jpg 25 %", "…tos/cat-1.jpg 25 % again in 30 s"),
        (60, "…tos/cat-1.jpg 1.0 MB of 4.0 MB", "…tos/cat-1.jpg 1.0 MB of 4.0 MB waiting, again in 30 s"),
        (80, "…photos/cat-1.jpg 1.0 MB of 4.0 MB ━", " waiting for the network, retrying in 30 s"),
    ],
)
def test_what_does_not_fit_is_said_in_fewer_words_and_of_a_name_the_end_stays(
    width: int, moving: str, waiting: str
) -> None:
    terminal, name = Terminal(width), "holiday/photos/cat-1.jpg"
    terminal.display.show(ready(size=4_000_000, name=name))
    terminal.display.show(Ack(name=name, offset=1_000_000))
    assert terminal.drawn()[0].startswith(moving)
    terminal.display.show(Waiting(name=name, seconds=30, reason="connection refused"))
    assert terminal.drawn()[0].endswith(waiting)


@pytest.mark.parametrize(
    ("name", "shown"), [("cat.jpg", "cat.jpg"), ("a/cat.jpg", "…at.jpg"), ("猫猫猫猫.jpg", "…猫.jpg")]
)
def test_of_a_name_that_is_too_long_the_end_is_shown(name: str, shown: str) -> None:
    assert ending(name, 7) == shown


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_speed_is_of_bytes_that_moved_and_not_of_those_that_were_there() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.start_at(5_000)
    speeds = [meter.speed]
    clock.now += 2
    meter.reach(5_400)
    speeds.append(meter.speed)
    meter.skip(1_000_000)
    speeds.append(meter.speed)
    assert speeds == [None, 200, 200]
    assert meter.offset == 1_005_400


def test_speed_forgets_what_was_long_ago() -> None:
    clock = Clock()
    meter = Meter(clock)
    for second in range(1, 31):
        clock.now += 1
        meter.reach(second * 1_000 if second <= 15 else 15_000 + (second - 15) * 10)
    assert meter.speed == pytest.approx(10)


def test_bytes_that_are_sent_once_more_take_nothing_back() -> None:
    clock = Clock()
    meter = Meter(clock)
    meter.reach(9_000)
    clock.now += 1
    meter.reach(1_000)
    assert meter.offset == 9_000
