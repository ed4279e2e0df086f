"""Events are numbered; what is kept of them is bounded; who has missed some is told so."""

from datetime import UTC, datetime

import pytest

from storage.events import Cancelled, Completed, Created, Event, Progressed, Upload
from storage.store import StoredFile
from transfer.access.principal import Principal
from transfer.events.log import EventLog, Missed
from transfer.protocol.digest import digest_bytes
from transfer.protocol.names import Name


def an_upload(number: int, offset: int = 0) -> Upload:
    return Upload(f"upload {number}", Name.parse(f"{number}"), 100, offset, "alice")


def a_file(number: int, **metadata: str) -> StoredFile:
    return StoredFile(
        file_id=f"{number}",
        name=Name.parse(f"{number}"),
        size=1,
        digest=digest_bytes(b"x", "sha256"),
        content_type="text/plain",
        modified=None,
        created=datetime(2026, 3, 1, tzinfo=UTC),
        owner="alice",
        uploader="alice",
        metadata=metadata,
    )


def after(log: EventLog, number: int, most: int = 100) -> list[Event]:
    return [numbered.event for numbered in log.after(number, most)]


def test_events_come_in_their_order_after_any_of_them() -> None:
    log = EventLog()
    events = [Created(an_upload(number)) for number in range(5)]
    for event in events:
        log.append(event)
    assert [after(log, number) for number in range(6)] == [events[number:] for number in range(6)]
    assert after(log, 1, most=2) == events[1:3]
    assert [numbered.number for numbered in log.after(0, 100)] == [1, 2, 3, 4, 5]


def test_of_the_progress_of_an_upload_only_the_latest_is_numbered_and_kept() -> None:
    log = EventLog()
    first = [log.note(Progressed(an_upload(number, offset))) for offset in (1, 2) for number in (1, 2)]
    assert first == [True, False, False, False]
    assert log.last == 0
    log.settle()
    assert after(log, 0) == [Progressed(an_upload(1, 2)), Progressed(an_upload(2, 2))]
    log.append(Created(an_upload(3)))
    log.note(Progressed(an_upload(1, 3)))
    log.settle()
    assert after(log, 0) == [Progressed(an_upload(2, 2)), Created(an_upload(3)), Progressed(an_upload(1, 3))]
    assert log.last == 4


@pytest.mark.parametrize("ending", [Cancelled(an_upload(1)), Completed(a_file(1), an_upload(1))])
def test_no_progress_is_told_of_what_has_ended(ending: Event) -> None:
    log = EventLog()
    log.note(Progressed(an_upload(1, 1)))
    log.settle()
    log.note(Progressed(an_upload(1, 2)))
    log.append(ending)
    log.settle()
    assert after(log, 0) == [ending]


def test_who_is_behind_what_is_kept_has_missed_something() -> None:
    log = EventLog(kept=3)
    for number in range(5):
        log.append(Created(an_upload(number)))
    assert [event.number for event in log.after(2, 100)] == [3, 4, 5]
    with pytest.raises(Missed):
        log.after(1, 100)


def test_progress_pushes_out_nothing_and_who_missed_it_missed_nothing() -> None:
    log = EventLog(kept=3)
    log.append(Created(an_upload(0)))
    for number in range(10_000):
        log.note(Progressed(an_upload(number)))
        log.settle()
    assert after(log, 0, most=1) == [Created(an_upload(0))]
    assert len(after(log, 0, most=10_000)) == 1 + 4_096


def test_what_clients_wrote_into_files_counts() -> None:
    log = EventLog(characters=150_000)
    for number in range(100):
        log.append(Completed(a_file(number, note="x" * 4_000)))
    assert len(log.after(90, 100)) == 10
    with pytest.raises(Missed):
        log.after(80, 100)


@pytest.mark.parametrize("text", ["", "-", "x-1", "abc-", "abc--1", "abc-3", "abc-1.5", "abc-²", "abc-" + "9" * 30])
def test_an_id_that_is_not_of_this_log_is_none(text: str) -> None:
    log = EventLog("abc")
    log.append(Created(an_upload(1)))
    log.append(Created(an_upload(2)))
    assert log.number_of(text) is None
    assert [log.number_of(f"abc-{number}") for number in range(3)] == [0, 1, 2]
    assert EventLog().number_of(EventLog().id_of(0)) is None


def test_all_who_see_as_much_of_an_event_share_what_is_written_of_it() -> None:
    log = EventLog()
    log.append(Completed(a_file(1)))
    (numbered,) = log.after(0, 1)
    lines = [numbered.line_for(Principal(subject=subject, scopes=frozenset(["read"]))) for subject in ("alice", "bob")]
    assert lines[0] is not None
    assert lines[0] is lines[1]
    assert lines[0].block is lines[0].block
    assert lines[0].block == f"data: {lines[0].text}\nid: {numbered.event_id}\n\n".encode()
