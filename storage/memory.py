"""The reference store: plain dicts, no threads, obviously right. What other stores do is compared with this one.

It forgets what real disks forget: every upload has its bytes twice, as received and as durable, and what was not
synced is gone when its writer leaves. Everything is gone when the process ends.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Self

from storage.errors import (
    Fenced,
    Incomplete,
    NameTaken,
    NotFound,
    Replaced,
    StillWriting,
    TooLong,
    TooManyUploads,
    WrongDigest,
)
from storage.events import Cancelled, Created, Deleted, Progressed, Renamed, Tell, Upload, of_published, tell_nobody
from storage.grants import Grants
from storage.listing import folder_of, make_cursor, page_by_folder, position_of, read_cursor
from storage.memory_grants import MemoryGrants
from storage.naming import Occupant, check_early, settle
from storage.quota import compare_account, compare_link, outgrows
from storage.store import (
    Clock,
    FilePage,
    FileQuery,
    Published,
    StoredFile,
    UnfinishedUpload,
    UploadRequest,
    Writer,
    any_file,
    utc_now,
)
from transfer.protocol.digest import Digest, digest_bytes
from transfer.protocol.leaves import ABSENT, Buffer, leaf_checksum, leaf_range, leaf_size_for, leaves_of
from transfer.protocol.names import Name
from transfer.protocol.ranges import Range, RangeSet


@dataclass(slots=True)
class _Bytes:
    """Some bytes of a content, and which they are; zeros stand in the holes."""

    ranges: RangeSet = field(default_factory=RangeSet)
    content: bytearray = field(default_factory=bytearray)

    def copy(self) -> "_Bytes":
        return _Bytes(self.ranges, bytearray(self.content))

    def put(self, offset: int, content: bytes) -> None:
        end = offset + len(content)
        self.content.extend(bytes(max(0, end - len(self.content))))
        self.content[offset:end] = content
        self.ranges = self.ranges.add(offset, end)

    def cut(self, size: int) -> None:
        del self.content[size:]
        self.ranges = self.ranges.intersection(RangeSet.of((0, size)))


@dataclass(slots=True, kw_only=True)
class _Upload:
    upload_id: str
    lease: str
    request: UploadRequest
    leaf_size: int
    created: datetime
    active: datetime
    counted: UploadRequest
    """Against whose quotas it counts, with `reserved` bytes."""
    reserved: int
    received: _Bytes = field(default_factory=_Bytes)
    durable: _Bytes = field(default_factory=_Bytes)
    epoch: int = 0
    """Counts those who asked to write; all but the last are fenced."""
    members: "list[MemoryWriter]" = field(default_factory=list)
    """Those who write now, by one lease."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by those who write now, until they have left."""

    @property
    def as_event(self) -> Upload:
        request = self.request
        return Upload(self.upload_id, request.name, request.size, self.durable.ranges.leading, request.account)

    def fence(self) -> int:
        """Fence whoever writes or waits to; returns the epoch of the one who comes instead."""
        self.epoch += 1
        for member in self.members:
            member.dismiss()
        return self.epoch


@dataclass(frozen=True, slots=True)
class _Completed:
    owner: str
    file_id: str
    unchanged: bool
    wanted: Name
    at: datetime


class MemoryContent:
    """An open published content: it holds the bytes itself."""

    def __init__(self, file: StoredFile, content: bytes) -> None:
        self.file = file
        self._content = content

    async def read(self, offset: int, size: int) -> bytes:
        return self._content[offset : offset + size]


