"""Files that are there before a test begins."""

from datetime import datetime

from storage.store import Store, StoredFile, UploadRequest
from transfer.access.principal import ANONYMOUS
from transfer.protocol.digest import DEFAULT_ALGORITHM, digest_bytes
from transfer.protocol.names import Name


async def put(
    store: Store,
    name: str,
    content: bytes = b"cargo",
    *,
    algorithm: str = DEFAULT_ALGORITHM,
    modified: datetime | None = None,
    content_type: str = "application/octet-stream",
    owner: str = ANONYMOUS.subject,
) -> StoredFile:
    """Publish a small file."""
    request = UploadRequest(
        name=Name.parse(name),
        size=len(content),
        owner=owner,
        if_exists="replace",
        digest_algorithm=algorithm,
        modified=modified,
        content_type=content_type,
    )
    return (await store.put(request, content, digest_bytes(content, algorithm))).file
