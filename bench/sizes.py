"""How an upload grows with its file: seconds, speed, CPU and peak memory of 1 MiB, 100 MiB, 1 GiB and 10 GiB.

    ./run bench sizes [--rounds 3] [--full]

10 GiB are sent with --full alone, and once; then some GiB are only written, for what that costs where no memory was
touched before. Sources are sparse files: reading them costs the client no disk, and the server writes every byte.
"""

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from bench.figures import Series, Table, number
from bench.plots import Lines
from bench.processes import GIB, MIB, TOWLINE, TowlineServer, Transfer, scratch, transfer
from bench.report import Report, parser, publish
from bench.rounds import TOUCHED_BYTES, interleaved, prepare
from transfer.protocol import limits

SIZES: Final = {"1 MiB": MIB, "100 MiB": 100 * MIB, "1 GiB": GIB}
FULL: Final = {"10 GiB": 10 * GIB}
WRITTEN_GIB: Final = 4
LYING_FREE_SECONDS: Final = 10.0
"""Enough for a virtual machine to give memory back."""
_CHUNK: Final = b"x" * MIB


def sparse(path: Path, size: int) -> Path:
    with path.open("wb") as stream:
        stream.truncate(size)
    return path


def measure_one(folder: Path, size: int) -> Transfer:
    """One upload to a new server; what arrived is removed with it."""
    source, data = sparse(folder / f"source-{size}", size), folder / "data"
    try:
        with TowlineServer(data) as server:
            return transfer(server, [TOWLINE, "upload", source, "--server", server.url])
    finally:
        shutil.rmtree(data, ignore_errors=True)


def writing(folder: Path) -> list[float]:
    """CPU seconds of each GiB of a file that is only written, after what comes before each upload."""
    path, costs = folder / "written", list[float]()
    time.sleep(LYING_FREE_SECONDS)
    prepare()
    with path.open("wb", buffering=0) as stream:
        for _ in range(WRITTEN_GIB):
            began = time.process_time()
            for _ in range(GIB // MIB):
                stream.write(_CHUNK)
            costs.append(time.process_time() - began)
            os.fdatasync(stream.fileno())
    path.unlink()
    return costs


def measure(rounds: int, *, full: bool) -> tuple[dict[str, list[Transfer]], list[float]]:
    """Uploads, and with `full` what `writing` found."""
    with scratch("sizes") as folder:
        need, free = max({**SIZES, **(FULL if full else {})}.values()), shutil.disk_usage(folder).free
        if free < 2 * need:
            raise SystemExit(f"{folder} has {free / GIB:.1f} GiB free, of {2 * need / GIB:.0f} GiB that this takes")
        runs = interleaved({name: partial(measure_one, folder, size) for name, size in SIZES.items()}, rounds)
        if full:
            runs |= interleaved({name: partial(measure_one, folder, size) for name, size in FULL.items()}, 1)
        return runs, writing(folder) if full else []


def table(runs: Mapping[str, Sequence[Transfer]]) -> Table:
    columns = ["", "seconds", "min", "max", "MiB/s", "CPU s", "CPU s/GiB", "client MiB", "server MiB"]
    return Table.of(columns, [[name, *map(number, _figures(name, found))] for name, found in runs.items()])


def _figures(name: str, found: Sequence[Transfer]) -> list[float]:
    seconds = Series.of(run.seconds for run in found)
    cpu = Series.of(run.cpu_seconds for run in found).median
    size = {**SIZES, **FULL}[name]
    peaks = [max(run.client.peak_mib for run in found), max(run.server.peak_mib for run in found)]
    return [seconds.median, seconds.min, seconds.max, size / MIB / seconds.median, cpu, cpu / (size / GIB), *peaks]


def plots(runs: Mapping[str, Sequence[Transfer]]) -> list[Lines]:
    def curve(column: int) -> list[tuple[float, float]]:
        return [({**SIZES, **FULL}[name] / MIB, _figures(name, found)[column]) for name, found in runs.items()]

    memory = {"client": curve(6), "server": curve(7)}
    return [
        Lines("Growth in file size: time", "MiB", "s", {"upload": curve(0)}, log_x=True, log_y=True),
        Lines("Growth in file size: CPU of both sides", "MiB", "s/GiB", {"upload": curve(5)}, log_x=True, log_y=True),
        Lines("Growth in file size: peak memory", "MiB", "MiB", memory, log_x=True),
    ]


def notes(runs: Mapping[str, Sequence[Transfer]], written: Sequence[float]) -> list[str]:
    """What makes each curve, and how it came out between the smallest file and the largest."""
    first, last = next(iter(runs)), list(runs)[-1]
    small, large = _figures(first, runs[first]), _figures(last, runs[last])
    return [
        "Seconds: each run has the start of the client's Python in it, and each byte its own time."
        f" {first} took {number(small[0])} s, {last} {number(large[0])} s.",
        "Speed and CPU a GiB: what a run costs once is spread over its bytes; the more there are, the more is left of"
        f" the price of a byte alone. {last}: {number(large[3])} MiB/s and {number(large[5])} CPU s/GiB.",
        *_of_memory(written),
        "Peak memory: beside the programs themselves it is what is on its way, a window of"
        f" {limits.WINDOW // MIB} MiB at most. {first}: {number(small[6])} MiB for the client and {number(small[7])}"
        f" for the server; {last}: {number(large[6])} and {number(large[7])}.",
    ]


def _of_memory(written: Sequence[float]) -> list[str]:
    if not written:
        return []
    return [
        f"What is more than the {number(TOUCHED_BYTES / GIB)} GiB that are touched before each run is written to memory"
        " that lay free, and that a virtual machine has to get back first. The first GiB of a file that is only written"
        f" takes {number(written[0])} CPU s, the last of {len(written)} GiB {number(written[-1])}."
    ]


def facts(runs: Mapping[str, Sequence[Transfer]], written: Sequence[float]) -> dict[str, object]:
    return {
        "written_cpu_seconds_a_gib": [round(cost, 2) for cost in written],
        "sizes": {
            name: {
                "seconds": Series.of(run.seconds for run in found).facts(),
                "client_cpu_seconds": Series.of(run.client.cpu_seconds for run in found).facts(),
                "server_cpu_seconds": Series.of(run.server.cpu_seconds for run in found).facts(),
                "client_peak_mib": round(max(run.client.peak_mib for run in found), 1),
                "server_peak_mib": round(max(run.server.peak_mib for run in found), 1),
            }
            for name, found in runs.items()
        },
    }


def main() -> None:
    options = parser("sizes", __doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--full", action="store_true", help="10 GiB too")
    chosen = options.parse_args()
    runs, written = measure(chosen.rounds, full=chosen.full)
    report = Report("sizes", [table(runs)], facts(runs, written), plots=plots(runs), notes=notes(runs, written))
    publish(report, record=chosen.record)


if __name__ == "__main__":
    main()
