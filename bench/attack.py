"""What an honest client notices of 500 half-open handshakes and 500 trickling uploads that are held open.

    ./run bench attack [--attackers 500] [--rounds 3] [--times 300]

Each round measures without the attack and then with it, on the same server with its default limits: how long a connect
takes (TCP and upgrade), and how long a connect and a file of 64 KiB, from its header to `complete`. Attackers, server
and the honest client are processes of their own and share this machine's processors. The attackers send a byte a
second on each upload, and come back as soon as they are hung up on.
"""

import asyncio
import json
import secrets
import time
from contextlib import AsyncExitStack
from hashlib import sha256
from typing import Final

from websockets.asyncio.client import connect

from bench.figures import Series, Table, number
from bench.processes import scratch
from bench.report import Report, parser, publish
from tests.attackers import Attack
from tests.server import ServerProcess
from transfer.descriptors import raise_descriptor_limit

FILE_BYTES: Final = 64 << 10
WARM_UP: Final = 20
Times = dict[str, list[float]]


async def connect_and_upload(url: str) -> tuple[float, float]:
    """Seconds to the upgrade, and to the end of a small file."""
    content = secrets.token_bytes(FILE_BYTES)
    header = {"type": "upload", "name": secrets.token_hex(8), "size": FILE_BYTES, "offset": 0}
    began = time.perf_counter()
    async with connect(url.replace("http:", "ws:") + "/ws", compression=None, proxy=None) as connection:
        connected = time.perf_counter() - began
        await connection.send(json.dumps(header))
        await connection.send(content)
        await connection.send(json.dumps({"type": "eof", "digest": "sha256:" + sha256(content).hexdigest()}))
        reply = json.loads(await connection.recv())
        if reply["type"] != "complete":
            raise SystemExit(f"the honest client was refused: {reply}")
        return connected, time.perf_counter() - began


async def measure_once(url: str, times: int, into: Times) -> None:
    for turn in range(WARM_UP + times):
        connected, uploaded = await connect_and_upload(url)
        if turn >= WARM_UP:
            into["connect"].append(connected)
            into["upload"].append(uploaded)


async def measure(attackers: int, rounds: int, times: int) -> Report:
    quiet: Times = {"connect": [], "upload": []}
    attacked: Times = {"connect": [], "upload": []}
    held = (0, 0, 0)
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(scratch("attack"))
        server = await stack.enter_async_context(ServerProcess(folder / "data"))
        for _ in range(rounds):
            await measure_once(server.url, times, quiet)
            async with Attack(server.url, half_open=attackers, trickling=attackers) as attack:
                await measure_once(server.url, times, attacked)
                held = await attack.held()
    facts: dict[str, object] = {"attackers": 2 * attackers, "held_at_the_end": held[:2], "came_back": held[2]}
    rows = []
    for what in ("connect", "upload"):
        before, meanwhile = Series.of(quiet[what]), Series.of(attacked[what])
        ratio = meanwhile.percentile(99) / before.percentile(99)
        figures = [*_milliseconds(before), *_milliseconds(meanwhile)]
        rows.append([what, *map(number, figures), number(ratio)])
        facts[what] = dict(zip(("p50_ms", "p99_ms", "attacked_p50_ms", "attacked_p99_ms"), figures, strict=True))
    table = Table.of(["ms", "quiet p50", "p99", "attacked p50", "p99", "p99 ratio"], rows)
    return Report("attack", [table], facts)


def _milliseconds(seconds: Series) -> tuple[float, float]:
    return round(seconds.median * 1_000, 1), round(seconds.percentile(99) * 1_000, 1)


def main() -> None:
    options = parser("attack", __doc__)
    options.add_argument("--attackers", type=int, default=500, help="of each kind")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--times", type=int, default=300, help="in each half of a round")
    chosen = options.parse_args()
    raise_descriptor_limit()
    publish(asyncio.run(measure(chosen.attackers, chosen.rounds, chosen.times)), record=chosen.record)


if __name__ == "__main__":
    main()
