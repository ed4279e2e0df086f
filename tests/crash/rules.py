"""The order of writing, as rules on the calls that a server made for one client at a time.

An answer is right when everything that it promises was durable before it was sent. `broken_rules` says where that is
not so: see "The order of writing" in docs/design.md. Only calls that succeeded count; a call covers what ended before
it began, and is covered by what begins after it ended.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import O_CREAT
from typing import Final

from tests.crash.faults import Kind, Traced
from transfer.protocol.ranges import RangeSet

OBJECTS: Final = "/objects/"
WAL: Final = "/catalog.db-wal"
SEALED: Final = 0o400
SYNCS: Final = (Kind.FSYNC, Kind.FDATASYNC, Kind.SYNCFS)
_MESSAGE: Final = re.compile(r'"type":"(ready|ack|complete|cancelled|error)"(?:,"offset":(\d+))?')


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said: `kind` is a message's type."""

    kind: str
    offset: int
    at: int


class Trace:
    """Calls, and what they mean together."""

    def __init__(self, calls: Sequence[Traced]) -> None:
        self.calls = [call for call in calls if call.kind is not Kind.SEND]
        self.good = [call for call in self.calls if not call.errno]
        self.answers = [answer for call in calls if call.kind is Kind.SEND for answer in _answers(call)]

    def of(self, path: str, *kinds: Kind) -> Iterator[Traced]:
        return (call for call in self.good if call.path == path and call.kind in kinds)

    def created(self) -> list[Traced]:
        """The calls that created an object."""
        return [call for call in self.good if call.kind is Kind.OPEN and OBJECTS in call.path and call.offset & O_CREAT]

    def commits(self) -> list[Traced]:
        """Syncs of the catalog's log."""
        return [call for call in self.good if call.kind in SYNCS and call.path.endswith(WAL)]

    def committed(self, after: int, before: int) -> bool:
        """Whether the catalog was written and synced wholly between these moments."""
        return any(
            write.began > after and write.ended < commit.began
            for commit in self.commits()
            if commit.ended < before
            for write in self.good
            if write.kind is Kind.WRITE and write.path.endswith(WAL)
        )

    def syncs(self, path: str, after: int, before: int) -> list[int]:
        """When the content of the object at `path` was synced, between these moments."""
        return [
            call.ended
            for call in self.good
            if call.kind in SYNCS and after < call.began and call.ended < before
            if call.kind is Kind.SYNCFS or call.path == path
        ]

    def entry_syncs(self, path: str, after: int, before: int) -> list[int]:
        """When the folder entry of the object at `path` was synced, between these moments."""
        return self.syncs(path.rpartition("/")[0], after, before)


def _answers(sent: Traced) -> Iterator[Answer]:
    for found in _MESSAGE.finditer(sent.path):
        yield Answer(found[1], int(found[2] or 0), sent.began)


def broken_rules(calls: Sequence[Traced]) -> list[str]:
    """One sentence for each rule that was broken; `calls` are of one client that does one thing after another."""
    trace = Trace(calls)
    rules = (_entries, _acks, _seals, _contents, _no_second_syncs)
    return [sentence for rule in rules for sentence in rule(trace)]


def _entries(trace: Trace) -> Iterable[str]:
    """An object's entry is synced before the commit that names it, and that before the answer."""
    for created in trace.created():
        answer = next((answer for answer in trace.answers if answer.at > created.ended), None)
        if answer is None or answer.kind == "error":
            continue
        synced = trace.entry_syncs(created.path, created.ended, answer.at)
        if not synced:
            yield f"the folder of {created.path} was not synced before {answer}"
        elif not trace.committed(min(synced), answer.at):
            yield f"no commit between the sync of the folder of {created.path} and {answer}"


def _acks(trace: Trace) -> Iterable[str]:
    """Every byte below an offset that is promised was written, then synced, then recorded."""
    for answer in trace.answers:
        path = _written_before(trace, answer) if answer.offset else None
        if path is None:
            continue
        covered = RangeSet()
        for write in trace.of(path, Kind.WRITE):
            if any(trace.committed(synced, answer.at) for synced in trace.syncs(path, write.ended, answer.at)):
                covered = covered.add(write.offset, write.offset + write.result)
        if covered.leading < answer.offset:
            yield f"{answer}, but only {covered} of {path} were synced and recorded"


def _written_before(trace: Trace, answer: Answer) -> str | None:
    """The object that was written to last: there is one client, which does one thing after another."""
    writes = [call for call in trace.good if call.kind is Kind.WRITE and OBJECTS in call.path]
    return next((call.path for call in reversed(writes) if call.ended < answer.at), None)


def _seals(trace: Trace) -> Iterable[str]:
    """An upload's object is made read-only, that is synced, and then it is published."""
    for answer in trace.answers:
        if answer.kind != "complete":
            continue
        path = _written_before(trace, answer)
        if path is None or _in_batch(trace, path, answer):
            continue
        sealed = [call.ended for call in trace.of(path, Kind.CHMOD) if call.length == SEALED and call.ended < answer.at]
        synced = [call.ended for call in trace.of(path, Kind.FSYNC) if sealed and sealed[-1] < call.began < answer.at]
        if not sealed or not synced or not trace.committed(min(synced), answer.at):
            yield f"{path} was not sealed, synced and then recorded before {answer}"


def _in_batch(trace: Trace, path: str, answer: Answer) -> bool:
    """Whether the object came whole, without a `ready` of its own."""
    created = next((call.ended for call in trace.created() if call.path == path), 0)
    return not any(created < earlier.at < answer.at for earlier in trace.answers if earlier.kind == "ready")


def _contents(trace: Trace) -> Iterable[str]:
    """Everything that was written to an object is synced, then recorded, before it is published."""
    for answer in trace.answers:
        path = _written_before(trace, answer) if answer.kind == "complete" else None
        for write in trace.of(path or "", Kind.WRITE):
            if write.ended > answer.at:
                continue
            if not any(
                trace.committed(synced, answer.at) for synced in trace.syncs(write.path, write.ended, answer.at)
            ):
                yield f"{write} was not synced and recorded before {answer}"


def _no_second_syncs(trace: Trace) -> Iterable[str]:
    """After a sync failed, that descriptor is not synced again, and what it was of promises nothing."""
    failed: dict[tuple[int, str], Traced] = {}
    for call in trace.calls:
        key = (call.descriptor, call.path)
        if call.kind is Kind.OPEN and not call.errno:
            failed.pop((call.result, call.path), None)
        elif call.kind in SYNCS and key in failed:
            yield f"{call} after it had failed: {failed[key]}"
        elif call.kind in SYNCS and call.errno:
            failed[key] = call


def hasty_completes(calls: Sequence[Traced]) -> list[str]:
    """For small files that came at once: no more of them were called complete than were synced and recorded."""
    trace = Trace(calls)
    completes = [answer for answer in trace.answers if answer.kind == "complete"]
    hasty = []
    for number, answer in enumerate(completes, start=1):
        durable = [created for created in trace.created() if _durable_whole(trace, created, answer.at)]
        if len(durable) < number:
            hasty.append(f"{number} were complete at {answer.at}, {len(durable)} were synced and recorded")
    return hasty


def _durable_whole(trace: Trace, created: Traced, before: int) -> bool:
    last = max((write.ended for write in trace.of(created.path, Kind.WRITE)), default=created.ended)
    entry = trace.entry_syncs(created.path, created.ended, before)
    return bool(entry) and any(trace.committed(synced, before) for synced in trace.syncs(created.path, last, before))
