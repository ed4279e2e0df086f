"""What has come for one operation and was not worked off: pieces to write, and how it goes on after them."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from transfer.protocol.digest import Digest
from transfer.protocol.errors import TransferError
from transfer.protocol.leaves import Buffer


@dataclass(frozen=True, slots=True)
class Eof:
    """The client sent all, with this digest."""

    digest: Digest


@dataclass(frozen=True, slots=True)
class Cancel:
    """The client drops the upload."""


@dataclass(frozen=True, slots=True)
class Left:
    """The next header came, or the connection is gone: the upload stays as it is."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A frame was refused: the operation ends with this error, after what came before the frame."""

    error: TransferError


Ending = Eof | Cancel | Left | Failure


class Inbox:
    """Filled by the session's reader, emptied by the operation. `freed` is told how many bytes left it; the reader
    stops receiving while a window's worth is held, and TCP slows the client."""

    def __init__(self, freed: Callable[[int], None]) -> None:
        self._freed = freed
        self._pieces: deque[tuple[int, Buffer]] = deque()
        self.size = 0
        """Bytes that wait to be taken."""
        self._closed = False
        self._something = asyncio.Event()
        self.ending: Ending | None = None

    def put(self, offset: int, content: Buffer) -> None:
        """Bytes that belong at `offset`."""
        if self._closed:
            self._freed(len(content))
            return
        self._pieces.append((offset, content))
        self.size += len(content)
        self._something.set()

    def end(self, ending: Ending) -> None:
        """Nothing comes any more. The first ending counts."""
        if self.ending is None:
            self.ending = ending
        self._something.set()

    def wake(self) -> None:
        """Let `wait` return: something else happened."""
        self._something.set()

    async def wait(self, seconds: float | None) -> None:
        """Until something new came, `wake` was called, or `seconds` passed; what came before counts once."""
        timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self._something.set)
        try:
            await self._something.wait()
        finally:
            if timer is not None:
                timer.cancel()
        self._something.clear()

    def take(self, limit: int) -> tuple[int, list[Buffer]]:
        """Adjacent pieces of about `limit` bytes: their offset, and them; empty when there is nothing. The taker
        calls `release` when they are written."""
        if not self._pieces:
            return 0, []
        offset, first = self._pieces.popleft()
        taken, end = [first], offset + len(first)
        while self._pieces and self._pieces[0][0] == end and end - offset < limit:
            _, content = self._pieces.popleft()
            taken.append(content)
            end += len(content)
        self.size -= end - offset
        return offset, taken

    def release(self, size: int) -> None:
        self._freed(size)

    @property
    def empty(self) -> bool:
        return not self._pieces

    def close(self) -> None:
        """Drop what is left; what still comes is dropped too."""
        self._closed = True
        self._freed(self.size)
        self.size = 0
        self._pieces.clear()
