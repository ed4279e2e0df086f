"""Peak memory of server and client during one large upload: does it grow with the file? (default 5 GiB, sparse)

    ./run bench memory [--size-gib 5]

Server and client are processes of their own; the peak is `VmHWM` of /proc/PID/status, read just before each ends.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Final

from tests.server import CHECKOUT, ServerProcess

LIMIT_MIB: Final = 150


def peak_mib(pid: int) -> float:
    """The largest resident set of a process so far, in MiB (proc(5), VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} has no VmHWM")


async def upload(path: Path, url: str) -> float:
    """Upload with the command line; returns the client's peak, read at its last event."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "client.cli", "upload", str(path), "--server", url, "--json", stdout=PIPE, cwd=CHECKOUT
    )
    peak = await _read_to_the_end(process)
    if await process.wait() != 0:
        raise SystemExit("the upload failed")
    return peak


async def _read_to_the_end(process: Process) -> float:
    assert process.stdout is not None
    peak = 0.0
    while await process.stdout.readline():
        try:
            peak = max(peak, peak_mib(process.pid))
        except (OSError, RuntimeError):  # it is gone already: the event before said the same
            break
    await process.stdout.read()
    return peak


async def measure(size_gib: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="towline-bench-") as folder:
        path = Path(folder) / "sparse.img"
        with path.open("wb") as stream:
            stream.truncate(int(size_gib * (1 << 30)))
        async with ServerProcess(Path(folder) / "data") as server:
            before = peak_mib(server.pid)
            began = time.monotonic()
            client = await upload(path, server.url)
            seconds = time.monotonic() - began
            return {
                "size_gib": size_gib,
                "server_at_rest_mib": round(before, 1),
                "server_peak_mib": round(peak_mib(server.pid), 1),
                "client_peak_mib": round(client, 1),
                "seconds": round(seconds, 1),
            }


def main() -> None:
    parser = argparse.ArgumentParser(prog="./run bench memory", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--size-gib", type=float, default=5.0)
    result = asyncio.run(measure(parser.parse_args().size_gib))
    print(f"{'':8} {'at rest':>10} {'peak':>10} {'limit':>10}   MiB")
    print(f"{'server':8} {result['server_at_rest_mib']:>10} {result['server_peak_mib']:>10} {LIMIT_MIB:>10}")
    print(f"{'client':8} {'':>10} {result['client_peak_mib']:>10} {LIMIT_MIB:>10}")
    print(json.dumps(result))
    if max(result["server_peak_mib"], result["client_peak_mib"]) > LIMIT_MIB:
        raise SystemExit(f"over {LIMIT_MIB} MiB")


if __name__ == "__main__":
    main()
