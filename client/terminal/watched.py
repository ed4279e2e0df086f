"""What is under way on a server, as its events tell it, and the sentences for people. Pure: the time comes in."""

from collections.abc import Iterable
from typing import Final

from client.http import UnfinishedUpload
from client.terminal.bars import Meter
from client.terminal.wording import printable, size_words
from transfer.protocol.events import EventMessage, FileEvent, ResetEvent, UploadEvent, key_of
from transfer.protocol.messages import FileEntry
from transfer.protocol.names import Name

QUIET_SECONDS: Final = 60.0
"""An upload that has not moved for so long is not under way, until it moves again."""
RECENT_SECONDS: Final = 5.0
"""What has moved within so long moves."""


class Row:
    """An upload that is under way."""

    def __init__(self, name: str, owner: str, size: int | None, offset: int, now: float) -> None:
        self.name, self.owner, self.size = name, owner, size
        self.moved = self._now = now
        self._meter = Meter(lambda: self._now)
        self._meter.start_at(offset)

    def reach(self, offset: int, now: float) -> None:
        """It is there by now. One that came back is measured anew."""
        self._now = now
        if now - self.moved > RECENT_SECONDS or offset < self._meter.offset:
            self._meter.start_at(offset)
        else:
            self._meter.reach(offset)
        self.moved = now

    @property
    def offset(self) -> int:
        return self._meter.offset

    def speed(self, now: float) -> float | None:
        """Bytes a second; None of one that does not move, or where it is too early to say."""
        return self._meter.speed if now - self.moved <= RECENT_SECONDS else None

    @property
    def seconds_left(self) -> float | None:
        speed = self._meter.speed
        return None if speed is None or self.size is None else (self.size - self.offset) / speed

    @property
    def is_whole(self) -> bool:
        """Whether all its bytes are there: the server is comparing digests."""
        return self.size is not None and self.offset >= self.size > 0


class Watched:
    """The uploads that are under way."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}

    def take(self, event: EventMessage, now: float) -> None:
        """Something happened."""
        if isinstance(event, ResetEvent):
            self._rows.clear()
        elif isinstance(event, UploadEvent) and event.key is not None:
            if event.event in ("completed", "cancelled"):
                self._rows.pop(event.key, None)
            else:
                self._move(event.key, str(event.name), event.owner, event.size, event.offset, now)

    def _move(self, key: str, name: str, owner: str, size: int | None, offset: int, now: float) -> None:
        row = self._rows.get(key)
        if row is None:
            self._rows[key] = Row(name, owner, size, offset, now)
        else:
            row.name, row.owner, row.size = name, owner, size
            row.reach(offset, now)

    def add(self, uploads: Iterable[UnfinishedUpload], owner: str, now: float, moment: float) -> None:
        """What the caller's list has, which was made at `moment` of the clock on the wall: what moved just before."""
        for upload in uploads:
            silent = moment - upload.active.timestamp()
            key = key_of(upload.upload_id)
            if silent < QUIET_SECONDS and key not in self._rows:
                self._rows[key] = Row(str(upload.name), owner, upload.size, upload.offset, now - max(0.0, silent))

    def rows(self, now: float) -> list[Row]:
        """Those that moved not long ago, in the order in which they came; at the end those that have stopped."""
        recent = [row for row in self._rows.values() if row.is_whole or now - row.moved < QUIET_SECONDS]
        return sorted(recent, key=lambda row: now - row.moved > RECENT_SECONDS)


def is_below(event: EventMessage, prefix: str) -> bool:
    """Whether it is of a name that begins so; a reset is of all."""
    if isinstance(event, ResetEvent):
        return True
    names = [event.name, event.file.name if event.file is not None else None]
    return any(name is not None and str(name).startswith(prefix) for name in names)


def sentence_of(event: EventMessage) -> str:
    """What happened, for people."""
    match event:
        case ResetEvent(missed=True):
            return "some events were missed: the server has started again, or this was away for too long"
        case ResetEvent():
            return "watching"
        case UploadEvent():
            whose = "" if event.owner == "anonymous" else f" ({printable(event.owner)})"
            return f"{_shown(event.name)}: {_upload_words(event)}{whose}"
        case FileEvent(event="renamed", name=before, file=FileEntry(name=after)):
            # without the name before, which is beyond what one may see, it has just come
            return f"{_shown(after)}: here" if before is None else f"{_shown(before)}: renamed to {_shown(after)}"
        case FileEvent():
            return f"{_shown(event.name)}: deleted"


def _shown(name: Name | None) -> str:
    return printable(str(name or "?"))


def _upload_words(event: UploadEvent) -> str:
    size = "" if event.size is None else size_words(event.size)
    match event.event:
        case "created":
            return f"uploading, {size}" if size else "uploading"
        case "progressed":
            return f"{size_words(event.offset)} of {size}" if size else size_words(event.offset)
        case "cancelled":
            return f"{'expired' if event.expired else 'cancelled'} at {size_words(event.offset)}"
        case "completed":
            renamed = event.file is not None and event.file.name != event.name
            other_name = f" as {_shown(event.file.name)}" if event.file is not None and renamed else ""
            return f"unchanged{other_name}" if event.unchanged else f"done, {size}{other_name}"
