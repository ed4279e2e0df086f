"""How a stored file looks to clients: in listings, in `complete`, and as the answer to a rename."""

from typing import Final
from urllib.parse import quote

from storage.store import StoredFile
from transfer.protocol.messages import FileEntry
from transfer.protocol.names import Name

FILES_PATH: Final = "/files/"


def file_url(name: Name) -> str:
    """The percent-encoded path of a file's content; `/` stays between its segments."""
    return FILES_PATH + quote(str(name), safe="/")


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
