"""Uploads a folder with Towline's library: `python -m bench.peers.library URL FOLDER PREFIX [--lone]`.

Prints one line of JSON: how many seconds `upload_many` took, connecting included; or with `--lone` the seconds that
each file took alone, on a connection that is open already.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

import client


async def many(url: str, items: list[client.Item]) -> list[float]:
    began = time.perf_counter()
    async with client.connect(url) as connection:
        done = [result async for result in connection.upload_many(items)]
    seconds = time.perf_counter() - began
    assert len(done) == len(items), "not all files were answered"
    assert all(isinstance(result, client.Complete) and not result.unchanged for result in done), "not all are new"
    return [seconds]


async def lone(url: str, items: list[client.Item]) -> list[float]:
    taken: list[float] = []
    async with client.connect(url) as connection:
        await connection.echo("hello")
        for item in items:
            began = time.perf_counter()
            await connection.upload(item.path, name=item.name)
            taken.append(time.perf_counter() - began)
    return taken


def main() -> None:
    url, folder, prefix, *options = sys.argv[1:]
    paths = sorted(Path(folder).rglob("*.bin"))
    items = [client.Item(path, f"{prefix}/{path.relative_to(folder)}") for path in paths]
    print(json.dumps(asyncio.run((lone if options else many)(url, items))))


if __name__ == "__main__":
    main()
