"""What a store is for those who use it: names with contents, and uploads of which some bytes are there.

Written from the promises in storage/store.py alone, with dicts and bytes; it knows no epochs, objects or catalogs.
Every method is one of the things that a store can be asked (tests/crash/forked_store.py asks a real one), and returns
what the store has to answer. Requests are the store's own words; leaves are as small as the lives make them.
"""

import copy
import hashlib
import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple, NoReturn

from storage.store import UploadRequest
from transfer.protocol.leaves import ABSENT, leaf_checksum

LEAF: Final = 4096
STREAM_LEAF: Final = 16_384
EXPIRY: Final = 3600.0
Spans = list[tuple[int, int]]


class Command(NamedTuple):
    """Something that is asked: a method of `Model` and of a life, and what it is given."""

    name: str
    arguments: tuple[object, ...] = ()

    def __str__(self) -> str:
        shown = [f"<{len(value)} bytes>" if isinstance(value, bytes) else repr(value) for value in self.arguments]
        return f"{self.name}({', '.join(shown)})"


class Refused(NamedTuple):
    """The answer where nothing was done: the error's class, and the holes where it names some."""

    kind: str
    holes: tuple[tuple[int, int], ...] = ()


class Refusal(Exception):
    def __init__(self, refused: Refused) -> None:
        super().__init__(refused)
        self.refused = refused


class OneOf(frozenset[str | None]):
    """An answer that the promises leave open."""

    def __eq__(self, other: object) -> bool:
        return other in self

    __hash__ = frozenset.__hash__


@dataclass(frozen=True, slots=True)
class Opened:
    """A writer was let in. Ids and leases are the store's to choose."""

    upload_id: str = field(compare=False)
    lease: str = field(compare=False)
    size: int | None
    durable: Spans
    leaves: bytes
    """Of the full leaves."""
    existing: str | None
    """The digest of the file that has the name."""


@dataclass(frozen=True, slots=True)
class FileSeen:
    name: str
    size: int
    digest: str
    owner: str
    created: datetime
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class UploadSeen:
    upload_id: str
    owner: str
    name: str
    size: int | None
    offset: int
    created: datetime
    active: datetime
    expires: datetime


@dataclass(frozen=True, slots=True)
class View:
    """All that is there, as listings show it."""

    files: list[FileSeen]
    uploads: list[UploadSeen]


@dataclass(slots=True)
class File:
    number: int
    name: str
    content: bytes
    owner: str
    created: datetime

    def seen(self, *, unchanged: bool = False) -> FileSeen:
        return FileSeen(self.name, len(self.content), digest(self.content), self.owner, self.created, unchanged)


@dataclass(slots=True)
class Upload:
    """`received` and `durable` have a 1 for each byte of `content` that is there, and end with the last one."""

    request: UploadRequest
    leaf: int
    created: datetime
    active: datetime
    writer: int | None
    lease: str | None = None
    """None where nobody was told."""
    content: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)

    @property
    def end(self) -> int:
        """Where it ends; of a stream, where it ends by now."""
        return len(self.received) if self.request.size is None else self.request.size

    @property
    def holes(self) -> Spans:
        return spans(self.received.ljust(self.end, b"\0"), b"\0")

    def put(self, offset: int, content: bytes) -> None:
        end = offset + len(content)
        self.content.extend(bytes(max(0, end - len(self.content))))
        self.content[offset:end] = content
        self.received.extend(bytes(max(0, end - len(self.received))))
        self.received[offset:end] = b"\1" * len(content)

    def forget(self, start: int, end: int) -> None:
        for there in (self.received, self.durable):
            stop = min(end, len(there))
            there[start:stop] = bytes(max(0, stop - start))
            there[:] = there.rstrip(b"\0")
        self._blank()

    def left(self) -> None:
        self.writer, self.received = None, bytearray(self.durable)
        self._blank()

    def _blank(self) -> None:
        """What is not there is nothing."""
        del self.content[len(self.received) :]
        for start, end in spans(self.received, b"\0"):
            self.content[start:end] = bytes(end - start)

    @property
    def leaves(self) -> bytes:
        """The checksums of the full leaves."""
        return b"".join(
            leaf_checksum(self.content[at : at + self.leaf])
            if self.received[at : at + self.leaf] == b"\1" * self.leaf
            else ABSENT
            for at in range(0, len(self.received) - self.leaf + 1, self.leaf)
        )


