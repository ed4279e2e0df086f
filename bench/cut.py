"""How long a revoked token goes on: from its revocation beside the server to the end of its uploads.

    ./run bench cut [--rounds 10] [--connections 50]

Each upload has begun and waits for bytes. The server is a process of its own; who revokes and who uploads are one.
"""

import asyncio
import time
from contextlib import AsyncExitStack

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bench.figures import Series, Table, number
from bench.processes import MIB, scratch
from bench.report import Report, parser, publish
from storage.granting import opened_grants
from storage.store import utc_now
from tests.server import ServerProcess
from transfer.access.tokens import Secret
from transfer.grants.issuing import new_token


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
    with scratch("cut") as folder:
        data = folder / "data"
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
    options = parser("cut", __doc__)
    options.add_argument("--rounds", type=int, default=10, help="how often")
    options.add_argument("--connections", type=int, default=50, help="uploads under one token")
    chosen = options.parse_args()
    ms = Series.of(s * 1000 for _ in range(chosen.rounds) for s in asyncio.run(one_round(chosen.connections)))
    row = [str(len(ms.values)), str(chosen.connections), number(ms.median), number(ms.min), number(ms.max)]
    table = Table.of(["uploads", "at a time", "ms from revocation to close", "min", "max"], [row])
    found = {"uploads": len(ms.values), "median_ms": round(ms.median, 1), "max_ms": round(ms.max, 1)}
    publish(Report("cut", [table], found), record=chosen.record)


if __name__ == "__main__":
    main()
