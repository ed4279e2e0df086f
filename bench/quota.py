"""What a quota costs who has many files: to read what is used, small files in batches, durable points of a stream.

    ./run bench quota [--files 100000]

All files are one subject's, as rows without contents. The same is done without a quota and with one that is far away.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Final

from bench.figures import Table, number
from bench.filled import SUBJECT, add_files
from bench.processes import scratch
from bench.report import Report, parser, publish
from storage.local import LocalStore
from storage.store import UploadRequest
from transfer.protocol.digest import digest_bytes
from transfer.protocol.names import Name

FAR: Final = 1 << 50
SMALL: Final = 4096
SMALL_FILES: Final = 1_024
ROUNDS: Final = 50


def asked(size: int | None, quota: int | None) -> UploadRequest:
    return UploadRequest(name=Name(f"new/{secrets.token_hex(8)}"), size=size, owner=SUBJECT, quota=quota)


async def usage_milliseconds(store: LocalStore) -> float:
    return await _median_ms(lambda: store.usage(SUBJECT))


async def small_files_a_second(store: LocalStore, quota: int | None) -> float:
    content = bytes(SMALL)
    digest = digest_bytes(content)
    began = time.monotonic()
    await asyncio.gather(*(store.put(asked(SMALL, quota), content, digest) for _ in range(SMALL_FILES)))
    return SMALL_FILES / (time.monotonic() - began)


async def durable_point_milliseconds(store: LocalStore, quota: int | None) -> float:
    async with store.begin(asked(None, quota)) as writer:

        async def point() -> None:
            await writer.write(writer.received.furthest, [bytes(SMALL)])
            await writer.sync()

        found = await _median_ms(point)
        await writer.cancel()
        return found


async def _median_ms(work: Callable[[], Awaitable[object]]) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.monotonic()
        await work()
        times.append(time.monotonic() - began)
    return median(times) * 1_000


async def measure(folder: Path, count: int) -> Report:
    async with LocalStore(folder, min_free_bytes=0) as store:
        add_files(folder / "catalog.db", count)
        await small_files_a_second(store, None)  # what is done for the first time is nobody's
        facts = {
            "files": count,
            "usage_ms": round(await usage_milliseconds(store), 2),
            "small_files_a_second": round(await small_files_a_second(store, None)),
            "small_files_a_second_with_quota": round(await small_files_a_second(store, FAR)),
            "durable_point_ms": round(await durable_point_milliseconds(store, None), 2),
            "durable_point_ms_with_quota": round(await durable_point_milliseconds(store, FAR), 2),
        }
    rows = [[name.replace("_", " "), number(value)] for name, value in facts.items()]
    return Report("quota", [Table.of(["", "measured"], rows)], facts)


def main() -> None:
    options = parser("quota", __doc__)
    options.add_argument("--files", type=int, default=100_000)
    chosen = options.parse_args()
    with scratch("quota") as folder:
        publish(asyncio.run(measure(folder, chosen.files)), record=chosen.record)


if __name__ == "__main__":
    main()
