"""What a transfer tells while it runs. Whoever wants to know passes a function; it must not block.

Offsets and sizes are bytes, `seconds` are seconds. `name` is the file's name on the server.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from client.errors import ClientError
from transfer.protocol.digest import Digest
from transfer.protocol.errors import TransferError
from transfer.protocol.messages import FileEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """A connection to the server is there. `name` is empty where it is for several files."""

    name: str
    connections: int
    """How many there are for this upload now."""
    congestion: str | None
    """What the sender goes by, as the system calls it; None where it does not say."""
    reason: str | None
    """Why that is not bbr."""
    round_trip: float | None
    """Seconds; None where the system does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The server said where to go on: `offset` is durable; above 0 the upload is resumed there."""

    name: str
    upload_id: str
    offset: int
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """Every byte below `offset` survives a power cut; while several connections send parts of the file, so many bytes
    do."""

    name: str
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """So many connections send parts of the file from now on, and why."""

    name: str
    count: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparing:
    """The name has content of the same size: the source is hashed before anything is sent; it is at `offset`.

    Of a download: what is on this side already is hashed before anything is received.
    """

    name: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resending:
    """`size` bytes that were there already differ from the source, or were damaged, and are sent once more."""

    name: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifying:
    """All bytes are sent; the server is hashing, at `offset`."""

    name: str
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The connection broke; the next attempt is in `seconds`."""

    name: str
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """The file is published. `sent_bytes` counts the file's bytes that this call put on the wire."""

    name: str
    file: FileEntry
    sent_bytes: int
    unchanged: bool
    resumed_at: int
    """The offset that the first `ready` gave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """One of several uploads was refused or failed; the others go on."""

    name: str
    error: TransferError | ClientError | OSError


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiving:
    """A download begins; above 0, `offset` is where it goes on in what an earlier attempt left."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """Every byte below `offset` is in the partial file, and survives this process."""

    name: str
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """The file is at `path`, verified and synced. `received_bytes` counts what this call fetched."""

    name: str
    path: Path
    size: int
    digest: Digest
    received_bytes: int
    unchanged: bool
    resumed_at: int
    """The offset of the first `Receiving`."""


Event = (
    Connected
    | Ready
    | Ack
    | Connections
    | Comparing
    | Resending
    | Verifying
    | Waiting
    | Complete
    | Failed
    | Receiving
    | Received
    | Downloaded
)
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener of those who do not listen."""
