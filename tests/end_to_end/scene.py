"""What the end-to-end tests share: contents, a listener that can be waited for, and what a server has in the end."""

import asyncio
import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import httpx2

import client
from client.progress import Ack, Complete, Event, Ready

MIB = 1 << 20
E = TypeVar("E")


def content(size: int, seed: int = 0) -> bytes:
    """Bytes that repeat nowhere, the same for the same seed."""
    return random.Random(seed).randbytes(size)


def sha256(path_or_bytes: Path | bytes) -> str:
    """What `sha256sum` says, as a digest."""
    if isinstance(path_or_bytes, bytes):
        return "sha256:" + hashlib.sha256(path_or_bytes).hexdigest()
    with path_or_bytes.open("rb") as stream:
        return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()


class Recorder:
    """A listener that keeps every event and lets a test wait for one."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = asyncio.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self._changed.set()

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, condition: Callable[[Event], bool]) -> Event:
        """The first event, past or to come, that is so."""
        while True:
            for event in self.events:
                if condition(event):
                    return event
            self._changed.clear()
            await self._changed.wait()

    async def acked(self, offset: int) -> None:
        """Until `offset` is durable."""
        await self.until(lambda event: isinstance(event, Ack) and event.offset >= offset)

    @property
    def complete(self) -> Complete:
        (complete,) = self.of(Complete)
        return complete

    @property
    def offsets(self) -> list[int]:
        """The offsets that the server gave at each `ready`."""
        return [ready.offset for ready in self.of(Ready)]


async def stored(url: str, name: str) -> bytes:
    """The content that the server has under `name`, over HTTP."""
    async with httpx2.AsyncClient(base_url=url, trust_env=False) as http:
        answer = await http.get(f"/files/{name}")
        answer.raise_for_status()
        return answer.content


async def names(url: str) -> list[str]:
    """The names in the listing."""
    return [str(file.name) for file in await client.list_files(url)]
