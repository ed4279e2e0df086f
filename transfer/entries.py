"""How a stored file looks to clients: in listings, in `complete`, and as the answer to a rename."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from pydantic_core import to_json

from storage.store import StoredFile
from transfer.protocol.messages import FileEntry
from transfer.protocol.names import Name

FILES_PATH: Final = "/files/"


def file_url(name: Name) -> str:
    """The percent-encoded path of a file's content; `/` stays between its segments."""
    return FILES_PATH + quote(name.value, safe="/")


def file_entry(file: StoredFile) -> FileEntry:
    """The entry of a file."""
    return FileEntry(
        name=file.name,
        size=file.size,
        digest=file.digest,
        content_type=file.content_type,
        modified=file.modified,
        created=file.created,
        owner=file.owner,
        metadata=file.metadata,
        url=file_url(file.name),
    )


def page_json(files: Iterable[StoredFile], cursor: str | None) -> bytes:
    """A page of their entries, with the cursor of the next. Making a model of each, which looks at every field once
    more, would take twice as long."""
    return to_json({"files": [_fields(file) for file in files], "next": cursor})


def lines_json(files: Iterable[StoredFile]) -> bytes:
    """Their entries, a line each."""
    return b"".join(to_json(_fields(file)) + b"\n" for file in files)


def _fields(file: StoredFile) -> dict[str, object]:
    """Those of its entry."""
    return {
        "name": file.name.value,
        "size": file.size,
        "digest": str(file.digest),
        "content_type": file.content_type,
        "modified": file.modified,
        "created": file.created,
        "owner": file.owner,
        "metadata": file.metadata,
        "url": file_url(file.name),
    }
