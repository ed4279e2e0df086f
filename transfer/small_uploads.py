"""A whole small file: its bytes follow its header at once, are kept in memory, and are published in a batch."""

from storage.store import Published, UploadRequest
from transfer.inbox import Cancel, Eof, Failure
from transfer.operation import Operation, Reply, Shared
from transfer.protocol import limits
from transfer.protocol.digest import Digest
from transfer.protocol.errors import (
    DigestMismatch,
    SizeMismatch,
)
from transfer.protocol.messages import (
    CancelledMessage,
    UploadHeader,
)
from transfer.protocol.receiver import Receiver


def is_small(header: UploadHeader) -> bool:
    """Whether this header begins a file that is kept in memory until it is whole."""
    return header.offset == 0 and header.size is not None and header.size <= limits.SMALL_FILE_BYTES


class SmallUpload(Operation):
    """A small file whose bytes follow its header at once."""

    without_digest = "eof without a digest: nothing is kept of a small file, send it again with one"

    def __init__(self, shared: Shared, header: UploadHeader, reply: Reply) -> None:
        super().__init__(shared, Receiver(size=header.size, early=True), reply)
        self._header = header
        self._sent_name = header.name

    @property
    def arriving_bytes(self) -> int:
        return self._inbox.size if self.open else 0

    async def run(self) -> None:
        """Raises TransferError, StorageError."""
        self._authorize(self._header)
        request = self._request(self._header)
        if (existing := await self._stored_already(self._header)) is not None:
            self._complete(Published(existing), unchanged=True)
            return
        self._pace.begin(self._shared.arrivals.received_bytes)
        while self._inbox.ending is None:
            await self._wait_for_client(None)
        ending = self._inbox.ending
        _, pieces = self._inbox.take(limits.SMALL_FILE_BYTES)
        size = sum(len(piece) for piece in pieces)
        try:
            if isinstance(ending, Eof):
                await self._publish(request, b"".join(pieces), ending.digest)
            elif isinstance(ending, Failure):
                raise ending.error
            elif isinstance(ending, Cancel):
                self.receiver.done()
                self._reply(CancelledMessage())
        finally:
            self._inbox.release(size)

    async def _publish(self, request: UploadRequest, content: bytes, digest: Digest) -> None:
        if digest.algorithm != request.digest_algorithm:
            raise DigestMismatch(
                f"the digest is {digest.algorithm}, the header said {request.digest_algorithm}", expected=str(digest)
            )
        if len(content) != request.size:
            raise SizeMismatch(
                f"eof after {len(content)} of {request.size} bytes", expected=request.size, received=len(content)
            )
        self._complete(await self._shared.store.put(request, content, digest))
