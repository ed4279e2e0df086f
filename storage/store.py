"""The interfaces of a store, and what every store promises.

1. What `Writer.sync` returned is there after SIGKILL, a power cut, a full disk and a failed write or sync: a later
   writer's `durable` covers it (unless `forget` or a smaller size was asked for, or the disk itself changed what it
   had stored: then holes are named).
2. A file is listed only when its bytes, its directory entry and its catalog row are durable and its digest matched.
   Never a partial file, never a wrong one.
3. Published content is immutable; `replace` swaps which content a name means, atomically.
4. Writers of one lease at a time have an upload; a fenced one writes nothing after the newcomer was let in.
5. Opening a store recovers it without an operator, reads no file content, and may itself be killed at any point.

Sizes and offsets are bytes, times are aware datetimes in UTC. A store knows names, digests, leaves and ranges; it
does not know messages, sockets or who may do what: owners are only compared, and a request says what it may do.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Protocol, Self

from storage.grants import Grants
from transfer.protocol.digest import DEFAULT_ALGORITHM, Digest
from transfer.protocol.leaves import Buffer
from transfer.protocol.names import Name
from transfer.protocol.ranges import Range, RangeSet

Clock = Callable[[], datetime]
"""Gives the time; tests have one that they set."""
IfExists = Literal["error", "replace", "rename"]
SortKey = Literal["name", "size", "created", "modified"]


def utc_now() -> datetime:
    return datetime.now(UTC)


def any_file(_: "StoredFile") -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRequest:
    """What an upload is to become.

    `owner` is who may go on with it; the file becomes `subject`'s, which is the owner where nothing else is said, and
    counts against their `quota`. What came `via` a request link counts against its `via_quota` too. A file is the
    caller's own when they uploaded it or it is theirs; of others' files they may learn whether the content is the same
    (`may_compare`), and may put theirs in its place (`may_replace`). Either is of names
    that begin with `within` alone: what has theirs in another case may be beyond that.
    """

    name: Name
    size: int | None
    owner: str
    subject: str | None = None
    via: str | None = None
    quota: int | None = None
    via_quota: int | None = None
    within: str = ""
    may_compare: bool = True
    may_replace: bool = True
    if_exists: IfExists = "error"
    digest_algorithm: str = DEFAULT_ALGORITHM
    modified: datetime | None = None
    content_type: str = "application/octet-stream"
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def account(self) -> str:
        """Whose the file becomes, and whose quota it counts against."""
        return self.owner if self.subject is None else self.subject


class StoredFile(NamedTuple):
    """A published file. `file_id` names its content for ever; the name may come to mean another one. It is `owner`'s;
    `uploader` sent it, `via` a request link or as somebody who has an account.

    A tuple, for a page of a listing makes a thousand of them.
    """

    file_id: str
    name: Name
    size: int
    digest: Digest
    content_type: str
    modified: datetime | None
    created: datetime
    owner: str
    uploader: str
    metadata: dict[str, str]
    via: str | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """The file that a finished upload became; `unchanged` when it was there already. `wanted` is the name that it was
    to have, where that is known: the file may have got another one, then or since. It took the place of `replaced`."""

    file: StoredFile
    unchanged: bool = False
    wanted: Name | None = field(default=None, compare=False)
    replaced: StoredFile | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedUpload:
    """An upload as a listing shows it. `offset` is durable."""

    upload_id: str
    name: Name
    size: int | None
    offset: int
    created: datetime
    active: datetime
    expires: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FileQuery:
    """Which files, in which order. `prefix` is of the name, and so is `within`; `contains` a part of it, case
    ignored. `by_folder`: those that have another `/` after the prefix are not told, but the folders they are in."""

    prefix: str = ""
    within: str = ""
    contains: str = ""
    by_folder: bool = False
    sort: SortKey = "name"
    descending: bool = False
    limit: int = 1_000
    cursor: str | None = None
    """What a page before gave as `next`; ValueError when it is not of such a query."""


@dataclass(frozen=True, slots=True)
class FilePage:
    """`folders` come before all files and in the order of their names, each from the prefix's beginning to its `/`."""

    files: list[StoredFile]
    next: str | None
    folders: list[str] = field(default_factory=list)


class Writer(Protocol):
    """The right to write to one upload, within `async with`: alone, or beside others who have the same lease. They see
    what all of them wrote, and a durable point is one for all.

    When a newcomer takes the upload over, the body of the `async with` is cancelled at its next await, writes that
    already run are drained, and the `async with` raises Fenced. Leaving it, however, releases the lease and keeps the
    upload; bytes that were not synced may be lost.
    """

    upload_id: str
    lease: str
    """The token by which the same holder comes back."""
    leaf_size: int
    existing: StoredFile | None
    """The file that had the name when the writer was opened, where the caller may know of it."""
    on_damage: Callable[[Range], None] | None
    """Called when re-hashing finds a leaf that is not as recorded; it has become a hole."""

    @property
    def name(self) -> Name: ...

    @property
    def size(self) -> int | None: ...

    @property
    def received(self) -> RangeSet:
        """What was written, synced or not."""
        ...

    @property
    def durable(self) -> RangeSet:
        """What survives a power cut."""
        ...

    @property
    def leaves(self) -> bytes:
        """The checksums of all leaves up to the furthest received byte, joined; zeros for absent ones."""
        ...

    @property
    def hashed_offset(self) -> int:
        """How far the running digest is."""
        ...

    async def write(self, offset: int, chunks: Sequence[Buffer]) -> None:
        """Write adjacent chunks at `offset`. Returns when they are written, not synced. Cancelling does not stop a
        write that runs. Raises TooLong before writing anything, NoSpace, WriteFailed."""
        ...

    async def sync(self) -> RangeSet:
        """A durable point: everything written before the call is synced and recorded; returns `durable`.
        May run beside `write`. Raises Fenced, NoSpace, WriteFailed; QuotaExceeded for a stream, and then `durable` is
        what it was."""
        ...

    async def forget(self, span: Range) -> None:
        """Record that `span` is missing, durably, before its bytes are written anew (a rewrite)."""
        ...

    async def finish(self, digest: Digest) -> Published:
        """Sync, compare, publish; the size of a stream becomes what was received. Once all is there, whoever else
        writes to the upload is fenced. The upload is kept on errors. Raises Incomplete, WrongDigest, NameTaken,
        NotYours, QuotaExceeded, Fenced, NoSpace, WriteFailed."""
        ...

    async def cancel(self) -> None:
        """Drop the upload and its bytes; whoever else writes to it is fenced. Nothing else may be called
        afterwards."""
        ...


