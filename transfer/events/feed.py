"""What the store tells, on its way to those who read it: numbered, and progress at most twice a second an upload.

Telling costs whoever is at work an entry in a dict or a list; all else is done when readers take their turn.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from storage.events import Event, Progressed
from transfer.events.log import EventLog
from transfer.protocol.errors import TooMany

PROGRESS_SECONDS: Final = 0.5


class Feed:
    """The events of one server. A caller has at most `max_readers` streams at a time."""

    def __init__(self, max_readers: int, log: EventLog | None = None) -> None:
        self.log = log or EventLog()
        self._max_readers = max_readers
        self._readers: Counter[str] = Counter()
        self._news = asyncio.Event()

    def tell(self, event: Event) -> None:
        """The store's `tell`; called in the loop."""
        if not isinstance(event, Progressed) or event.before is not None:
            self.log.append(event)
            self._news.set()
        elif self.log.note(event):
            asyncio.get_running_loop().call_later(PROGRESS_SECONDS, self._settle)

    def _settle(self) -> None:
        self.log.settle()
        self._news.set()

    async def news(self, number: int) -> None:
        """Until there is something after it."""
        while self.log.last <= number:
            self._news.clear()
            await self._news.wait()

    @contextmanager
    def place(self, caller: str) -> Iterator[None]:
        """For one more stream of the caller's. Raises TooMany."""
        if self._readers[caller] >= self._max_readers:
            limit = self._max_readers
            raise TooMany(f"{limit} streams of events are open: close one of them first", limit=limit)
        self._readers[caller] += 1
        try:
            yield
        finally:
            self._readers.subtract([caller])
            self._readers = +self._readers  # those that have some
