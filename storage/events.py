"""What happens in a store, as it tells whoever wants to know: each when it is committed, in the order of the commits.

Only what this process did is told: another one that opens the same store tells its own.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from storage.store import Published, StoredFile
from transfer.protocol.names import Name


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload as it is now. `offset` is durable; the file is to be `subject`'s."""

    upload_id: str
    name: Name
    size: int | None
    offset: int
    subject: str


@dataclass(frozen=True, slots=True)
class Created:
    """An upload has begun."""

    upload: Upload


@dataclass(frozen=True, slots=True)
class Progressed:
    """An upload has another offset, or was taken up again: then it may have had another name `before`."""

    upload: Upload
    before: Name | None = None


@dataclass(frozen=True, slots=True)
class Completed:
    """A file is there; `upload` is what it was sent as, where that was no small file. When it is `unchanged`, the file
    was there before."""

    file: StoredFile
    upload: Upload | None = None
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class Cancelled:
    """An upload was dropped, also for having been silent too long: `expired`."""

    upload: Upload
    expired: bool = False


@dataclass(frozen=True, slots=True)
class Renamed:
    """A file that had the name `before` has another one."""

    file: StoredFile
    before: Name


@dataclass(frozen=True, slots=True)
class Deleted:
    """A file is gone, or another one has taken its place."""

    file: StoredFile


Event = Created | Progressed | Completed | Cancelled | Renamed | Deleted
Tell = Callable[[Event], None]
"""Is called in the loop, at once, and must not wait or raise."""


def tell_nobody(_: Event) -> None:
    """Nobody wants to know."""


def of_published(published: Published, upload: Upload | None = None) -> Iterator[Event]:
    """What has happened when something was published. A small file that was there already is no event."""
    if published.replaced is not None:
        yield Deleted(published.replaced)
    if upload is not None or not published.unchanged:
        yield Completed(published.file, upload, published.unchanged)
