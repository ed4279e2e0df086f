"""The sum of what a command did, in words and in numbers."""

from datetime import UTC, datetime
from pathlib import Path

from client.errors import ClientError, GaveUp
from client.progress import Complete, Downloaded, Failed
from client.terminal.outcome import Exit
from client.terminal.tally import Tally
from transfer.protocol.digest import digest_bytes
from transfer.protocol.errors import Exists
from transfer.protocol.messages import FileEntry
from transfer.protocol.names import Name


class Clock:
    """Shows what it is set to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def complete(size: int, sent: int, *, unchanged: bool = False, resumed_at: int = 0) -> Complete:
    created = datetime(2026, 3, 1, tzinfo=UTC)
    file = FileEntry(name=Name("a"), size=size, digest=digest_bytes(b""), content_type="text/plain", created=created)
    return Complete(name="a", file=file, sent_bytes=sent, unchanged=unchanged, resumed_at=resumed_at)


def test_a_summary_says_how_many_how_much_and_how_fast() -> None:
    tally = Tally("sent", clock := Clock())
    tally.count(complete(3_000_000, 3_000_000))
    tally.count(complete(5_000_000, 1_000_000, resumed_at=4_000_000))
    for _ in range(1_234):
        tally.count(complete(10, 0, unchanged=True))
    tally.count(Failed(name="b", error=ClientError("no")))
    tally.skipped, tally.excluded, tally.deleted = 2, 3, 1
    clock.now = 1.0
    tally.compared()
    clock.now = 3.0
    assert tally.sentence == (
        "2 files sent, 4.0 MB in 0:00:03, 2.0 MB/s; 1 resumed, 4.0 MB were there already; 1,234 unchanged; 1 failed; "
        "2 skipped; 3 excluded; 1 deleted here"
    )
    assert tally.facts == {
        "complete": 1_236,
        "unchanged": 1_234,
        "resumed": 1,
        "failed": 1,
        "skipped": 2,
        "excluded": 3,
        "deleted": 1,
        "bytes": 8_012_340,
        "sent_bytes": 4_000_000,
        "resumed_bytes": 4_000_000,
        "seconds": 3.0,
        "bytes_per_second": 2_000_000,
    }


def test_of_what_did_not_move_no_speed_is_told() -> None:
    tally = Tally("received", Clock())
    tally.count(
        Downloaded(
            name="a", path=Path("a"), size=1, digest=digest_bytes(b""), received_bytes=0, unchanged=True, resumed_at=0
        )
    )
    assert tally.sentence == "nothing received; 1 unchanged"


def test_a_summary_says_what_sends_files_whose_names_are_taken() -> None:
    tally = Tally("sent", Clock())
    tally.count(Failed(name="b", error=ClientError("no")))
    assert "--if-exists" not in tally.sentence
    tally.count(Failed(name="a", error=Exists("the name 'a' is taken")))
    assert tally.sentence.endswith("2 failed; --if-exists replace sends what has changed since it was sent")


def test_the_worst_end_is_that_of_the_command() -> None:
    tally = Tally("sent")
    tally.count(Failed(name="a", error=GaveUp(600, "away")))
    tally.count(Failed(name="b", error=ClientError("no")))
    assert tally.exit == Exit.RESUMABLE
