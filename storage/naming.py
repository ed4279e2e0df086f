"""Which name a finished content gets, what becomes of the file that has it, and what the caller may know of that."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from storage.errors import NameTaken, NotYours
from storage.store import IfExists, StoredFile, UploadRequest
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


def is_own(request: UploadRequest, file: StoredFile) -> bool:
    """Whether the caller uploaded the file, or it is theirs: not a link's visitor's, for whom others made the link."""
    return file.uploader == request.owner or (request.via is None and file.owner == request.account)


def is_within(request: UploadRequest, file: StoredFile) -> bool:
    """Whether the caller may have to do with the file: one with their name in another case may be out of reach."""
    return file.name.value.startswith(request.within)


def may_know(request: UploadRequest, file: StoredFile) -> bool:
    """Whether the caller may learn that the file has the same content as theirs, or which other one."""
    return is_within(request, file) and (request.may_compare or is_own(request, file))


def settle(request: UploadRequest, digest: Digest, look_up: LookUp) -> Settled:
    """Decide at the end, when the digest is known. Raises NameTaken, NotYours."""
    for candidate in _candidates(request.name, request.if_exists):
        occupant = look_up(candidate)
        if occupant is None:
            return Settled(candidate)
        file = occupant.file
        if file is not None and file.digest == digest and file.name == candidate and may_know(request, file):
            return Settled(candidate, unchanged=file)
        if request.if_exists == "replace" and file is not None:
            _check_replaceable(request, file)
            return Settled(candidate, replaced=file)
        if request.if_exists == "error":
            raise _taken(request, occupant)
    raise _taken(request, look_up(request.name) or Occupant())


def check_early(request: UploadRequest, look_up: LookUp) -> StoredFile | None:
    """What can be refused before the first byte. Returns the file that has the name, if the caller may know of it.
    Raises NameTaken, NotYours."""
    occupant = look_up(request.name)
    if occupant is None:
        return None
    file = occupant.file
    if file is None:
        if request.if_exists != "rename":
            raise _taken(request, occupant)
        return None
    known = may_know(request, file)
    differs = not known or (request.size is not None and request.size != file.size)
    if request.if_exists == "error" and differs:
        raise _taken(request, occupant)
    if request.if_exists == "replace" and differs:
        _check_replaceable(request, file)
    return file if known else None


def _check_replaceable(request: UploadRequest, file: StoredFile) -> None:
    if not is_within(request, file):
        raise _taken(request, Occupant(file))
    if not request.may_replace and not is_own(request, file):
        raise NotYours(request.name)


def _taken(request: UploadRequest, occupant: Occupant) -> NameTaken:
    disclosed = request.may_compare if occupant.file is None else may_know(request, occupant.file)
    return NameTaken(request.name, occupant.file, occupant.conflict, disclosed=disclosed)


def _candidates(name: Name, if_exists: IfExists) -> Iterator[Name]:
    """The name; for `rename` then `cat (2).jpg`, `cat (3).jpg`, …"""
    yield name
    if if_exists == "rename":
        with suppress(InvalidName):  # the folder leaves no room for a number
            for number in range(2, MAX_CANDIDATES):
                yield name.numbered(number)
