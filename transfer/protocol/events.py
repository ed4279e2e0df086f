"""The messages of `/events`: what happens on a server, an object each.

`id` is opaque, and after which a reader who comes back wants to go on. `key` is the same in all events of an upload:
who has its `upload_id` can compute it, and nobody can go back from it.
"""

import hashlib
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints, TypeAdapter

from transfer.protocol.messages import FileEntry, Message, NameField, Size, read_reply

MAX_EVENT_ID: Final = 64
_KEY_CHARACTERS: Final = 32
EventId = Annotated[str, StringConstraints(min_length=1, max_length=MAX_EVENT_ID)]


def key_of(upload_id: str) -> str:
    """What stands for an upload in events."""
    return hashlib.sha256(upload_id.encode()).hexdigest()[:_KEY_CHARACTERS]


class ResetEvent(Message):
    """From here on: what happened before this, and may have been `missed`, is to be had by listing."""

    type: Literal["reset"] = "reset"
    id: EventId
    missed: bool = False


class UploadEvent(Message):
    """Something happened to an upload; every byte below `offset` survives a power cut. A small file has no `key`."""

    type: Literal["upload"] = "upload"
    event: Literal["created", "progressed", "completed", "cancelled"]
    id: EventId
    key: str | None = None
    name: NameField
    size: Size | None = None
    offset: Size
    owner: str
    expired: bool | None = None
    unchanged: bool | None = None
    file: FileEntry | None = None


class FileEvent(Message):
    """Something happened to a file: `name` is what it had, `file` what it is now."""

    type: Literal["file"] = "file"
    event: Literal["renamed", "deleted"]
    id: EventId
    name: NameField | None = None
    file: FileEntry | None = None


EventMessage = ResetEvent | UploadEvent | FileEvent
_EVENT: TypeAdapter[EventMessage] = TypeAdapter(Annotated[EventMessage, Field(discriminator="type")])


def parse_event(text: str) -> EventMessage:
    """Read an event. Raises what `messages.parse_server_message` does."""
    return read_reply(_EVENT, text)