class Completed(NamedTuple):
    """What is remembered of an upload that became the file with this number."""

    owner: str
    number: int
    unchanged: bool
    at: datetime


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def spans(mask: bytes | bytearray, of: bytes = b"\1") -> Spans:
    return [found.span() for found in re.finditer(of + b"+", mask)]


def refuse(kind: str, holes: Spans | None = None) -> NoReturn:
    raise Refusal(Refused(kind, tuple(holes or ())))


@dataclass(slots=True)
class Model:
    now: datetime
    files: list[File] = field(default_factory=list)
    uploads: dict[str, Upload] = field(default_factory=dict)
    """By id, or by what stands for an id that nobody was told."""
    completed: dict[str, Completed] = field(default_factory=dict)
    writers: dict[int, str | None] = field(default_factory=dict)
    """The upload of each writer; None for one who was superseded."""
    numbers: int = 0

    def ask(self, command: Command) -> object:
        """What the store has to answer."""
        try:
            answer: object = getattr(self, command.name)(*command.arguments)
        except Refusal as refusal:
            return refusal.refused
        return answer

    def learn(self, writer: int, opened: Opened) -> None:
        """The store has said how it calls an upload."""
        called = self.writers[writer]
        assert called is not None
        upload = self.uploads.pop(called)
        upload.lease, self.writers[writer] = opened.lease, opened.upload_id
        self.uploads[opened.upload_id] = upload

    # ---------------------------------------------------------------------------------------- deaths and restarts

    def outcomes(self, command: Command) -> "list[Model]":
        """What may be, where the answer was not heard: nothing was done, or everything; before a file is published,
        its bytes are synced."""
        before, after = copy.deepcopy(self), copy.deepcopy(self)
        if after.ask(command) == Refused("Incomplete"):
            return [before]
        if command.name == "resume" and (upload := before.uploads.get(str(command.arguments[1]))) is not None:
            upload.lease = None
        if command.name != "finish":
            return [before, after]
        between = copy.deepcopy(self)
        between.ask(Command("sync", command.arguments[:1]))
        return [before, between, after]

    def restarted(self, now: datetime) -> None:
        """The process died and has come back: nobody is connected, and the time between is no silence."""
        downtime, self.now = now - self.now, now
        self.writers.clear()
        for upload in self.uploads.values():
            upload.left()
            upload.active += downtime
        self.completed = {key: kept._replace(at=kept.at + downtime) for key, kept in self.completed.items()}

    def adopt(self, view: View) -> None:
        """Whoever began an upload and did not hear its id finds it in the listing."""
        unknown = [key for key in self.uploads if key.startswith("new ")]
        strange = [seen.upload_id for seen in view.uploads if seen.upload_id not in self.uploads]
        if len(unknown) == len(strange) == 1:
            self.uploads[strange[0]] = self.uploads.pop(unknown[0])

    # ---------------------------------------------------------------------------------------------------- writing

    def begin(self, writer: int, request: UploadRequest) -> Opened:
        existing = self._checked_early(request)
        leaf = STREAM_LEAF if request.size is None else LEAF
        upload = Upload(request, leaf, created=self.now, active=self.now, writer=writer)
        self.uploads[f"new {writer}"], self.writers[writer] = upload, f"new {writer}"
        return self._opened(f"new {writer}", existing)

    def resume(
        self, writer: int, upload_id: str, owner: str, request: UploadRequest | None, lease: str | None
    ) -> Opened:
        upload = self._upload(upload_id, owner)
        if lease is not None and lease != upload.lease:
            refuse("Fenced")
        wanted = request or upload.request
        existing = self._checked_early(wanted)
        self._supersede(upload)
        upload.request, upload.writer, upload.active, self.writers[writer] = wanted, writer, self.now, upload_id
        upload.lease = lease
        if wanted.size is not None:
            upload.forget(wanted.size, max(wanted.size, len(upload.received)))
        return self._opened(upload_id, existing)

    def _opened(self, upload_id: str, existing: File | None) -> Opened:
        upload = self.uploads[upload_id]
        known = None if existing is None else digest(existing.content)
        return Opened(upload_id, "", upload.request.size, spans(upload.durable), upload.leaves, known)

    def _supersede(self, upload: Upload) -> None:
        if upload.writer is not None:
            self.writers[upload.writer] = None
        upload.left()

    def _upload(self, upload_id: str, owner: str) -> Upload:
        upload = self.uploads.get(upload_id)
        if upload is None or upload.request.owner != owner:
            refuse("NotFound")
        return upload

    def of(self, writer: int) -> Upload:
        upload_id = self.writers[writer]
        assert upload_id is not None
        return self.uploads[upload_id]

    def write(self, writer: int, offset: int, content: bytes) -> None:
        upload = self.of(writer)
        if upload.request.size is not None and offset + len(content) > upload.request.size:
            refuse("TooLong")
        upload.put(offset, content)

    def sync(self, writer: int) -> Spans:
        upload = self.of(writer)
        upload.durable, upload.active = bytearray(upload.received), self.now
        return spans(upload.durable)

    def forget(self, writer: int, start: int, end: int) -> None:
        self.of(writer).forget(start, end)

    def haunt(self, writer: int) -> list[str]:
        """A superseded writer was told, and nothing that it tries does anything."""
        return ["told", "refused", "refused", "refused", "refused"]

    def finish(self, writer: int, said: str) -> FileSeen:
        upload_id, upload = self.writers[writer], self.of(writer)
        assert upload_id is not None
        self.sync(writer)
        if upload.holes:
            refuse("Incomplete", upload.holes)
        content = bytes(upload.content[: upload.end])
        if digest(content) != said:
            refuse("WrongDigest")
        file, unchanged = self._publish(upload.request, content)
        del self.uploads[upload_id], self.writers[writer]
        self.completed[upload_id] = Completed(upload.request.owner, file.number, unchanged, self.now)
        return file.seen(unchanged=unchanged)

    def drop(self, writer: int) -> None:
        upload_id = self.writers.pop(writer)
        assert upload_id is not None
        del self.uploads[upload_id]

    def leave(self, writer: int) -> None:
        upload_id = self.writers.pop(writer)
        if upload_id is not None:
            self.uploads[upload_id].left()
            self.uploads[upload_id].active = self.now

    def cancel(self, upload_id: str, owner: str) -> None:
        self._supersede(self._upload(upload_id, owner))
        del self.uploads[upload_id]

    def time_passes(self, seconds: float) -> int:
        """What was silent for too long is dropped; whoever is connected is not silent."""
        self.now += timedelta(seconds=seconds)
        before = self.now - timedelta(seconds=EXPIRY)
        for upload in self.uploads.values():
            if upload.writer is not None:
                upload.active = self.now
        kept = {key: upload for key, upload in self.uploads.items() if upload.active >= before}
        dropped, self.uploads = len(self.uploads) - len(kept), kept
        self.completed = {key: known for key, known in self.completed.items() if known.at >= before}
        return dropped

    # ------------------------------------------------------------------------------------------------------ files

    def _in_the_way(self, name: str, besides: File | None = None) -> tuple[File | None, bool]:
        """The file that has the name, whatever its case, and whether one above or below it stands in the way."""
        key, others = name.casefold(), [file for file in self.files if file is not besides]
        for file in others:
            if file.name.casefold() == key:
                return file, False
        keys = [file.name.casefold() for file in others]
        return None, any(other.startswith(key + "/") or key.startswith(other + "/") for other in keys)

    def _checked_early(self, request: UploadRequest) -> File | None:
        file, blocked = self._in_the_way(request.name.value)
        differs = file is not None and request.size not in (None, len(file.content))
        if (blocked and request.if_exists != "rename") or (differs and request.if_exists == "error"):
            refuse("NameTaken")
        return file

    def _publish(self, request: UploadRequest, content: bytes) -> tuple[File, bool]:
        folder, slash, last = request.name.value.rpartition("/")
        stem, dot, extension = last.rpartition(".") if "." in last else (last, "", "")
        names = [f"{folder}{slash}{stem} ({number}){dot}{extension}" for number in range(2, 50)]
        for name in [request.name.value, *(names if request.if_exists == "rename" else [])]:
            file, blocked = self._in_the_way(name)
            if file is not None and file.content == content and file.name == name:
                return file, True
            if file is not None and request.if_exists == "replace":
                self.files.remove(file)
                file = None
            if file is None and not blocked:
                self.numbers += 1
                self.files.append(File(self.numbers, name, content, request.owner, self.now))
                return self.files[-1], False
        refuse("NameTaken")

    def put(self, request: UploadRequest, content: bytes, said: str) -> FileSeen:
        if digest(content) != said:
            refuse("WrongDigest")
        file, unchanged = self._publish(request, content)
        return file.seen(unchanged=unchanged)

    def _file(self, name: str) -> File:
        return next((file for file in self.files if file.name == name), None) or refuse("NotFound")

    def rename(self, name: str, new_name: str) -> FileSeen:
        file = self._file(name)
        if self._in_the_way(new_name, besides=file) != (None, False):
            refuse("NameTaken")
        file.name = new_name
        return file.seen()

    def delete(self, name: str) -> None:
        self.files.remove(self._file(name))

    def read(self, name: str) -> bytes:
        return self._file(name).content

    # ---------------------------------------------------------------------------------------------------- looking

    def find(self, name: str) -> FileSeen | None:
        return next((file.seen() for file in self.files if file.name == name), None)

    def find_unfinished(self, name: str, owner: str) -> OneOf:
        """The most recently active; the clock of these lives does not tell all of them apart."""
        found = {
            key: (upload.active, upload.created)
            for key, upload in self.uploads.items()
            if (upload.request.name.value, upload.request.owner) == (name, owner)
        }
        return OneOf(key for key in found if found[key] == max(found.values())) if found else OneOf({None})

    def find_completed(self, upload_id: str, owner: str) -> FileSeen | None:
        known = self.completed.get(upload_id)
        found = [file for file in self.files if known is not None and file.number == known.number]
        if known is None or not found or known.owner != owner:
            return None
        return replace(found[0].seen(), unchanged=known.unchanged)

    def remembered(self) -> dict[str, datetime]:
        """When each of those uploads was completed, or would have been without the downtimes since."""
        numbers = {file.number for file in self.files}
        return {key: known.at for key, known in self.completed.items() if known.number in numbers}

    def look(self) -> View:
        uploads = [
            UploadSeen(
                upload_id=key,
                owner=upload.request.owner,
                name=upload.request.name.value,
                size=upload.request.size,
                offset=len(upload.durable) if 0 not in upload.durable else upload.durable.index(0),
                created=upload.created,
                active=upload.active,
                expires=upload.active + timedelta(seconds=EXPIRY),
            )
            for key, upload in self.uploads.items()
        ]
        files = [file.seen() for file in self.files]
        return View(sorted(files, key=lambda file: file.name), sorted(uploads, key=lambda seen: seen.upload_id))