class Content(Protocol):
    """An open published content; it can be read to its end even when its file is deleted meanwhile."""

    file: StoredFile

    async def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes at `offset`, empty at the end. Raises WriteFailed on a disk error."""
        ...


class Store(Protocol):
    """Where uploads and files are kept. Open it with `async with`: entering recovers (StoreRefused when it can't)."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *exc_info: object) -> None: ...

    @property
    def healthy(self) -> bool:
        """Whether writes are expected to work."""
        ...

    @property
    def grants(self) -> Grants:
        """What was handed out. Use it while the store is open."""
        ...

    def begin(self, request: UploadRequest) -> AbstractAsyncContextManager[Writer]:
        """A new upload. Raises NameTaken where `if_exists` is `error` and it is plain that the content differs (the
        sizes do, or nobody may know) or the name cannot be; NotYours where it is `replace` and that is not allowed;
        TooManyUploads; QuotaExceeded; NoSpace."""
        ...

    def resume(
        self,
        upload_id: str,
        owner: str,
        request: UploadRequest | None = None,
        *,
        lease: str | None = None,
        within: str = "",
    ) -> AbstractAsyncContextManager[Writer]:
        """Go on with the owner's unfinished upload: cut or extended to the request's size, its other fields replaced;
        without a request it stays as it is. One whose name does not begin with `within` is not there.

        Without `lease` whoever writes to it is fenced and the lease is a new one; with the current `lease` its
        holder's older writer is. Raises NotFound, NameTaken, NotYours, QuotaExceeded, NoSpace, Fenced (`lease` is not
        current), StillWriting.
        """
        ...

    def join(
        self, upload_id: str, owner: str, lease: str, span: Range | None = None, *, within: str = ""
    ) -> AbstractAsyncContextManager[Writer]:
        """Go on with it beside those who have this `lease`, where they are in this process; else as `resume` with the
        lease and without a request. Who writes `span` in place of an older one whose span overlaps fences that one.
        Raises what `resume` does."""
        ...

    async def find_unfinished(self, name: Name, owner: str) -> str | None:
        """The id of the owner's most recently active unfinished upload of this name."""
        ...

    async def find_completed(self, upload_id: str, owner: str) -> Published | None:
        """What the upload became, while it is remembered: as long as an unfinished one, and while the file is there."""
        ...

    async def put(self, request: UploadRequest, content: Buffer, digest: Digest) -> Published:
        """Publish a small file whole, durable in one batch with others. Raises NameTaken, NotYours, WrongDigest,
        QuotaExceeded, NoSpace, WriteFailed."""
        ...

    async def find(self, name: Name) -> StoredFile | None:
        """The file of this name, in exactly this spelling."""
        ...

    async def find_by_id(self, file_id: str) -> StoredFile | None:
        """The file that has this content, by whatever name."""
        ...

    def open(self, file: StoredFile) -> AbstractAsyncContextManager[Content]:
        """Its content. Raises NotFound when it was deleted meanwhile."""
        ...

    async def usage(self, subject: str) -> int:
        """The bytes stored and reserved of a subject: the sizes of their files and of unfinished uploads; of a stream,
        what is durable of it."""
        ...

    async def usage_via(self, link: str) -> int:
        """The same of what came through a request link."""
        ...

    async def list_files(self, query: FileQuery) -> FilePage:
        """One page. Raises ValueError for a cursor that is none."""
        ...

    async def rename(self, name: Name, new_name: Name) -> StoredFile:
        """Raises NotFound, NameTaken."""
        ...

    async def delete(self, name: Name, *, is_meant: Callable[[StoredFile], bool] = any_file) -> None:
        """Delete the file that has the name, if that is meant: nothing comes between the question and the deletion.
        Raises NotFound, Replaced."""
        ...

    async def unfinished(self, owner: str) -> list[UnfinishedUpload]:
        """The owner's unfinished uploads, the most recently active first."""
        ...

    async def cancel(self, upload_id: str, owner: str, *, within: str = "") -> None:
        """Drop an unfinished upload; whoever writes to it is fenced. One whose name does not begin with `within` is not
        there. Raises NotFound, StillWriting."""
        ...

    async def expire(self) -> int:
        """Drop uploads that were silent for too long, forget completed ones as old; returns how many were dropped."""
        ...