class MemoryWriter:
    """A `storage.store.Writer`, until it is fenced or over."""

    def __init__(
        self, store: "MemoryStore", upload: _Upload, existing: StoredFile | None, span: Range | None = None
    ) -> None:
        self.upload_id, self.lease, self.leaf_size = upload.upload_id, upload.lease, upload.leaf_size
        self.name, self.size, self.existing = upload.request.name, upload.request.size, existing
        self.on_damage: Callable[[Range], None] | None = None
        """Never called: memory does not rot."""
        self.over = self._dismissed = False
        self.scope: asyncio.Timeout | None = None
        """Ends the body of whoever writes."""
        self._span = span
        self._store, self._upload, self._epoch = store, upload, upload.epoch

    @property
    def fenced(self) -> bool:
        return self._dismissed or self._upload.epoch != self._epoch

    def dismiss(self) -> None:
        self._dismissed = True
        scope, self.scope = self.scope, None
        if scope is not None:
            scope.reschedule(0)

    def dismiss_others(self, span: Range | None = None) -> None:
        """All of them, or those whose range overlaps this one."""
        for other in self._upload.members:
            overlapping = span is None or (other._span is not None and other._span.intersection(span) is not None)
            if other is not self and overlapping:
                other.dismiss()

    @property
    def received(self) -> RangeSet:
        return self._upload.received.ranges

    @property
    def durable(self) -> RangeSet:
        return self._upload.durable.ranges

    @property
    def leaves(self) -> bytes:
        received = self._upload.received
        count = -(-received.ranges.furthest // self.leaf_size)
        end = count * self.leaf_size if self.size is None else self.size
        spans = [leaf_range(index, self.leaf_size, end) for index in range(count)]
        return b"".join(
            leaf_checksum(received.content[span.start : span.end]) if received.ranges.covers(*span) else ABSENT
            for span in spans
        )

    @property
    def hashed_offset(self) -> int:
        return self.received.leading

    def _check_lease(self) -> None:
        if self.fenced or self.over:
            raise Fenced
        self._upload.active = self._store.clock()

    async def write(self, offset: int, chunks: Sequence[Buffer]) -> None:
        self._check_lease()
        content = b"".join(chunks)
        end = offset + len(content)
        if self.size is not None and end > self.size:
            raise TooLong(self.size, end)
        self._upload.received.put(offset, content)

    async def sync(self) -> RangeSet:
        self._check_lease()
        if self.size is None:
            self._store.reserve(self._upload, self.received.total)
        before = self.durable.leading
        self._upload.durable = self._upload.received.copy()
        self._store.tell_progress(self._upload, before)
        return self.durable

    async def forget(self, span: Range) -> None:
        self._check_lease()
        before = self.durable.leading
        for kept in (self._upload.received, self._upload.durable):
            kept.ranges = kept.ranges.remove(*span)
        if self.size is None:
            self._store.reserve(self._upload, self.durable.total)
        self._store.tell_progress(self._upload, before)

    async def finish(self, digest: Digest) -> Published:
        await self.sync()
        size = self.received.furthest if self.size is None else self.size
        if holes := self.received.holes(size):
            raise Incomplete(size, holes)
        self.dismiss_others()
        content = bytes(self._upload.received.content[:size])
        actual = digest_bytes(content, self._upload.request.digest_algorithm)
        if actual != digest:
            raise WrongDigest(digest, actual, b"".join(leaves_of([content], self.leaf_size)))
        published = self._store.publish_upload(self._upload, content, digest)
        self.over = True
        return published

    async def cancel(self) -> None:
        self._check_lease()
        self.dismiss_others()
        self._store.drop_upload(self._upload)
        self.over = True


class MemoryStore:
    """A `storage.store.Store` that keeps everything in memory."""

    def __init__(
        self,
        *,
        pending_expiry: float = 86_400.0,
        take_over_seconds: float = 2.0,
        max_unfinished_uploads: int | None = None,
        clock: Clock = utc_now,
        tell: Tell = tell_nobody,
    ) -> None:
        self._tell = tell
        self._max_unfinished_uploads = max_unfinished_uploads
        self._pending_expiry = timedelta(seconds=pending_expiry)
        self._take_over_seconds = take_over_seconds
        self.clock = clock
        self._uploads: dict[str, _Upload] = {}
        self._completed: dict[str, _Completed] = {}
        self._files: dict[str, StoredFile] = {}
        """By the keys of their names."""
        self._contents: dict[str, bytes] = {}
        """By file_id."""
        self._grants = MemoryGrants(clock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        pass

    @property
    def healthy(self) -> bool:
        return True

    @property
    def grants(self) -> Grants:
        return self._grants

    def lose_unsynced(self) -> None:
        """For tests: what a power cut does. Writers are fenced, and of every upload only what is durable is left."""
        for upload in self._uploads.values():
            upload.fence()
            upload.received = upload.durable.copy()

    # ---------------------------------------------------------------------------------------------------- writing

    @asynccontextmanager
    async def begin(self, request: UploadRequest) -> AsyncIterator[Writer]:
        existing = check_early(request, self._look_up)
        limit = self._max_unfinished_uploads
        if limit is not None and self._count_unfinished(request) >= limit:
            raise TooManyUploads(limit)
        if request.size:
            self._check_promise(request, request.size)
        now = self.clock()
        upload = _Upload(
            upload_id=secrets.token_hex(16),
            lease=secrets.token_hex(16),
            request=request,
            leaf_size=leaf_size_for(request.size),
            created=now,
            active=now,
            counted=request,
            reserved=request.size or 0,
        )
        self._uploads[upload.upload_id] = upload
        self._tell(Created(upload.as_event))
        async with self._writing(upload, request, existing) as writer:
            yield writer

    @asynccontextmanager
    async def resume(
        self,
        upload_id: str,
        owner: str,
        request: UploadRequest | None = None,
        *,
        lease: str | None = None,
        within: str = "",
    ) -> AsyncIterator[Writer]:
        upload = self._upload_of(upload_id, owner, within)
        if lease is not None and lease != upload.lease:
            raise Fenced
        wanted = upload.request if request is None else replace(request, owner=owner)
        existing = check_early(wanted, self._look_up)  # before anybody is disturbed
        self._promise(upload, wanted)
        if lease is None:
            upload.lease = secrets.token_hex(16)
        async with self._writing(upload, wanted, existing) as writer:
            yield writer

    @asynccontextmanager
    async def join(
        self, upload_id: str, owner: str, lease: str, span: Range | None = None, *, within: str = ""
    ) -> AsyncIterator[Writer]:
        upload = self._upload_of(upload_id, owner, within)
        if lease != upload.lease:
            raise Fenced
        holder = next((member for member in upload.members if not member.fenced), None)
        if holder is None:
            existing = check_early(upload.request, self._look_up)
            async with self._writing(upload, upload.request, existing, span) as writer:
                yield writer
        else:
            writer = MemoryWriter(self, upload, holder.existing, span)
            if span is not None:
                writer.dismiss_others(span)
            async with self._seated(upload, writer):
                yield writer

    @asynccontextmanager
    async def _writing(
        self, upload: _Upload, request: UploadRequest, existing: StoredFile | None, span: Range | None = None
    ) -> AsyncIterator[MemoryWriter]:
        epoch = upload.fence()
        await self._take_turn(upload)
        if upload.epoch != epoch:  # superseded while waiting
            upload.turn.release()
            raise Fenced
        async with self._seated(upload, self._open_writer(upload, request, existing, span)) as writer:
            yield writer

    @asynccontextmanager
    async def _seated(self, upload: _Upload, writer: MemoryWriter) -> AsyncIterator[MemoryWriter]:
        """One of those who have the turn; the last who leaves gives it back."""
        upload.members.append(writer)
        try:
            async with asyncio.timeout(None) as writer.scope:
                yield writer
        except TimeoutError:
            if not writer.fenced:
                raise
            raise Fenced from None
        finally:
            writer.over, writer.scope, upload.active = True, None, self.clock()
            upload.members.remove(writer)
            if not upload.members:
                upload.received = upload.durable.copy()
                upload.turn.release()
        if writer.fenced:
            raise Fenced

    async def _take_turn(self, upload: _Upload) -> None:
        """Wait until all who were fenced have left. Raises StillWriting; NotFound when the upload went with them."""
        try:
            async with asyncio.timeout(self._take_over_seconds):
                await upload.turn.acquire()
        except TimeoutError:
            raise StillWriting from None
        try:
            self._upload_of(upload.upload_id, upload.request.owner)
        except NotFound:
            upload.turn.release()
            raise

    def _open_writer(
        self, upload: _Upload, request: UploadRequest, existing: StoredFile | None, span: Range | None
    ) -> MemoryWriter:
        before = upload.request.name
        upload.request, upload.active = request, self.clock()
        for kept in (upload.received, upload.durable):
            if request.size is not None:
                kept.cut(request.size)
        if upload.epoch > 1:
            self._tell(Progressed(upload.as_event, before=before))
        return MemoryWriter(self, upload, existing, span)

    def _upload_of(self, upload_id: str, owner: str, within: str = "") -> _Upload:
        upload = self._uploads.get(upload_id)
        if upload is None or upload.request.owner != owner or not upload.request.name.value.startswith(within):
            raise NotFound("this upload")
        return upload

    def drop_upload(self, upload: _Upload, *, expired: bool = False) -> None:
        del self._uploads[upload.upload_id]
        self._tell(Cancelled(upload.as_event, expired))

    def tell_progress(self, upload: _Upload, before: int) -> None:
        if upload.durable.ranges.leading != before:
            self._tell(Progressed(upload.as_event))

    async def cancel(self, upload_id: str, owner: str, *, within: str = "") -> None:
        upload = self._upload_of(upload_id, owner, within)
        upload.fence()
        await self._take_turn(upload)
        self.drop_upload(upload)
        upload.turn.release()

    async def expire(self) -> int:
        before = self.clock() - self._pending_expiry
        for upload in self._uploads.values():
            if upload.turn.locked():
                upload.active = self.clock()
        silent = [upload for upload in self._uploads.values() if upload.active < before]
        for upload in silent:
            self.drop_upload(upload, expired=True)
        self._completed = {key: completed for key, completed in self._completed.items() if completed.at >= before}
        self._grants.forget_links()
        return len(silent)

    async def find_unfinished(self, name: Name, owner: str) -> str | None:
        return next((upload.upload_id for upload in await self.unfinished(owner) if upload.name == name), None)

    async def unfinished(self, owner: str) -> list[UnfinishedUpload]:
        found = [
            UnfinishedUpload(
                upload_id=upload.upload_id,
                name=upload.request.name,
                size=upload.request.size,
                offset=upload.durable.ranges.leading,
                created=upload.created,
                active=upload.active,
                expires=upload.active + self._pending_expiry,
            )
            for upload in self._uploads.values()
            if upload.request.owner == owner
        ]
        return sorted(found, key=lambda upload: (upload.active, upload.created), reverse=True)

    async def find_completed(self, upload_id: str, owner: str) -> Published | None:
        completed = self._completed.get(upload_id)
        if completed is None or completed.owner != owner:
            return None
        found = (file for file in self._files.values() if file.file_id == completed.file_id)
        unchanged, wanted = completed.unchanged, completed.wanted
        return next((Published(file, unchanged=unchanged, wanted=wanted) for file in found), None)

    # ------------------------------------------------------------------------------------------------- publishing

    async def put(self, request: UploadRequest, content: Buffer, digest: Digest) -> Published:
        actual = digest_bytes(content, digest.algorithm)
        if actual != digest:
            raise WrongDigest(digest, actual)
        return self._publish(request, bytes(content), digest)

    def publish_upload(self, upload: _Upload, content: bytes, digest: Digest) -> Published:
        published = self._publish(upload.request, content, digest, upload)
        del self._uploads[upload.upload_id]
        self._completed[upload.upload_id] = _Completed(
            upload.request.owner,
            published.file.file_id,
            published.unchanged,
            upload.request.name,
            self.clock(),
        )
        return published

    def _publish(
        self, request: UploadRequest, content: bytes, digest: Digest, upload: _Upload | None = None
    ) -> Published:
        settled = settle(request, digest, self._look_up)
        if settled.unchanged is not None:
            return self._told(Published(settled.unchanged, unchanged=True), upload)
        # who was to replace a file was promised its bytes too, and it may be gone
        unpromised = upload is None or request.if_exists == "replace"
        if unpromised and outgrows(request, len(content), settled.replaced):
            self._check_quota(request, len(content), settled.replaced, upload)
        if settled.replaced is not None:
            self._remove(settled.replaced)
        file = StoredFile(
            file_id=secrets.token_hex(16),
            name=settled.name,
            size=len(content),
            digest=digest,
            content_type=request.content_type,
            modified=request.modified,
            created=self.clock(),
            owner=request.account,
            uploader=request.owner,
            via=request.via,
            metadata=dict(request.metadata),
        )
        self._files[file.name.key] = file
        self._contents[file.file_id] = content
        return self._told(Published(file, replaced=settled.replaced), upload)

    def _told(self, published: Published, upload: _Upload | None) -> Published:
        for event in of_published(published, None if upload is None else upload.as_event):
            self._tell(event)
        return published

    def _count_unfinished(self, request: UploadRequest) -> int:
        """The owner's; of one that comes through a link, all that came through it."""
        theirs = [upload.request for upload in self._uploads.values()]
        if request.via is not None:
            return sum(other.via == request.via for other in theirs)
        return sum(other.owner == request.owner for other in theirs)

    # ----------------------------------------------------------------------------------------------------- quotas

    async def usage(self, subject: str) -> int:
        return sum(size for account, _, size in self._counted() if account == subject)

    async def usage_via(self, link: str) -> int:
        return sum(size for _, via, size in self._counted() if via == link)

    def _counted(
        self, besides: _Upload | None = None, replacing: StoredFile | None = None
    ) -> Iterator[tuple[str, str | None, int]]:
        """Account, link and bytes of all that counts against quotas, but for these two."""
        for file in self._files.values():
            if file is not replacing:
                yield file.owner, file.via, file.size
        for upload in self._uploads.values():
            if upload is not besides:
                yield upload.counted.account, upload.counted.via, upload.reserved

    def reserve(self, upload: _Upload, reserved: int) -> None:
        """What is there of a stream. Raises QuotaExceeded."""
        if reserved > upload.reserved:
            self._check_promise(upload.counted, reserved, upload)
        upload.reserved = reserved

    def _promise(self, upload: _Upload, request: UploadRequest) -> None:
        """Raises QuotaExceeded. What was promised is not asked again, only what the upload, or its account, is now in
        place of that."""
        reserved = upload.durable.ranges.total if request.size is None else request.size
        if reserved > upload.reserved or _account(request) != _account(upload.counted):
            self._check_promise(request, reserved, upload)
        upload.counted, upload.reserved = request, reserved

    def _check_promise(self, request: UploadRequest, reserved: int, upload: _Upload | None = None) -> None:
        """Whether the upload may have that many bytes, less the file that it is to replace."""
        there = self._look_up(request.name) if request.if_exists == "replace" else None
        self._check_quota(request, reserved, None if there is None else there.file, upload)

    def _check_quota(
        self, request: UploadRequest, taken: int, replacing: StoredFile | None, upload: _Upload | None
    ) -> None:
        others = list(self._counted(upload, replacing))
        stored = sum(size for account, _, size in others if account == request.account)
        compare_account(request, stored + taken, taken)
        if request.via is not None:
            came = sum(size for _, via, size in others if via == request.via)
            compare_link(request, came + taken, taken)

    def _remove(self, file: StoredFile) -> None:
        del self._files[file.name.key], self._contents[file.file_id]

    def _look_up(self, name: Name, besides: StoredFile | None = None) -> Occupant | None:
        """What stands in the way of `name`, leaving `besides` out: names are one namespace, and `a` excludes `a/b`."""
        same, parents, folder = name.key, name.parents, name.key + "/"
        for key, file in self._files.items():
            if file is besides:
                continue
            if key == same:
                return Occupant(file=file)
            if key in parents or key.startswith(folder):
                return Occupant(conflict=file.name)
        return None

    # ------------------------------------------------------------------------------------------------------ files

    async def find(self, name: Name) -> StoredFile | None:
        file = self._files.get(name.key)
        return file if file is not None and file.name == name else None

    async def find_by_id(self, file_id: str) -> StoredFile | None:
        return next((file for file in self._files.values() if file.file_id == file_id), None)

    async def _get(self, name: Name) -> StoredFile:
        file = await self.find(name)
        if file is None:
            raise NotFound(f"the file {str(name)!r}")
        return file

    @asynccontextmanager
    async def open(self, file: StoredFile) -> AsyncIterator[MemoryContent]:
        content = self._contents.get(file.file_id)
        if content is None:
            raise NotFound(f"the file {str(file.name)!r}")
        yield MemoryContent(file, content)

    async def list_files(self, query: FileQuery) -> FilePage:
        found = [
            file
            for key, file in self._files.items()
            if file.name.value.startswith(query.prefix)
            and file.name.value.startswith(query.within)
            and query.contains.casefold() in key
        ]
        if not query.by_folder:
            return _page(query, found)
        level = [folder_of(file.name.value, query.prefix) for file in found]
        folders = sorted({folder for folder in level if folder is not None})
        files = [file for file, folder in zip(found, level, strict=True) if folder is None]
        return page_by_folder(
            query,
            lambda last, count: [folder for folder in folders if folder > last][:count],
            lambda query: _page(query, files),
        )

    async def rename(self, name: Name, new_name: Name) -> StoredFile:
        file = await self._get(name)
        taken = self._look_up(new_name, besides=file)
        if taken is not None:
            raise NameTaken(new_name, taken.file, taken.conflict)
        renamed = file._replace(name=new_name)
        del self._files[name.key]
        self._files[new_name.key] = renamed
        self._tell(Renamed(renamed, before=name))
        return renamed

    async def delete(self, name: Name, *, is_meant: Callable[[StoredFile], bool] = any_file) -> None:
        file = await self._get(name)
        if not is_meant(file):
            raise Replaced(name)
        self._remove(file)
        self._tell(Deleted(file))


def _account(request: UploadRequest) -> tuple[str, str | None, int | None, int | None]:
    """Against what it counts."""
    return request.account, request.via, request.quota, request.via_quota


def _page(query: FileQuery, found: list[StoredFile]) -> FilePage:
    after = read_cursor(query)
    found = sorted(found, key=lambda file: position_of(file, query.sort).rank, reverse=query.descending)
    if after is not None:
        found = [file for file in found if position_of(file, query.sort).follows(after, query)]
    page = found[: query.limit]
    return FilePage(page, make_cursor(query, page[-1]) if len(found) > len(page) else None)
