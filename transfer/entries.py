"""How a stored file looks to clients: in listings, in `complete`, and as the answer to a rename."""

from typing import Final
from urllib.parse import quote

from pydantic_core import to_json

from storage.store import FilePage, StoredFile
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


def page_json(page: FilePage) -> bytes:
    """A page with the entries of its files. Making a model of each, which looks at every field once more, would take
    twice as long."""
    return to_json({"folders": page.folders, "files": [_fields(file) for file in page.files], "next": page.next})


def lines_json(page: FilePage) -> bytes:
    """The same, a line for each folder and each file."""
    lines: list[dict[str, object]] = [{"folder": folder} for folder in page.folders]
    return b"".join(to_json(line) + b"\n" for line in (*lines, *map(_fields, page.files)))


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
