"""What a server has under some names, asked for once: the part of its listing in which they are."""

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import aclosing
from typing import Final

from client.errors import ConnectionBroken
from client.progress import Listener
from client.retry import Patience, pause
from transfer.protocol.errors import TransferError
from transfer.protocol.messages import FileEntry

OTHERS: Final = 10_000
OTHERS_FOR_EACH: Final = 10
"""Of files that nobody asked for a listing may have so many, and so many for each that was: reading on would cost more
than whoever asks would spare."""

ListFiles = Callable[[str], AsyncIterator[FileEntry]]
"""The files whose names begin so, in the order of their names."""


async def stored_files(
    list_files: ListFiles, names: Collection[str], patience: Patience, listener: Listener
) -> AsyncIterator[FileEntry]:
    """The entries of those `names` that the server has; perhaps not all, among many others. An entry may come twice, as
    of `persistently`. Raises Forbidden, GaveUp, CannotConnect."""
    if names:
        async with aclosing(persistently(lambda: _wanted(list_files, names), patience, listener)) as entries:  # type: ignore[type-var]
            async for entry in entries:
                yield entry


async def persistently(
    begin: Callable[[], AsyncIterator[FileEntry]], patience: Patience, listener: Listener
) -> AsyncIterator[FileEntry]:
    """A listing through any number of breaks: after each it begins anew, and entries come twice. It is given up when no
    attempt comes further than one before. Raises Forbidden, GaveUp, CannotConnect."""
    furthest = 0
    while True:
        try:
            async with aclosing(begin()) as entries:  # type: ignore[type-var]
                count = 0
                async for entry in entries:
                    count += 1
                    if count > furthest:
                        furthest = count
                        patience.progressed()
                    yield entry
            return
        except (ConnectionBroken, TransferError) as error:
            await pause(error, patience, listener)


async def _wanted(list_files: ListFiles, names: Collection[str]) -> AsyncIterator[FileEntry]:
    first, last = min(names), max(names)
    left = OTHERS + OTHERS_FOR_EACH * len(names)
    async with aclosing(list_files(_common_beginning(first, last))) as entries:  # type: ignore[type-var]
        async for entry in entries:
            name = str(entry.name)
            if name in names:
                yield entry
            else:
                left -= 1
            if name >= last or not left:
                return


def _common_beginning(one: str, other: str) -> str:
    length = next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))
    return one[:length]
