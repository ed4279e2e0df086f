"""How long a start takes with many unfinished uploads and files, and whether it reads any of their content.

    ./run bench startup [--uploads 10000] [--files 100000]

Objects are sparse: a GiB each by name, nothing on the disk. Whether one was read is seen by its time of last access,
which was set to 1970 before and moves at the first read (relatime, which is the default; a probe shows whether it
does). What the process read in all, the catalog included, is `rchar` of /proc/PID/io. All is compared with the start
of an empty store.
"""

import asyncio
import os
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import sqlalchemy as sa

from bench.figures import Table, at_most, number
from bench.processes import MIB, peak_mib, scratch
from bench.report import Report, parser, publish
from storage.objects import OPEN_MODE, PUBLISHED_MODE, new_object_id
from storage.opening import open_folders
from storage.schema import EPOCH, facts, files, uploads
from tests.server import ServerProcess
from transfer.protocol.leaves import NO_TAIL, leaf_size_for

READ: Final = at_most("objects that a start reads", 0)
OBJECT_BYTES: Final = 1 << 30
ROWS_AT_ONCE: Final = 5_000
NOW: Final = datetime.now(UTC)
Row = dict[str, object]


class Start(NamedTuple):
    """One start of the service."""

    seconds: float
    read_mib: float
    peak_mib: float


def make_store(data: Path, uploads_count: int, files_count: int) -> list[Path]:
    """A store whose server was killed an hour ago; returns its objects."""
    os.close(open_folders(data))
    engine = sa.create_engine(sa.engine.URL.create("sqlite", database=str(data / "catalog.db")))
    objects: list[Path] = []
    with engine.begin() as connection:
        alive = (NOW - timedelta(hours=1) - EPOCH) // timedelta(microseconds=1)
        connection.execute(sa.insert(facts).values(key="alive", value=str(alive)))
        for rows in _batches(_upload_row(number) for number in range(uploads_count)):
            connection.execute(sa.insert(uploads), rows)
            objects += [_make_object(data, str(row["object_id"]), OPEN_MODE) for row in rows]
        for rows in _batches(_file_row(number) for number in range(files_count)):
            connection.execute(sa.insert(files), rows)
            objects += [_make_object(data, str(row["file_id"]), PUBLISHED_MODE) for row in rows]
    engine.dispose()
    return objects


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == ROWS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _upload_row(number: int) -> Row:
    began = NOW - timedelta(hours=2)
    return {
        "upload_id": secrets.token_hex(16),
        "object_id": new_object_id(),
        "owner": "anonymous",
        "name": f"unfinished/{number:06}.bin",
        "size": 2 * OBJECT_BYTES,
        "if_exists": "error",
        "digest_algorithm": "sha256",
        "content_type": "application/octet-stream",
        "metadata": {},
        "leaf_size": leaf_size_for(2 * OBJECT_BYTES),
        "durable": [[0, OBJECT_BYTES]],
        "tail_length": 0,
        "tail_checksum": NO_TAIL.checksum,
        "epoch": 1,
        "lease": secrets.token_hex(16),
        "failed": False,
        "created": began,
        "active": began,
        "subject": "anonymous",
        "may_compare": True,
        "may_replace": True,
        "within": "",
        "reserved": 2 * OBJECT_BYTES,
    }


def _file_row(number: int) -> Row:
    name = f"files/{number:06}.bin"
    return {
        "file_id": new_object_id(),
        "name": name,
        "name_key": name,
        "size": OBJECT_BYTES,
        "digest": f"sha256:{secrets.token_hex(32)}",
        "content_type": "application/octet-stream",
        "created": NOW,
        "owner": "anonymous",
        "uploader": "anonymous",
        "metadata": {},
    }


def _make_object(data: Path, object_id: str, mode: int) -> Path:
    path = data / "objects" / object_id[0] / object_id
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    os.ftruncate(descriptor, OBJECT_BYTES)
    os.utime(descriptor, (0, NOW.timestamp()))
    os.close(descriptor)
    return path


def count_read(objects: list[Path]) -> int:
    """How many of them somebody read since they were made."""
    return sum(path.stat().st_atime > 0 for path in objects)


def reads_show(folder: Path) -> bool:
    """Whether this file system notes that a file was read."""
    for shard in "0123456789abcdef":
        (folder / "objects" / shard).mkdir(parents=True, exist_ok=True)
    probe = _make_object(folder, new_object_id(), OPEN_MODE)
    with probe.open("rb") as stream:
        stream.read(1)
    return count_read([probe]) == 1


async def start(data: Path) -> Start:
    began = time.monotonic()
    async with ServerProcess(data) as server:
        seconds = time.monotonic() - began
        return Start(seconds, read_mib(server.pid), peak_mib(server.pid))


def read_mib(pid: int) -> float:
    """What a process has read so far, of whatever, in MiB (proc(5), rchar)."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    facts_of = dict(line.split(": ") for line in lines)
    return int(facts_of["rchar"]) / MIB


async def measure(folder: Path, uploads_count: int, files_count: int) -> Report:
    if not reads_show(folder / "probe"):
        raise SystemExit(f"{folder} is mounted noatime: set TMPDIR to a folder where reads can be seen")
    objects = make_store(folder / "full", uploads_count, files_count)
    catalog_mib = (folder / "full" / "catalog.db").stat().st_size / MIB
    make_store(folder / "empty", 0, 0)
    await start(folder / "empty")  # what has to be read from the disk for the first time is nobody's
    empty, full = await start(folder / "empty"), await start(folder / "full")
    read = count_read(objects)
    rows = [[name, *map(number, found)] for name, found in (("empty", empty), ("full", full))]
    table = Table.of(["store", "s until it listens", "MiB read", "peak MiB"], rows)
    facts_found = {
        "uploads": uploads_count,
        "files": files_count,
        "seconds_empty": round(empty.seconds, 2),
        "seconds": round(full.seconds, 2),
        "read_mib_empty": round(empty.read_mib, 1),
        "read_mib": round(full.read_mib, 1),
        "catalog_mib": round(catalog_mib, 1),
        "peak_mib": round(full.peak_mib, 1),
        "objects_read": read,
    }
    seconds = full.seconds - empty.seconds
    note = f"Recovery takes {seconds:.2f} s; {read} of {len(objects)} objects were read."
    return Report("startup", [table], facts_found, [READ.checked(read)], notes=[note])


def main() -> None:
    options = parser("startup", __doc__)
    options.add_argument("--uploads", type=int, default=10_000)
    options.add_argument("--files", type=int, default=100_000)
    chosen = options.parse_args()
    with scratch("startup") as folder:
        publish(asyncio.run(measure(folder, chosen.uploads, chosen.files)), record=chosen.record)


if __name__ == "__main__":
    main()
