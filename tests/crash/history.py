"""What clients did and what they were told, and whether what is there after a crash agrees with it.

    sent        begun, and nothing was promised yet
    acked       the server's word for every byte below an offset
    completed   the server's word that the names are as the change leaves them
    unknown     a crash came between: all of the change is there, or nothing of it

It knows no sockets and no files: events come in, an `Aftermath` is judged, and every verdict is a sentence.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from client.progress import Ack, Event, Ready, Resending
from tests.crash.aftermath import Aftermath, Listed
from tests.crash.contents import Content, common_prefix

_GONE: Final = "nothing"


@dataclass(slots=True, eq=False)
class Change:
    """An operation after which each of these names has that content, or none. All of it happens, or nothing."""

    after: Mapping[str, Content | None]
    settled: bool = False
    """It happened, and everybody knows."""


@dataclass(slots=True, eq=False)
class Upload(Change):
    """A change that takes its time: one name gets one content, and bytes are promised on the way."""

    upload_id: str = ""
    acked: int = 0
    """Every byte below survives, the server said."""

    @property
    def name(self) -> str:
        return next(iter(self.after))

    @property
    def content(self) -> Content:
        content = self.after[self.name]
        assert content is not None
        return content


@dataclass(slots=True)
class Verdict:
    """What was checked, and what was wrong."""

    acked_bytes_checked: int = 0
    acked_bytes_lost: int = 0
    wrong_files: int = 0
    uploads_that_do_not_resume: int = 0
    files_checked: int = 0
    complete_unknown_to_the_client: int = 0
    sentences: list[str] = field(default_factory=list)


class History:
    """Of one store. Changes that are under way at the same time have no name in common."""

    def __init__(self) -> None:
        self.files: dict[str, Content] = {}
        """What everybody knows to be there."""
        self.underway: list[Change] = []
        self.completed = 0
        self.resumed = 0
        """How often an upload with acked bytes went on."""
        self._refused_to_resume: list[str] = []

    # ----------------------------------------------------------------------------------------------- what happens

    def begin(self, change: Change) -> None:
        """A client is about to ask for it."""
        self.underway.append(change)

    def told(self, change: Change) -> None:
        """The server said that it is done."""
        if not change.settled:
            self._settle(change)
        self.completed += 1

    def heard(self, upload: Upload, event: Event) -> None:
        """A client heard this of an upload."""
        if isinstance(event, Ready):
            self._resumed(upload, event)
        elif isinstance(event, Ack):
            upload.acked = max(upload.acked, event.offset)
        elif isinstance(event, Resending):
            self._refused_to_resume.append(f"{upload.name}: {event.size} bytes that were acked had to be sent again")

    def rewritten(self, upload: Upload, offset: int) -> None:
        """The client itself drops what is acked beyond `offset`."""
        upload.acked = min(upload.acked, offset)

    def _resumed(self, upload: Upload, ready: Ready) -> None:
        if ready.offset < upload.acked:
            self._refused_to_resume.append(f"{upload.name}: resumed at {ready.offset}, {upload.acked} were acked")
        self.resumed += upload.acked > 0
        upload.upload_id = ready.upload_id

    def _settle(self, change: Change) -> None:
        change.settled = True
        self.underway.remove(change)
        for name, content in change.after.items():
            if content is None:
                self.files.pop(name, None)
            else:
                self.files[name] = content

    # ----------------------------------------------------------------------------------------------- what is there

    def check(self, found: Aftermath) -> Verdict:
        """Compare everything. What was unknown is known afterwards."""
        verdict = Verdict(uploads_that_do_not_resume=len(self._refused_to_resume), sentences=self._refused_to_resume)
        self._refused_to_resume = []
        is_there = {name: self._which(found, name, verdict) for name in sorted(self._names | found.files.keys())}
        for change in list(self.underway):
            self._check_underway(change, {name: is_there.pop(name) for name in change.after}, verdict)
            if isinstance(change, Upload) and not change.settled and change.acked:
                self._check_acked(change, found, verdict)
        for name, content in is_there.items():
            if content != self.files.get(name):
                _wrong(verdict, f"{name} has {content or _GONE}, {self.files.get(name, _GONE)} was promised")
        self._check_order(found, verdict)
        return verdict

    @property
    def _names(self) -> set[str]:
        return set(self.files).union(*(change.after for change in self.underway))

    def _which(self, found: Aftermath, name: str, verdict: Verdict) -> Content | None:
        """The content that is listed under a name: one that was sent for it, whole and right."""
        listed = found.files.get(name)
        if listed is None:
            return None
        verdict.files_checked += 1
        possible = [self.files.get(name), *(change.after.get(name) for change in self.underway)]
        content = next((content for content in possible if content is not None and _is(listed, content)), None)
        if content is None:
            _wrong(verdict, f"{name} is listed with {listed.size} bytes, {listed.digest}: nobody sent that")
        elif (there := found.read(listed.object_id)) != content.view:
            same = common_prefix(content.view, there)
            _wrong(verdict, f"{name} is listed, and of its {content.size} bytes those from {same} on are wrong")
        return content

    def _check_underway(self, change: Change, is_there: dict[str, Content | None], verdict: Verdict) -> None:
        if is_there == dict(change.after):
            verdict.complete_unknown_to_the_client += 1
            self._settle(change)
        elif is_there != {name: self.files.get(name) for name in change.after}:
            _wrong(
                verdict, f"half of a change is there: {', '.join(f'{n}: {c or _GONE}' for n, c in is_there.items())}"
            )

    def _check_acked(self, upload: Upload, found: Aftermath, verdict: Verdict) -> None:
        row = found.uploads.get(upload.upload_id)
        verdict.acked_bytes_checked += upload.acked
        if row is None:
            verdict.acked_bytes_lost += upload.acked
            verdict.sentences.append(f"{upload.name}: {upload.acked} bytes were acked, and the upload is gone")
            return
        there = memoryview(found.read(row.object_id))[: row.offset]
        same = common_prefix(upload.content.view[: upload.acked], there)
        if same < upload.acked:
            verdict.acked_bytes_lost += upload.acked - same
            verdict.sentences.append(
                f"{upload.name}: {upload.acked} bytes were acked, {row.offset} are said to be there, {same} are right"
            )

    @staticmethod
    def _check_order(found: Aftermath, verdict: Verdict) -> None:
        """Recovery leaves nothing that it should have cut off, deleted or understood."""
        for row in found.uploads.values():
            if (length := found.objects.get(row.object_id, 0)) > row.furthest:
                verdict.sentences.append(f"{row.name}: {row.furthest} bytes are durable, the object has {length}")
        verdict.sentences += [f"{name}: of the durable bytes some are not there" for name in found.failed.values()]
        verdict.sentences += [f"no row names the object {object_id}" for object_id in sorted(found.strays)]
        verdict.sentences += [f"the object {object_id} went to quarantine" for object_id in found.quarantined]


def _is(listed: Listed, content: Content) -> bool:
    return listed.size == content.size and listed.digest == content.digest


def _wrong(verdict: Verdict, sentence: str) -> None:
    verdict.wrong_files += 1
    verdict.sentences.append(sentence)
