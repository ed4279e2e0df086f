"""How `towline watch` shows what happens: a table on a terminal, plain lines elsewhere, JSON for machines."""

import asyncio
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from datetime import datetime
from typing import Final, Protocol

from client.connection import Connection
from client.conversation import converse
from client.errors import ConnectionBroken
from client.events import EventMessage, ResetEvent, UploadEvent
from client.http import UnfinishedUpload
from client.progress import Event, Waiting
from client.terminal.display import Display
from client.terminal.watched import is_below, sentence_of
from transfer.protocol.errors import TransferError

LINE_SECONDS: Final = 10.0
"""Between two lines that tell of the progress of one upload."""


class Shown(Protocol):
    """Where events are shown."""

    def take(self, event: EventMessage) -> None:
        """Something happened."""

    def add(self, uploads: Sequence[UnfinishedUpload]) -> None:
        """What was under way before."""

    def wait(self, waiting: Waiting) -> None:
        """The server is away."""

    async def keep(self) -> None:
        """Keep it up to date, until cancelled."""


async def follow(connection: Connection, shown: Shown, prefix: str, after: str | None) -> None:
    """Show what happens below `prefix`, until cancelled, or nobody can see it any more."""
    await converse(shown.keep(), _take_all(connection, shown, prefix, after))


async def _take_all(connection: Connection, shown: Shown, prefix: str, after: str | None) -> None:
    def heard(event: Event) -> None:
        if isinstance(event, Waiting):
            shown.wait(event)

    async with aclosing(connection.events(after, on_event=heard)) as events:  # type: ignore[type-var]
        async for event in events:
            if is_below(event, prefix):
                shown.take(event)
            if isinstance(event, ResetEvent):
                with suppress(TransferError, ConnectionBroken):  # who may not list them sees them when they move
                    uploads = await connection.uploads()
                    shown.add([upload for upload in uploads if str(upload.name).startswith(prefix)])


@contextmanager
def shown_by(display: Display, server: str, *, as_json: bool) -> Iterator[Shown]:
    """What this process shows events on: a table on a terminal, else lines."""
    if as_json:
        yield JsonLines(display)
    elif not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        yield PlainLines(display)
    else:
        from client.terminal.watch_screen import on_stdout  # for terminals alone

        with on_stdout(server) as screen:
            yield screen


class JsonLines:
    """An object a line, as it came."""

    def __init__(self, display: Display) -> None:
        self._display = display

    def take(self, event: EventMessage) -> None:
        self._display.data("", event.model_dump(mode="json", exclude_none=True))

    def add(self, uploads: Sequence[UnfinishedUpload]) -> None:
        pass

    def wait(self, waiting: Waiting) -> None:
        self._display.show(waiting)

    async def keep(self) -> None:
        await asyncio.Event().wait()


class PlainLines:
    """A line for what has happened, and now and then one for what goes on."""

    def __init__(self, display: Display, clock: Callable[[], float] = time.monotonic) -> None:
        self._display, self._clock = display, clock
        self._told: dict[str, float] = {}
        """When something was told of an upload."""

    def take(self, event: EventMessage) -> None:
        if isinstance(event, UploadEvent) and event.key is not None and not self._is_due(event, event.key):
            return
        if not isinstance(event, ResetEvent) or event.missed:
            self._display.data(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S}  {sentence_of(event)}", {})

    def _is_due(self, event: UploadEvent, key: str) -> bool:
        now = self._clock()
        if event.event in ("completed", "cancelled"):
            self._told.pop(key, None)
        elif event.event == "progressed" and now - self._told.get(key, -math.inf) < LINE_SECONDS:
            return False
        else:
            self._told[key] = now
        return True

    def add(self, uploads: Sequence[UnfinishedUpload]) -> None:
        pass

    def wait(self, waiting: Waiting) -> None:
        self._display.show(waiting)

    async def keep(self) -> None:
        await asyncio.Event().wait()
