"""What can go wrong in a store: a class for each thing a caller would do differently.

StorageError
├── NotFound            no such upload or file, or another owner's
├── NameTaken           other content has the name, or stands in its way as a folder
├── NotYours            somebody else's file has the name, which the caller may not replace
├── Replaced            the name has another file than the one that was meant
├── Fenced              another connection has the lease
├── StillWriting        the former holder's last write has not returned
├── Incomplete          bytes are missing at the end
├── TooLong             more bytes than the size
├── WrongDigest         the content has another digest
├── TooManyUploads      the owner has as many unfinished uploads as one may have
├── QuotaExceeded       the subject's quota, or the request link's size, would be passed
├── TooManyLinks        the subject has as many links of a kind as one may have
├── NoSpace             the free floor would be passed, or the disk is full
├── WriteFailed         a write or sync failed
└── StoreRefused        the store cannot be opened: locked, foreign, or its catalog is missing
"""

from typing import TYPE_CHECKING

from transfer.protocol.digest import Digest
from transfer.protocol.names import Name
from transfer.protocol.ranges import Range

if TYPE_CHECKING:
    from storage.store import StoredFile


class StorageError(Exception):
    """The root of all of them."""


class NotFound(StorageError):
    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what} is not here"


class NameTaken(StorageError):
    """`existing` has the name; it is None where `conflict` is a file above the name, or a folder of that name. Where
    they are not `disclosed`, the caller may not learn what they are."""

    def __init__(
        self, name: Name, existing: "StoredFile | None", conflict: Name | None = None, *, disclosed: bool = True
    ) -> None:
        super().__init__(name)
        self.name = name
        self.existing = existing
        self.conflict = conflict
        self.disclosed = disclosed

    def __str__(self) -> str:
        if not self.disclosed:
            return f"the name {str(self.name)!r} is taken"
        if self.existing is None:
            return f"the name {str(self.name)!r} does not go together with the file {str(self.conflict)!r}"
        return f"the name {str(self.name)!r} is taken by other content"


class NotYours(StorageError):
    def __init__(self, name: Name) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"the file {str(self.name)!r} is somebody else's"


class Replaced(StorageError):
    def __init__(self, name: Name) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"the file {str(self.name)!r} was replaced meanwhile"


class Fenced(StorageError):
    def __str__(self) -> str:
        return "another connection has taken this upload over"


class StillWriting(StorageError):
    def __str__(self) -> str:
        return "the last write of the connection that had this upload has not returned yet"


class Incomplete(StorageError):
    def __init__(self, size: int, holes: tuple[Range, ...]) -> None:
        super().__init__(size, holes)
        self.size = size
        self.holes = holes

    @property
    def missing_bytes(self) -> int:
        return sum(hole.size for hole in self.holes)

    def __str__(self) -> str:
        return f"{self.missing_bytes} of {self.size} bytes are missing, the first at offset {self.holes[0].start}"


class TooLong(StorageError):
    def __init__(self, size: int, end: int) -> None:
        super().__init__(size, end)
        self.size = size
        self.end = end

    def __str__(self) -> str:
        return f"bytes up to {self.end} in an upload of {self.size}"


class WrongDigest(StorageError):
    """`leaves` are the checksums of the content as it is on disk, joined; empty for a small file."""

    def __init__(self, expected: Digest, actual: Digest, leaves: bytes = b"") -> None:
        super().__init__(expected, actual)
        self.expected = expected
        self.actual = actual
        self.leaves = leaves

    def __str__(self) -> str:
        return f"the content has the digest {self.actual}, not {self.expected}"


class TooManyUploads(StorageError):
    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"there are {self.limit} unfinished uploads already"


class QuotaExceeded(StorageError):
    """The file or upload needs `needed` bytes in all; `available` of the `limit` are left for it. Where that is not
    `disclosed`, it is not the caller's own quota."""

    def __init__(self, needed: int, available: int, limit: int, *, disclosed: bool = True) -> None:
        super().__init__(needed, available, limit)
        self.needed = needed
        self.available = available
        self.limit = limit
        self.disclosed = disclosed

    def __str__(self) -> str:
        if not self.disclosed:
            return f"{self.needed} bytes do not fit into the quota of whoever made the link"
        return f"{self.needed} bytes do not fit into the quota of {self.limit}: {self.available} are left"


class TooManyLinks(StorageError):
    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"there are {self.limit} such links already"


class NoSpace(StorageError):
    """`needed` bytes do not fit; `available` are free above the floor, as far as is known."""

    def __init__(self, needed: int, available: int) -> None:
        super().__init__(needed, available)
        self.needed = needed
        self.available = available

    def __str__(self) -> str:
        return f"{self.needed} bytes do not fit: {self.available} are free"


class WriteFailed(StorageError):
    def __str__(self) -> str:
        return "a write or sync failed; what was acknowledged is safe"


class StoreRefused(StorageError):
    """The sentence says what to do."""
