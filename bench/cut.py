"""How long a revoked token goes on: from its revocation beside the server to the end of its uploads.

    ./run bench cut [--rounds 10] [--connections 50]

Each upload has begun and waits for bytes. The server is a process of its own; who revokes and who uploads are one.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from storage.granting import opened_grants
from storage.store import utc_now
from tests.server import ServerProcess
from transfer.access.tokens import Secret
from transfer.grants.issuing import new_token

MIB = 1 << 20


async def uploading(url: str, secret: Secret, number: int, stack: AsyncExitStack) -> ClientConnection:
    """A connection with an upload that has begun and waits for bytes."""
    headers = {"Authorization": f"Bearer {secret.text}"}
    connecting = connect(url.replace("http", "ws") + "/ws", additional_headers=headers, compression=None, proxy=None)
    connection = await stack.enter_async_context(connecting)
    await connection.send(f'{{"type":"upload","name":"{number}","size":{2 * MIB}}}')
    await connection.recv()
    await connection.send(bytes(MIB))
    return connection


async def ended(connection: ClientConnection) -> float:
    """When the server has closed it."""
    try:
        while True:
            await connection.recv()
    except ConnectionClosed:
        return time.perf_counter()


async def one_round(connections: int) -> list[float]:
    """Seconds from the revocation to the end of each connection."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        secret, grant = new_token("bench", ["upload"], now=utc_now())
        with opened_grants(data) as book:
            book.add(grant)
        async with ServerProcess(data) as server, AsyncExitStack() as stack:
            open_ones = [await uploading(server.url, secret, number, stack) for number in range(connections)]
            ends = [asyncio.create_task(ended(connection)) for connection in open_ones]
            with opened_grants(data) as book:
                began = time.perf_counter()
                book.revoke(secret.grant_id)
            return [end - began for end in await asyncio.gather(*ends)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="./run bench cut", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10, help="how often")
    parser.add_argument("--connections", type=int, default=50, help="uploads under one token")
    options = parser.parse_args()
    seconds = sorted(s for _ in range(options.rounds) for s in asyncio.run(one_round(options.connections)))
    print(f"{len(seconds)} uploads, {options.connections} at a time, from revocation to close:")
    print(f"  median {statistics.median(seconds) * 1000:.0f} ms, longest {seconds[-1] * 1000:.0f} ms")


if __name__ == "__main__":
    main()
