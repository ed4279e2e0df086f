"""Who may see what of an event, and how it looks to them. Pure.

Files are seen by who may read them. Unfinished uploads are their subject's, as in `GET /uploads`; who made a request
link sees what comes through it, and administrators see all within their prefix. What moves out of somebody's sight
vanishes, what moves into it appears, and nothing is said of where else it was or is.
"""

from enum import Enum
from typing import Literal

from storage.events import Cancelled, Completed, Created, Deleted, Event, Progressed, Renamed, Upload
from transfer.access.principal import Principal
from transfer.entries import file_entry
from transfer.protocol.events import EventMessage, FileEvent, UploadEvent, key_of
from transfer.protocol.names import Name


class Sight(Enum):
    """How much of an event somebody sees."""

    NOTHING = 0
    ALL = 1
    APPEARS = 2
    """What is there afterwards, and not what was before."""
    VANISHES = 3
    """That what was there before is not any more."""
    ENDS = 4
    """That an upload is complete, and not what the file is."""


def require_a_view(principal: Principal) -> None:
    """Raises Forbidden for who can see nothing, whatever happens; visitors of a request link are among them."""
    principal.require_one_of("read", "upload", "admin")


def sight_of(event: Event, principal: Principal) -> Sight:
    """How much of it `principal` sees."""
    match event:
        case Created(upload) | Cancelled(upload):
            return _if(_is_shown(upload, principal) and principal.reaches(upload.name))
        case Progressed(upload, before):
            shown = _is_shown(upload, principal)
            return _moved(before or upload.name, upload.name, principal) if shown else Sight.NOTHING
        case Completed(file, upload, unchanged):
            theirs = upload is not None and _is_shown(upload, principal) and principal.reaches(file.name)
            if principal.may_read(file.name, file.owner):
                return _if(theirs or not unchanged)
            return Sight.ENDS if theirs else Sight.NOTHING
        case Renamed(file, before):
            readable = principal.may("read") or file.owner == principal.subject
            return _moved(before, file.name, principal) if readable else Sight.NOTHING
        case Deleted(file):
            return _if(principal.may_read(file.name, file.owner))


def _is_shown(upload: Upload, principal: Principal) -> bool:
    """Whether they see such an upload, if its name is within their prefix."""
    return principal.may("admin") or (principal.may("upload") and upload.subject == principal.subject)


def _if(seen: bool) -> Sight:  # noqa: FBT001 - it is the whole of what it is about
    return Sight.ALL if seen else Sight.NOTHING


def _moved(before: Name, after: Name, principal: Principal) -> Sight:
    was, is_now = principal.reaches(before), principal.reaches(after)
    if is_now:
        return Sight.ALL if was else Sight.APPEARS
    return Sight.VANISHES if was else Sight.NOTHING


def message(event: Event, sight: Sight, event_id: str) -> EventMessage:
    """The event as it looks to who sees that much of it, which is something."""
    match event:
        case Created(upload):
            return _of_upload(event_id, "created", upload)
        case Progressed(upload, before):
            if sight is Sight.VANISHES and before is not None:
                return _of_upload(event_id, "cancelled", upload, before)
            return _of_upload(event_id, "progressed", upload)
        case Cancelled(upload, expired):
            return _of_upload(event_id, "cancelled", upload, expired=expired)
        case Completed():
            return _completed(event_id, event, sight)
        case Renamed(file, before):
            if sight is Sight.VANISHES:
                return FileEvent(event="deleted", id=event_id, name=before)
            known = before if sight is Sight.ALL else None
            return FileEvent(event="renamed", id=event_id, name=known, file=file_entry(file))
        case Deleted(file):
            return FileEvent(event="deleted", id=event_id, name=file.name)


def _of_upload(
    event_id: str,
    kind: Literal["created", "progressed", "cancelled"],
    upload: Upload,
    name: Name | None = None,
    *,
    expired: bool = False,
) -> UploadEvent:
    return UploadEvent(
        event=kind,
        id=event_id,
        key=key_of(upload.upload_id),
        name=name or upload.name,
        size=upload.size,
        offset=upload.offset,
        owner=upload.subject,
        expired=expired or None,
    )


def _completed(event_id: str, event: Completed, sight: Sight) -> UploadEvent:
    file, upload = event.file, event.upload
    return UploadEvent(
        event="completed",
        id=event_id,
        key=key_of(upload.upload_id) if upload is not None else None,
        name=upload.name if upload is not None else file.name,
        size=file.size,
        offset=file.size,
        owner=upload.subject if upload is not None else file.owner,
        unchanged=event.unchanged or None,
        file=file_entry(file) if sight is Sight.ALL else None,
    )
