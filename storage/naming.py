"""Which name a finished content gets, and what becomes of the file that has it."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from storage.errors import NameTaken
from storage.store import IfExists, StoredFile
from transfer.protocol.digest import Digest
from transfer.protocol.names import InvalidName, Name

MAX_CANDIDATES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Occupant:
    """What stands in the way of a name: the file that has it, or the name of one above or below it."""

    file: StoredFile | None = None
    conflict: Name | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """`unchanged` is the file that has the same content already; else publish as `name` in place of `replaced`."""

    name: Name
    replaced: StoredFile | None = None
    unchanged: StoredFile | None = None


LookUp = Callable[[Name], Occupant | None]


def settle(name: Name, if_exists: IfExists, digest: Digest, look_up: LookUp) -> Settled:
    """Decide at the end, when the digest is known. Raises NameTaken."""
    for candidate in _candidates(name, if_exists):
        occupant = look_up(candidate)
        if occupant is None:
            return Settled(candidate)
        if occupant.file is not None and occupant.file.digest == digest and occupant.file.name == candidate:
            return Settled(candidate, unchanged=occupant.file)
        if if_exists == "replace" and occupant.file is not None:
            return Settled(candidate, replaced=occupant.file)
        if if_exists == "error":
            raise NameTaken(candidate, occupant.file, occupant.conflict)
    occupant = look_up(name) or Occupant()
    raise NameTaken(name, occupant.file, occupant.conflict)


def check_early(name: Name, size: int | None, if_exists: IfExists, look_up: LookUp) -> StoredFile | None:
    """What can be refused before the first byte. Returns the file that has the name. Raises NameTaken."""
    occupant = look_up(name)
    if occupant is None:
        return None
    differs = occupant.file is None or (size is not None and size != occupant.file.size)
    if (if_exists == "error" and differs) or (if_exists == "replace" and occupant.file is None):
        raise NameTaken(name, occupant.file, occupant.conflict)
    return occupant.file


def _candidates(name: Name, if_exists: IfExists) -> Iterator[Name]:
    """The name; for `rename` then `cat (2).jpg`, `cat (3).jpg`, …"""
    yield name
    if if_exists == "rename":
        with suppress(InvalidName):  # the folder leaves no room for a number
            for number in range(2, MAX_CANDIDATES):
                yield name.numbered(number)
