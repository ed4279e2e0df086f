"""What `towline upload` does with what was selected."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from client.begun import BegunUploads, Origin, remembering
from client.connection import Connection
from client.display import Display
from client.errors import ClientError
from client.outcome import Exit, outcome_of
from client.progress import Complete, Failed, Listener
from client.selection import Selection
from client.small_files import Item
from client.source import UploadSource
from client.wording import Facts, size_words
from transfer.protocol.messages import IfExists


@dataclass(frozen=True, slots=True)
class UploadCommand:
    """What the command line says of every upload, and where they go."""

    connection: Connection
    display: Display
    if_exists: IfExists
    digest_algorithm: str

    async def one(self, source: UploadSource, name: str) -> Exit:
        """Upload one source. Raises what `Connection.upload` raises."""
        await self.connection.upload(
            source,
            name=name,
            if_exists=self.if_exists,
            digest_algorithm=self.digest_algorithm,
            on_event=self._listener({name: source if isinstance(source, Path) else None}),
        )
        return Exit.DONE

    async def selection(self, selection: Selection) -> Exit:
        """Upload all that was selected; what was skipped, refused or failed does not keep the others from it."""
        code = self._tell_skipped(selection)
        if selection.items:
            self.display.expect(len(selection.items), selection.size)
            code = max(code, await self._many(selection.items))
        return code

    def _tell_skipped(self, selection: Selection) -> Exit:
        code = Exit.DONE
        for skipped in selection.skipped:
            if skipped.failed:
                self.display.error(outcome_of(ClientError(skipped.reason)), str(skipped.path))
                code = Exit.FAILED
            else:
                facts = {"path": str(skipped.path), "reason": skipped.reason}
                self.display.notice("skipped", f"{skipped.path}: skipped: {skipped.reason}", facts)
        return code

    async def _many(self, items: Sequence[Item]) -> Exit:
        listener = self._listener({item.name: item.path for item in items})
        uploading = self.connection.upload_many(
            items, if_exists=self.if_exists, digest_algorithm=self.digest_algorithm, on_event=listener
        )
        tally = _Tally()
        async with aclosing(uploading) as arriving:  # type: ignore[type-var]
            async for result in arriving:
                tally.count(result)
        self.display.notice("summary", tally.sentence, tally.facts)
        return tally.exit

    def _listener(self, sources: Mapping[str, Path | None]) -> Listener:
        """The display; and this machine remembers which upload comes from which of these sources."""

        def origin_of(name: str) -> Origin | None:
            if name not in sources:
                return None
            source = sources[name]
            path = None if source is None else source.absolute()
            return Origin(source=path, if_exists=self.if_exists, digest=self.digest_algorithm)

        return remembering(BegunUploads(self.connection.server), self.display.show, origin_of)


@dataclass(slots=True)
class _Tally:
    """How many uploads ended how: sums only, for there may be millions."""

    complete: int = 0
    unchanged: int = 0
    failed: int = 0
    sent_bytes: int = 0
    exit: Exit = Exit.DONE

    def count(self, result: Complete | Failed) -> None:
        if isinstance(result, Failed):
            self.failed += 1
            self.exit = max(self.exit, outcome_of(result.error).exit)
        else:
            self.complete += 1
            self.unchanged += result.unchanged
            self.sent_bytes += result.sent_bytes

    @property
    def sentence(self) -> str:
        counts = f"{self.complete} files done, {self.unchanged} of them unchanged; {self.failed} failed"
        return f"{counts}; {size_words(self.sent_bytes)} sent"

    @property
    def facts(self) -> Facts:
        counts = {"complete": self.complete, "unchanged": self.unchanged, "failed": self.failed}
        return counts | {"sent_bytes": self.sent_bytes}
