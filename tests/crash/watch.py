"""Watches the calls by which this process changes objects, and holds one of them up, as a slow disk does.

The calls are the real ones, on the real disk; a held one waits in its thread, which nothing can cancel.
"""

import asyncio
import itertools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import pytest

WATCHED: Final = ("pwritev", "pwrite", "ftruncate", "fdatasync", "fsync", "fchmod", "pread")
HEAD_BYTES: Final = 16


@dataclass(slots=True)
class Call:
    """One call on an object. `began` and `ended` are places in one order of all beginnings and ends."""

    name: str
    object_id: str
    offset: int
    head: bytes
    """The first bytes that a write writes."""
    began: int
    ended: int | None = None


class Held:
    """The next call that is so waits until it is released."""

    def __init__(self, name: str, offset: int | None, *, when_done: bool) -> None:
        self.name, self.offset, self.when_done = name, offset, when_done
        self.reached = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._released = threading.Event()

    def release(self) -> None:
        self._released.set()

    def wait(self) -> None:
        self._loop.call_soon_threadsafe(self.reached.set)
        self._released.wait()


class Watch:
    """Watches while it is entered."""

    def __init__(self, data: Path) -> None:
        self._objects = f"{data}/objects/"
        self._order = itertools.count()
        self._held: Held | None = None
        self._patch = pytest.MonkeyPatch()
        self.calls: list[Call] = []

    def __enter__(self) -> Self:
        for name in WATCHED:
            self._patch.setattr(os, name, self._watched(name, getattr(os, name)))
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.undo()

    @contextmanager
    def holding(self, name: str, offset: int | None = None, *, when_done: bool = False) -> Iterator[Held]:
        """Hold up one call, before it does anything or when it is done."""
        self._held = held = Held(name, offset, when_done=when_done)
        try:
            yield held
        finally:
            self._held = None
            held.release()

    def now(self) -> int:
        return next(self._order)

    def written_since(self, moment: int, source: bytes) -> list[Call]:
        """Writes of this source's bytes that were not over at that moment, or began later."""
        return [
            call
            for call in self.calls
            if call.name == "pwritev"
            and call.head == source[call.offset : call.offset + len(call.head)]
            and (call.ended is None or call.ended > moment)
        ]

    def _watched(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        def watched(descriptor: int, *arguments: object) -> object:
            object_id = self._object_of(descriptor)
            if object_id is None:
                return real(descriptor, *arguments)
            call = Call(name, object_id, _offset(arguments), _head(arguments), self.now())
            self.calls.append(call)
            held = self._taken(call)
            if held is not None and not held.when_done:
                held.wait()
            try:
                return real(descriptor, *arguments)
            finally:
                if held is not None and held.when_done:
                    held.wait()
                call.ended = self.now()

        return watched

    def _taken(self, call: Call) -> Held | None:
        held = self._held
        if held is None or held.name != call.name or held.offset not in (None, call.offset):
            return None
        self._held = None
        return held

    def _object_of(self, descriptor: int) -> str | None:
        path = os.readlink(f"/proc/self/fd/{descriptor}").removesuffix(" (deleted)")
        inside = path.removeprefix(self._objects)
        return inside.partition("/")[2] or None if inside != path else None


def _offset(arguments: Sequence[object]) -> int:
    last = arguments[-1] if arguments else 0
    return last if isinstance(last, int) else 0


def _head(arguments: Sequence[object]) -> bytes:
    first = arguments[0] if arguments else None
    pieces = first if isinstance(first, list) else []
    return b"".join(bytes(memoryview(piece)[:HEAD_BYTES]) for piece in pieces[:1])
