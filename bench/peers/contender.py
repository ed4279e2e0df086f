"""One way of moving a file, measured; and the check, outside of what is measured, that the file did arrive."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.processes import Argument, Failed, Transfer, Usage, finish


@dataclass(frozen=True)
class Source:
    """The file that is sent."""

    path: Path
    size: int
    digest: str

    @staticmethod
    def of(path: Path) -> "Source":
        return Source(path, path.stat().st_size, digest_of(path))


@dataclass(frozen=True)
class Contender:
    """One way of moving a file."""

    promises: str
    """What it has checked and synced when it says that it is done."""
    send: Callable[[], Transfer]
    arrives_in: Path | None
    """Where the file is afterwards, under whatever name; None where nothing is kept."""
    remove: Callable[[Path], object] = Path.unlink
    """Takes away what arrived, as its server would have it."""
    version: str = ""

    def run(self, source: Source) -> Transfer:
        """Send the file once, and make sure of it. Raises Failed."""
        measured = self.send()
        if self.arrives_in is not None:
            arrived = find(self.arrives_in, source)
            if digest_of(arrived) != source.digest:
                raise Failed(f"{arrived} is not what was sent")
            self.remove(arrived)
        return measured


def find(folder: Path, source: Source) -> Path:
    """The one file in a folder that has the size of what was sent. Raises Failed."""
    sizes = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size == source.size]
    if len(sizes) != 1:
        raise Failed(f"{len(sizes)} files of {source.size} bytes arrived in {folder}, not 1")
    return sizes[0]


def digest_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def without_service(command: Sequence[Argument]) -> Transfer:
    """Run what has no server."""
    done = finish(command)
    return Transfer(done.seconds, done.usage, Usage(0, 0), done.output)
