"""What an honest client notices of 500 half-open handshakes and 500 trickling uploads that are held open.

    ./run bench attack [--attackers 500] [--rounds 3] [--times 300]

Each round measures without the attack and then with it, on the same server with its default limits: how long a connect
takes (TCP and upgrade), and how long a connect and a file of 64 KiB, from its header to `complete`. Attackers, server
and the honest client are processes of their own and share this machine's processors. The attackers send a byte a
second on each upload, and come back as soon as they are hung up on.
"""

import argparse
import asyncio
import json
import secrets
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path
from typing import Final

from websockets.asyncio.client import connect

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
    for number in range(WARM_UP + times):
        connected, uploaded = await connect_and_upload(url)
        if number >= WARM_UP:
            into["connect"].append(connected)
            into["upload"].append(uploaded)


async def measure(attackers: int, rounds: int, times: int) -> dict[str, object]:
    quiet: Times = {"connect": [], "upload": []}
    attacked: Times = {"connect": [], "upload": []}
    held = (0, 0, 0)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="towline-bench-")))
        server = await stack.enter_async_context(ServerProcess(folder / "data"))
        for _ in range(rounds):
            await measure_once(server.url, times, quiet)
            async with Attack(server.url, half_open=attackers, trickling=attackers) as attack:
                await measure_once(server.url, times, attacked)
                held = await attack.held()
    result: dict[str, object] = {"attackers": 2 * attackers, "held_at_the_end": held[:2], "came_back": held[2]}
    for what in ("connect", "upload"):
        result[f"{what}_quiet_ms"] = _milliseconds(quiet[what])
        result[f"{what}_attacked_ms"] = _milliseconds(attacked[what])
        result[f"{what}_p99_ratio"] = round(p99(attacked[what]) / p99(quiet[what]), 2)
    return result


def _milliseconds(seconds: list[float]) -> dict[str, float]:
    return {"p50": round(statistics.median(seconds) * 1_000, 1), "p99": round(p99(seconds) * 1_000, 1)}


def p99(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[-1]


def main() -> None:
    parser = argparse.ArgumentParser(prog="./run bench attack", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--attackers", type=int, default=500, help="of each kind")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--times", type=int, default=300, help="in each half of a round")
    raise_descriptor_limit()
    result = asyncio.run(measure(**vars(parser.parse_args())))
    print(f"{'ms':8} {'quiet p50':>10} {'p99':>8} {'attacked p50':>14} {'p99':>8} {'p99 ratio':>10}")
    for what in ("connect", "upload"):
        quiet, attacked = result[f"{what}_quiet_ms"], result[f"{what}_attacked_ms"]
        assert isinstance(quiet, dict)
        assert isinstance(attacked, dict)
        print(
            f"{what:8} {quiet['p50']:>10} {quiet['p99']:>8} {attacked['p50']:>14} {attacked['p99']:>8}"
            f" {result[f'{what}_p99_ratio']:>10}"
        )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
