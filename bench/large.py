"""What one large file costs and how fast it goes, beside what others use.

    ./run bench large [--size GIB] [--rounds 5] [--only NAME …]

Each contender is a real client and a real server, started as their documentation has it; the file is random bytes in
the page cache. Clients are measured from their start to their end, `towline upload` too. After each run, outside of
what is measured, the file that arrived is compared with what was sent, and removed.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from bench.figures import Checked, Series, Table, Target, at_least, at_most, number
from bench.peers.contender import Contender, Source
from bench.peers.packages import Missing
from bench.peers.services import CHECKED, FLOORS, OURS, PEERS, Maker, folders
from bench.plots import Bars
from bench.processes import GIB, MIB, Transfer, scratch
from bench.report import Report, parser, publish
from bench.rounds import interleaved

SHA256, BLAKE3 = OURS
NODE, TUSPY, COPYPARTY, RCLONE = list(PEERS)[:4]
CPU: Final[Mapping[str, Sequence[Target]]] = {
    SHA256: (
        at_most("SHA-256: CPU of both sides", 3.9, "s/GiB"),
        at_most("SHA-256: CPU, to go on towards", 3.3, "s/GiB", goal=True),
    ),
    BLAKE3: (
        at_most("BLAKE3: CPU of both sides", 3.1, "s/GiB"),
        at_most("BLAKE3: CPU, to go on towards", 2.5, "s/GiB", goal=True),
    ),
}
SPEED: Final[Mapping[tuple[str, str], Sequence[Target]]] = {
    (SHA256, NODE): (
        at_least("SHA-256: speed beside Node tus", 1.25, "×"),
        at_least("SHA-256: Node tus, to go on towards", 1.5, "×", goal=True),
    ),
    (BLAKE3, NODE): (
        at_least("BLAKE3: speed beside Node tus", 1.5, "×"),
        at_least("BLAKE3: Node tus, to go on towards", 1.8, "×", goal=True),
    ),
    (SHA256, TUSPY): (at_least("SHA-256: speed beside tuspy", 1.0, "×"),),
    (SHA256, COPYPARTY): (at_least("SHA-256: speed beside copyparty", 1.0, "×"),),
    (SHA256, RCLONE): (at_least("SHA-256: speed beside rclone", 1.0, "×"),),
}
NOTES: Final = (
    "Ratios are of the same round, and the median of the rounds. Peak memory is the largest of all rounds. A server's"
    " CPU is counted until it has come to rest. What a contender has checked and synced when it says that it is done is"
    " in the last column: curl and nginx, rsync and cp show what checking and syncing cost."
)


class Measured(NamedTuple):
    """A contender with its runs, in the order of the rounds."""

    contender: Contender
    runs: Sequence[Transfer]
    gib: float

    @property
    def speed(self) -> Series:
        """MiB a second."""
        return Series.of(self.gib * 1024 / run.seconds for run in self.runs)

    @property
    def cpu(self) -> Series:
        """Seconds a GiB, of both sides."""
        return Series.of(run.cpu_seconds / self.gib for run in self.runs)

    def ratio_to(self, other: "Measured") -> float:
        """How many times as fast."""
        pairs = zip(self.runs, other.runs, strict=True)
        return Series.of(theirs.seconds / ours.seconds for ours, theirs in pairs).median


def make_source(path: Path, size: int) -> Source:
    with path.open("wb") as stream:
        for start in range(0, size, MIB):
            stream.write(os.urandom(min(MIB, size - start)))
    return Source.of(path)


def measure(makers: Mapping[str, Maker], size: int, rounds: int) -> tuple[dict[str, Measured], dict[str, str]]:
    """Those that could be measured, and why others could not."""
    missing: dict[str, str] = {}
    with scratch("large") as parent, ExitStack() as stack:
        source = make_source(parent / "source.bin", size)
        contenders: dict[str, Contender] = {}
        for (name, maker), folder in zip(makers.items(), folders(parent), strict=False):
            try:
                contenders[name] = maker(folder, source, stack)
            except Missing as failed:
                missing[name] = str(failed)
        runs = interleaved(
            {name: partial(contender.run, source) for name, contender in contenders.items()},
            rounds,
            sources=[source.path],
        )
    return {name: Measured(contenders[name], runs[name], size / GIB) for name in runs}, missing


def table(measured: Mapping[str, Measured], missing: Mapping[str, str], size: int) -> Table:
    columns = ["", "MiB/s", "min", "max", "CPU s/GiB", "min", "max", "client", "server", "client MiB", "server MiB"]
    rivals = [name for name in OURS if name in measured]
    columns += [f"{'BLAKE3' if name == BLAKE3 else 'SHA-256'} is" for name in rivals] + ["checked and synced"]
    rows = [_row(name, found, [measured[rival] for rival in rivals]) for name, found in measured.items()]
    rows += [[name, "not here", *[""] * (len(columns) - 3), why.partition("\n")[0]] for name, why in missing.items()]
    return Table.of(columns, rows, f"one file of {size / GIB:g} GiB")


def _row(name: str, found: Measured, rivals: Sequence[Measured]) -> list[str]:
    speed, cpu = found.speed, found.cpu
    client = Series.of(run.client.cpu_seconds / found.gib for run in found.runs).median
    server = Series.of(run.server.cpu_seconds / found.gib for run in found.runs).median
    peaks = [max(run.client.peak_mib for run in found.runs), max(run.server.peak_mib for run in found.runs)]
    figures = [speed.median, speed.min, speed.max, cpu.median, cpu.min, cpu.max, client, server]
    ratios = [f"{number(rival.ratio_to(found))} ×" for rival in rivals]
    return [name, *map(number, figures), *(f"{peak:.0f}" for peak in peaks), *ratios, found.contender.promises]


def checks(measured: Mapping[str, Measured]) -> list[Checked]:
    """Every target whose contenders were measured."""
    found: list[Checked] = []
    for name, targets in CPU.items():
        if name in measured:
            found += _checked(targets, measured[name].cpu.median)
    for (ours, peer), targets in SPEED.items():
        if ours in measured and peer in measured:
            found += _checked(targets, measured[ours].ratio_to(measured[peer]))
    return found


def _checked(targets: Sequence[Target], value: float) -> list[Checked]:
    return [target.checked(value) for target in targets]


def bounds(measured: Mapping[str, Measured], cores: int) -> list[str]:
    """How fast each could be at most by the CPU that both sides used, beside the peer whose speed is the measure."""
    if NODE not in measured:
        return []
    peer = measured[NODE].speed.median
    most = {name: cores * 1024 / found.cpu.median for name, found in measured.items() if name in (*OURS, CHECKED)}
    said = [f"{name} {number(speed)} MiB/s, {number(speed / peer)} × {NODE}" for name, speed in most.items()]
    return [f"Were all {cores} processors busy from start to end, these would reach: {'; '.join(said)}."]


def plots(measured: Mapping[str, Measured]) -> list[Bars]:
    by_speed = sorted(measured.items(), key=lambda item: -item[1].speed.median)
    by_cpu = sorted(measured.items(), key=lambda item: item[1].cpu.median)
    speeds, cpus = {name: found.speed for name, found in by_speed}, {name: found.cpu for name, found in by_cpu}
    return [_bars("One large file: speed", "MiB/s", speeds), _bars("One large file: CPU of both sides", "s/GiB", cpus)]


def _bars(title: str, unit: str, series: Mapping[str, Series]) -> Bars:
    medians = {name: values.median for name, values in series.items()}
    spans = {name: (values.min, values.max) for name, values in series.items()}
    return Bars(title, unit, medians, spans, highlighted=list(OURS))


def facts(measured: Mapping[str, Measured], missing: Mapping[str, str], size: int) -> dict[str, object]:
    return {
        "size_bytes": size,
        "contenders": {
            name: {
                "mib_a_second": found.speed.facts(1),
                "cpu_seconds_a_gib": found.cpu.facts(),
                "client_cpu_seconds": [round(run.client.cpu_seconds, 3) for run in found.runs],
                "server_cpu_seconds": [round(run.server.cpu_seconds, 3) for run in found.runs],
                "client_peak_mib": round(max(run.client.peak_mib for run in found.runs), 1),
                "server_peak_mib": round(max(run.server.peak_mib for run in found.runs), 1),
                "version": found.contender.version,
            }
            for name, found in measured.items()
        },
        "missing": dict(missing),
    }


def main() -> None:
    everyone = {**OURS, **PEERS, **FLOORS}
    options = parser("large", __doc__)
    options.add_argument("--size", type=float, default=1.0, metavar="GIB", help="of the file; 1 by default")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="those that have such a word in the name"
    )
    chosen = options.parse_args()
    makers = {
        name: maker
        for name, maker in everyone.items()
        if not chosen.only or any(word.lower() in name.lower() for word in chosen.only)
    }
    size = int(chosen.size * GIB)
    measured, missing = measure(makers, size, chosen.rounds)
    report = Report(
        "large",
        [table(measured, missing, size)],
        facts(measured, missing, size),
        checks(measured),
        plots(measured),
        [NOTES, *bounds(measured, os.cpu_count() or 1)],
    )
    publish(report, record=chosen.record)


if __name__ == "__main__":
    main()
