"""What `towline download` does with several names, or with all files of a folder."""

import asyncio
import stat
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from client.connection import Connection
from client.errors import CannotConnect, ClientError
from client.http import parse_name
from client.many import AT_ONCE
from client.many_downloads import Offered
from client.moments import moment_of
from client.progress import Downloaded, Failed
from client.target_folder import NoPlace, TargetFolder
from client.terminal.display import Display
from client.terminal.outcome import Exit
from client.terminal.tally import Tally
from transfer.protocol.errors import NotFound, TransferError
from transfer.protocol.messages import FileEntry
from transfer.protocol.names import Name


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadOptions:
    """What the command line says of every download."""

    force: bool = False
    recursive: bool = False
    """Whether a name without `/` at its end stands for a folder, too."""
    parallel: int = AT_ONCE
    by_digest: bool = False
    """Whether what has the same size and time of change here is compared by its digest still."""


@dataclass(slots=True)
class DownloadCommand:
    """Downloads by one connection, and what is told of them."""

    connection: Connection
    display: Display
    options: DownloadOptions
    tally: Tally = field(default_factory=lambda: Tally("received"))

    async def one(self, name: str, to: Path | None) -> Exit:
        """Download a file. Raises what `Connection.download` raises, and of a folder says how to have it."""
        try:
            await self.connection.download(name, to, force=self.options.force, on_event=self.display.show)
        except NotFound:
            if await self._is_folder(name):
                raise NotFound(f"{name!r} is a folder: {name + '/'!r} or --recursive downloads what is in it") from None
            raise
        return Exit.DONE

    async def several(self, names: Sequence[str], to: Path | None) -> Exit:
        """Download these files, and what is in these folders; one that fails does not keep the others from it."""
        folder = TargetFolder(_root(names, to))
        try:
            offered = await self._offered(names, folder)
            self.display.expect(len(offered), sum(file.size for file in offered.values()))
            left = await self._changed(offered.values())
            self.tally.compared()
            downloading = self.connection.download_many(
                left,
                folder,
                force=self.options.force,
                parallel=self.options.parallel,
                on_event=self.display.show,
            )
            async with aclosing(downloading) as results:  # type: ignore[type-var]
                async for result in results:
                    self._ended(result)
        finally:
            self.display.notice("summary", self.tally.sentence, self.tally.facts)
        return self.tally.exit

    async def _is_folder(self, name: str) -> bool:
        async with aclosing(self.connection.files_below(f"{name}/")) as entries:  # type: ignore[type-var]
            return await anext(entries, None) is not None

    def _ended(self, result: Downloaded | Failed) -> None:
        self.display.show(result)
        self.tally.count(result)

    def _fail(self, name: str, error: TransferError | ClientError) -> None:
        self._ended(Failed(name=name, error=error))

    # --------------------------------------------------------------------------------------------- what there is

    async def _offered(self, names: Sequence[str], folder: TargetFolder) -> dict[str, Offered]:
        """The files that are meant, by their names."""
        offers = _Offers(folder)
        for wish in [_Wish.of(name, recursive=self.options.recursive, alone=len(names) == 1) for name in names]:
            found = False
            async with aclosing(self._entries(wish)) as entries:  # type: ignore[type-var]
                async for entry in entries:
                    found = True
                    if not str(entry.name).startswith(wish.prefix or wish.name):
                        raise CannotConnect(
                            self.connection.server, f"asked for {wish.words}, its listing has {str(entry.name)!r}"
                        )
                    try:
                        offers.take(entry, str(entry.name)[wish.cut :])
                    except NoPlace as refused:
                        self._fail(str(entry.name), refused)
            if not found:
                self._fail(wish.name, NotFound(f"there is no file {wish.words}, or it is not yours"))
        return offers.by_name

    def _entries(self, wish: "_Wish") -> AsyncIterator[FileEntry]:
        """Of the folder or of the file."""
        if wish.prefix is not None:
            return self.connection.files_below(wish.prefix, on_event=self.display.show)
        return self.connection.stored_files([wish.name], on_event=self.display.show)

    async def _changed(self, offered: Iterable[Offered]) -> list[Offered]:
        """What is not here yet; of the others it is told that they are unchanged."""
        if self.options.by_digest:
            return list(offered)
        same, others = await asyncio.to_thread(_divided, list(offered))
        for file in same:
            self._ended(file.unchanged)
        return others


@dataclass(frozen=True, slots=True)
class _Wish:
    """What one name of the command line means: a file, or, with `prefix`, the folder whose files begin so. So many
    letters of their names are not on their way below the target folder."""

    name: str
    prefix: str | None
    cut: int

    @classmethod
    def of(cls, given: str, *, recursive: bool, alone: bool) -> "_Wish":
        """Raises InvalidName."""
        bare = given.rstrip("/")
        name = str(parse_name(bare)) if bare else ""
        above = len(name) - len(name.rpartition("/")[2])
        if not (recursive or given.endswith("/")):
            return cls(name, None, above)
        prefix = f"{name}/" if name else ""
        return cls(name, prefix, len(prefix) if alone else above)

    @property
    def words(self) -> str:
        return f"{self.name!r}" if self.prefix is None else f"in {self.prefix or '/'!r}"


class _Offers:
    """Files with their places in a folder, each once."""

    def __init__(self, folder: TargetFolder) -> None:
        self.by_name: dict[str, Offered] = {}
        self._folder = folder
        self._takers: dict[str, str] = {}
        """By the keys of ways: there are file systems on which Cat.jpg and cat.jpg are one file."""

    def take(self, entry: FileEntry, way: str) -> None:
        """One that the listing has; after a break it has those from its beginning again. Raises NoPlace."""
        name, place = str(entry.name), self._folder.place_of(way)
        if (other := self._takers.setdefault(Name.kept(way).key, name)) != name:
            raise NoPlace(f"{other} goes to the same place: download it into another folder")
        self.by_name.setdefault(name, Offered(entry.name, place, entry.size, entry.digest, entry.modified))


def _root(names: Sequence[str], to: Path | None) -> Path:
    """The folder that stands for the only folder, or has what there is of several."""
    if to is not None or len(names) > 1:
        return to or Path()
    return Path(names[0].rstrip("/").rpartition("/")[2])


def _divided(offered: Sequence[Offered]) -> tuple[list[Offered], list[Offered]]:
    """Those that have the same size and time of change here, and the others. Blocks."""
    same: list[Offered] = []
    others: list[Offered] = []
    for file in offered:
        (same if _seems_same(file) else others).append(file)
    return same, others


def _seems_same(file: Offered) -> bool:
    try:
        status = file.place.lstat()
    except OSError:  # whoever downloads it says why
        return False
    is_file, modified = stat.S_ISREG(status.st_mode), moment_of(status.st_mtime_ns)
    return is_file and status.st_size == file.size and modified is not None and modified == file.modified
