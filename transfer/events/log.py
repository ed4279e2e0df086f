"""The last events of a server, numbered. Pure: time, and who reads them, are elsewhere.

What a reader misses is bounded by what is kept here and by nothing else: there is no queue for anybody. Of the progress
of an upload only the latest is kept, so whoever reads slowly loses that first; whoever falls behind what is kept has
missed something, and has to list again.

An id is the log's epoch and a number. The epoch is another one each time a server starts, so that no id of an earlier
life is taken for one of this life, whatever the clock says.
"""

import secrets
from collections import deque
from collections.abc import Iterator
from heapq import merge
from itertools import islice, takewhile
from typing import Final

from storage.events import Cancelled, Completed, Created, Deleted, Event, Progressed, Renamed
from transfer.access.principal import Principal
from transfer.events.line import Line
from transfer.events.view import Sight, message, sight_of

KEPT_EVENTS: Final = 4_096
KEPT_CHARACTERS: Final = 4 << 20
"""Of names, metadata and the like, in all of them."""
KEPT_PROGRESS: Final = 4_096
"""Uploads of which the latest progress is kept."""
_CHARACTERS: Final = 512
"""Of an event that has neither."""


class Missed(Exception):
    """Events were forgotten that a reader has not seen."""


class Numbered:
    """An event and its number; a line of it is made once for all who see as much of it."""

    __slots__ = ("_lines", "characters", "event", "event_id", "number")

    def __init__(self, number: int, event_id: str, event: Event) -> None:
        self.number, self.event_id, self.event = number, event_id, event
        self.characters = _characters_of(event)
        self._lines: dict[Sight, Line] = {}

    def line_for(self, principal: Principal) -> Line | None:
        """What they are told; None for who may not see it."""
        sight = sight_of(self.event, principal)
        if sight is Sight.NOTHING:
            return None
        if sight not in self._lines:
            self._lines[sight] = Line(self.event_id, message(self.event, sight, self.event_id).to_json())
        return self._lines[sight]


class EventLog:
    """Numbers events, and keeps the last ones."""

    def __init__(self, epoch: str | None = None, *, kept: int = KEPT_EVENTS, characters: int = KEPT_CHARACTERS) -> None:
        self._epoch = epoch or secrets.token_hex(6)
        self._kept, self._most_characters = kept, characters
        self._events: deque[Numbered] = deque()
        self._characters = 0
        self._progress: dict[str, Numbered] = {}
        """The latest of each upload that goes on, in the order of the numbers."""
        self._noted: dict[str, Progressed] = {}
        """Of which nobody was told yet."""
        self._forgotten = 0
        self.last = 0
        """The number of the last event."""

    def append(self, event: Event) -> None:
        """Number it now. It says more than what was told of that upload's progress before."""
        if isinstance(event, Progressed | Completed | Cancelled) and event.upload is not None:
            self._noted.pop(event.upload.upload_id, None)
            self._progress.pop(event.upload.upload_id, None)
        self._events.append(numbered := self._numbered(event))
        self._characters += numbered.characters
        while len(self._events) > self._kept or self._characters > self._most_characters:
            forgotten = self._events.popleft()
            self._characters -= forgotten.characters
            self._forgotten = forgotten.number

    def note(self, event: Progressed) -> bool:
        """Number it with the next `settle`, unless a later one of that upload comes before. Returns whether it is the
        first that waits for that."""
        first = not self._noted
        self._noted[event.upload.upload_id] = event
        return first

    def settle(self) -> None:
        """Number what was noted."""
        for upload_id, event in self._noted.items():
            self._progress.pop(upload_id, None)
            self._progress[upload_id] = self._numbered(event)
        self._noted.clear()
        while len(self._progress) > KEPT_PROGRESS:
            del self._progress[next(iter(self._progress))]

    def after(self, number: int, most: int) -> list[Numbered]:
        """The first `most` of those that are kept and have higher numbers. Raises Missed."""
        if number < self._forgotten:
            raise Missed
        events = list(takewhile(lambda event: event.number > number, reversed(self._events)))
        progress = list(takewhile(lambda event: event.number > number, reversed(self._progress.values())))
        in_order: Iterator[Numbered] = merge(reversed(events), reversed(progress), key=lambda event: event.number)
        return list(islice(in_order, most))

    def id_of(self, number: int) -> str:
        """What a client gets to know of it."""
        return f"{self._epoch}-{number}"

    def number_of(self, event_id: str) -> int | None:
        """The number after which somebody wants to go on, if that is one of this log's."""
        epoch, _, digits = event_id.partition("-")
        if epoch != self._epoch or not (digits.isascii() and digits.isdecimal()) or len(digits) > 20:
            return None
        number = int(digits)
        return number if number <= self.last else None

    def _numbered(self, event: Event) -> Numbered:
        self.last += 1
        return Numbered(self.last, self.id_of(self.last), event)


def _characters_of(event: Event) -> int:
    """About what it takes; what a client has put into it counts for the event and for both texts of it."""
    match event:
        case Created(upload) | Progressed(upload) | Cancelled(upload):
            return _CHARACTERS + 3 * len(upload.name.value)
        case Completed(file) | Renamed(file) | Deleted(file):
            said = sum(len(key) + len(value) for key, value in file.metadata.items())
            return _CHARACTERS + 3 * (len(file.name.value) + said)
