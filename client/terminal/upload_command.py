"""What `towline upload` does with what was selected. Of several files the server is asked once which it has."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from client.connection import Connection
from client.errors import ClientError
from client.many import AT_ONCE
from client.progress import Complete, Listener
from client.source import UploadSource
from client.terminal.begun import BegunUploads, Origin, remembering
from client.terminal.comparison import Comparison
from client.terminal.deletion import delete_source
from client.terminal.display import Display
from client.terminal.outcome import Exit, outcome_of
from client.terminal.rehearsal import Rehearsal
from client.terminal.selection import Selected, Selection
from client.terminal.tally import Tally
from transfer.protocol.errors import Forbidden
from transfer.protocol.messages import IfExists


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadOptions:
    """What the command line says of every upload."""

    if_exists: IfExists = "error"
    digest_algorithm: str = "sha256"
    parallel: int = AT_ONCE
    by_digest: bool = False
    """Whether what has the same size and time of change on the server is compared by its digest still."""
    delete_sources: bool = False
    may_list: bool = True
    """Whether the server may be asked what it has: not through a request link."""


@dataclass(slots=True)
class UploadCommand:
    """Uploads by one connection, and what is told of them."""

    connection: Connection
    display: Display
    options: UploadOptions
    tally: Tally = field(default_factory=lambda: Tally("sent"))

    async def one(self, source: UploadSource, name: str) -> Exit:
        """Upload one source. Raises what `Connection.upload` raises."""
        await self.connection.upload(
            source,
            name=name,
            if_exists=self.options.if_exists,
            digest_algorithm=self.options.digest_algorithm,
            on_event=self._listener({name: source if isinstance(source, Path) else None}),
        )
        return Exit.DONE

    async def one_file(self, found: Selected) -> Exit:
        """Upload the only file there is. Raises what `Connection.upload` raises."""
        await self.one(found.path, found.name)
        await self._delete(found)
        return self.tally.exit

    async def selection(self, selection: Selection) -> Exit:
        """Upload all that was selected; what was skipped, refused or failed does not keep the others from it."""
        self._tell_skipped(selection)
        self.display.expect(len(selection.items), selection.size)
        try:
            await self._upload({found.name: found for found in selection.items})
        finally:
            self.display.notice("summary", self.tally.sentence, self.tally.facts)
        return self.tally.exit

    async def rehearse(self, selection: Selection) -> Exit:
        """Say what `selection` would do, and change nothing."""
        self._tell_skipped(selection)
        would = Rehearsal(self.display, self.tally, self.options.if_exists)
        await would.run(await self._compared(selection.items, would.unchanged))
        return self.tally.exit

    def _tell_skipped(self, selection: Selection) -> None:
        for path in selection.excluded:
            self.tally.excluded += 1
            self.display.notice("excluded", f"{path}: excluded", {"path": str(path)}, detail=True)
        for skipped in selection.skipped:
            if skipped.failed:
                self.tally.fail()
                self.display.error(outcome_of(ClientError(skipped.reason)), path=skipped.path)
            else:
                self.tally.skipped += 1
                facts = {"path": str(skipped.path), "reason": skipped.reason}
                self.display.notice("skipped", f"{skipped.path}: skipped: {skipped.reason}", facts)

    async def _upload(self, files: dict[str, Selected]) -> None:
        if self.options.delete_sources:  # nothing is deleted for what a listing said some time ago: the server is asked
            comparison = Comparison(files.values(), by_digest=True)
        else:
            comparison = await self._compared(files.values(), self._ended)
        self.tally.compared()
        if not comparison.left:
            return
        uploading = self.connection.upload_many(
            comparison.items,
            if_exists=self.options.if_exists,
            digest_algorithm=self.options.digest_algorithm,
            parallel=self.options.parallel,
            on_event=self._listener({name: found.path for name, found in files.items()}),
        )
        async with aclosing(uploading) as results:  # type: ignore[type-var]
            async for result in results:
                self.tally.count(result)
                if isinstance(result, Complete):
                    await self._delete(files[result.name])

    def _listener(self, sources: Mapping[str, Path | None]) -> Listener:
        """The display; and this machine remembers which upload comes from which of these sources."""

        def origin_of(name: str) -> Origin | None:
            if name not in sources:
                return None
            source = sources[name]
            path = None if source is None else source.absolute()
            return Origin(source=path, if_exists=self.options.if_exists, digest=self.options.digest_algorithm)

        return remembering(BegunUploads(self.connection.server), self.display.show, origin_of)

    def _ended(self, unchanged: Complete) -> None:
        self.display.show(unchanged)
        self.tally.count(unchanged)

    async def _compared(self, files: Iterable[Selected], ended: Callable[[Complete], None]) -> Comparison:
        """The files beside what the server has, as far as it says that; `ended` is told of those that are unchanged."""
        comparison = Comparison(files, by_digest=self.options.by_digest)
        if not self.options.may_list:
            return comparison
        try:
            stored = self.connection.stored_files(comparison.left.keys(), on_event=self.display.show)
            async with aclosing(stored) as entries:  # type: ignore[type-var]
                async for entry in entries:
                    if (unchanged := comparison.look_at(entry)) is not None:
                        ended(unchanged)
        except Forbidden:
            self.display.remark("this token may not list files: each is sent, and the server says which it has")
        return comparison

    async def _delete(self, found: Selected) -> None:
        """Delete a source whose content is on the server, where that is wanted."""
        if not self.options.delete_sources:
            return
        try:
            await asyncio.to_thread(delete_source, found)
        except (ClientError, OSError) as kept:
            self.tally.fail()
            self.display.error(outcome_of(kept), path=found.path)
        else:
            self.tally.deleted += 1
            self.display.notice("deleted", f"{found.path}: deleted here", {"path": str(found.path)})
