"""How many small files a second become durable, how long one takes alone, and what a long round trip costs.

    ./run bench small [--files 10000] [--peer-files 300] [--rounds 3] [--only NAME …] [--no-link]

The files have 4 KiB each, a hundred to a folder. `towline upload` is measured from its start to its end, the library's
`upload_many` from its call. Peers send fewer files, of which they know as little; rates are compared.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from bench.figures import Checked, Series, Table, at_least, at_most, number
from bench.link import Link, lacking
from bench.peers.many_files import PEERS, TOWLINE_UPLOAD, Maker, towline
from bench.peers.packages import Missing
from bench.plots import Bars
from bench.processes import (
    TOWLINE,
    Service,
    TowlineServer,
    Transfer,
    scratch,
    transfer,
    user_environment,
)
from bench.report import Report, parser, publish
from bench.rounds import interleaved
from tests.server import CHECKOUT

FILE_BYTES: Final = 4_096
IN_A_FOLDER: Final = 100
ROUND_TRIP: Final = 0.1
LONE_FILES: Final = 500
LIBRARY: Final = "upload_many"
FAR: Final = "towline upload, 100 ms away"
RATE: Final = at_least("towline upload: files a second", 3_000)
LIBRARY_RATE: Final = at_least("upload_many: files a second", 3_000)
LONE: Final = at_most("a lone small file: p99", 15, "ms")
FAR_AWAY: Final = at_most("100 ms away, beside loopback", 1.5, "×")
NOTES: Final = (
    "Every file of Towline's is verified and durable when it counts as done. Ratios of rates are of medians; that of"
    " 100 ms is of the same rounds. Peers send fewer files, since most take a round trip and more for each. A lone file"
    " is one of upload after upload on an open connection. The link is two network namespaces with 50 ms each way"
    " between them, without loss and without a limit of its rate."
)


def make_folder(folder: Path, files: int) -> Path:
    for index in range(files):
        path = folder / f"{index // IN_A_FOLDER:04}" / f"file-{index:06}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(FILE_BYTES))
    return folder


def by_library(server: TowlineServer, folder: Path, prefix: str, *options: str) -> tuple[Transfer, list[float]]:
    """What it used, and the seconds that it took by its own clock."""
    script = [sys.executable, "-m", "bench.peers.library", server.url, str(folder), prefix, *options]
    environment = user_environment(PYTHONPATH=str(CHECKOUT))
    used = transfer(server, script, environment=environment)
    seconds: list[float] = json.loads(used.output)
    return used, seconds


class OurRuns:
    """What Towline is measured at beside `towline upload` on loopback."""

    def __init__(self, folder: Path, source: Path, stack: ExitStack) -> None:
        self._server = stack.enter_context(TowlineServer(folder / "data"))
        self._source = source
        self._folder = folder
        self._prefixes = (f"time-{number}" for number in count())
        self.lone_ms: list[float] = []

    def library(self) -> Transfer:
        used, (seconds,) = by_library(self._server, self._source, next(self._prefixes))
        return Transfer(seconds, used.client, used.server)

    def measure_lone(self, few: Path) -> None:
        _, seconds = by_library(self._server, few, next(self._prefixes), "--lone")
        self.lone_ms += [each * 1_000 for each in seconds]

    def far(self) -> Transfer:
        """A server and a link of its own each time: a connection knows nothing of those before it."""
        data = self._folder / next(self._prefixes)
        with Link(rtt=ROUND_TRIP) as link:
            serve = [TOWLINE, "serve", "--host", link.server_address, "--port", "0", "--insecure", "--data", str(data)]
            with Service(link.at_server(*serve), started="listening on ") as server:
                command = link.at_client(TOWLINE, "upload", str(self._source), "--server", server.greeting)
                return transfer(server, command)


class Measured:
    """A contender's runs of so many files, in the order of the rounds."""

    def __init__(self, runs: Sequence[Transfer], files: int, promises: str) -> None:
        self.runs = runs
        self.files = files
        self.promises = promises

    @property
    def rate(self) -> Series:
        """Files a second."""
        return Series.of(self.files / run.seconds for run in self.runs)

    def cpu(self, side: Callable[[Transfer], float]) -> float:
        """Microseconds a file."""
        return Series.of(side(run) / self.files * 1e6 for run in self.runs).median


def measure_peers(source: Path, files: int, rounds: int, makers: Mapping[str, Maker]) -> dict[str, Measured | str]:
    """The peers that could be measured, and why others could not."""
    found: dict[str, Measured | str] = {}
    with scratch("peers") as parent, ExitStack() as stack:
        senders = {}
        for number, (name, maker) in enumerate(makers.items()):
            (folder := parent / str(number)).mkdir()
            try:
                senders[name] = maker(folder, stack)
            except Missing as missing:
                found[name] = str(missing)
        runs = interleaved(
            {name: partial(sender.run, source) for name, sender in senders.items()}, rounds, sources=[source]
        )
        found |= {name: Measured(runs[name], files, sender.promises) for name, sender in senders.items()}
    return found


def measure_ours(
    source: Path, few: Path, files: int, rounds: int, *, with_link: bool
) -> tuple[dict[str, Measured | str], Series]:
    with scratch("small") as parent, ExitStack() as stack:
        for name in ("upload", "others"):
            (parent / name).mkdir()
        upload = towline(parent / "upload", stack)
        others = OurRuns(parent / "others", source, stack)
        candidates: dict[str, Callable[[], Transfer]] = {
            TOWLINE_UPLOAD: partial(upload.run, source),
            LIBRARY: others.library,
        }
        if with_link:
            candidates[FAR] = others.far
        runs = interleaved(candidates, rounds, sources=[source])
        others.measure_lone(few)
        return {name: Measured(runs[name], files, upload.promises) for name in runs}, Series.of(others.lone_ms)


def far_ratio(far: Measured, near: Measured) -> float:
    """How many times as long, in the same round."""
    return Series.of(a.seconds / b.seconds for a, b in zip(far.runs, near.runs, strict=True)).median


def table(found: Mapping[str, Measured | str]) -> Table:
    columns = ["", "files", "files/s", "min", "max", "client µs/file", "server", "client MiB", "server MiB"]
    columns += ["towline is", "checked and synced"]
    ours = found[TOWLINE_UPLOAD]
    assert isinstance(ours, Measured)
    rows = [_row(name, measured, ours) for name, measured in found.items()]
    return Table.of(columns, rows, "files of 4 KiB")


def _row(name: str, measured: Measured | str, ours: Measured) -> list[str]:
    if isinstance(measured, str):
        return [name, "not here", *[""] * 8, measured.partition("\n")[0]]
    rate, runs = measured.rate, measured.runs
    cpu = [measured.cpu(lambda run: run.client.cpu_seconds), measured.cpu(lambda run: run.server.cpu_seconds)]
    peaks = [max(run.client.peak_mib for run in runs), max(run.server.peak_mib for run in runs)]
    figures = [number(figure) for figure in (rate.median, rate.min, rate.max, *cpu)]
    ratio = f"{number(ours.rate.median / rate.median)} ×"
    return [name, f"{measured.files:,}", *figures, *(f"{peak:.0f}" for peak in peaks), ratio, measured.promises]


def checks(found: Mapping[str, Measured | str], lone_ms: Series) -> list[Checked]:
    """Every target that was measured."""
    checked = [LONE.checked(lone_ms.percentile(99))]
    near, library, far = (found.get(name) for name in (TOWLINE_UPLOAD, LIBRARY, FAR))
    if isinstance(near, Measured):
        checked.insert(0, RATE.checked(near.rate.median))
    if isinstance(library, Measured):
        checked.insert(1, LIBRARY_RATE.checked(library.rate.median))
    if isinstance(near, Measured) and isinstance(far, Measured):
        checked.append(FAR_AWAY.checked(far_ratio(far, near)))
    return checked


def facts(found: Mapping[str, Measured | str], lone_ms: Series) -> dict[str, object]:
    measured = {name: runs for name, runs in found.items() if isinstance(runs, Measured)}
    return {
        "file_bytes": FILE_BYTES,
        "lone_ms": {f"p{part}": round(lone_ms.percentile(part), 2) for part in (50, 90, 99)},
        "contenders": {
            name: {
                "files": runs.files,
                "files_a_second": runs.rate.facts(0),
                "client_cpu_us_a_file": round(runs.cpu(lambda run: run.client.cpu_seconds)),
                "server_cpu_us_a_file": round(runs.cpu(lambda run: run.server.cpu_seconds)),
                "client_peak_mib": round(max(run.client.peak_mib for run in runs.runs), 1),
                "server_peak_mib": round(max(run.server.peak_mib for run in runs.runs), 1),
            }
            for name, runs in measured.items()
        },
        "missing": {name: why for name, why in found.items() if isinstance(why, str)},
    }


def plot(found: Mapping[str, Measured | str]) -> Bars:
    measured = {name: runs.rate for name, runs in found.items() if isinstance(runs, Measured)}
    ordered = dict(sorted(measured.items(), key=lambda item: -item[1].median))
    spans = {name: (rate.min, rate.max) for name, rate in ordered.items()}
    medians = {name: rate.median for name, rate in ordered.items()}
    ours = [TOWLINE_UPLOAD, LIBRARY, FAR]
    return Bars("Files of 4 KiB", "files a second", medians, spans, highlighted=ours, limit=RATE.limit)


def main() -> None:
    options = parser("small", __doc__)
    options.add_argument("--files", type=int, default=10_000)
    options.add_argument("--peer-files", type=int, default=300)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--only", nargs="+", metavar="WORD", help="peers that have such a word in the name")
    options.add_argument("--no-link", action="store_true", help="leave the round trip of 100 ms out")
    chosen = options.parse_args()
    makers = {
        name: maker
        for name, maker in PEERS.items()
        if chosen.only is None or any(word.lower() in name.lower() for word in chosen.only)
    }
    lack = None if not chosen.no_link else "it was left out"
    lack = lack or lacking()
    with scratch("folders") as parent:
        source = make_folder(parent / "many", chosen.files)
        few = make_folder(parent / "few", LONE_FILES)
        found, lone_ms = measure_ours(source, few, chosen.files, chosen.rounds, with_link=lack is None)
        if lack is not None:
            found[FAR] = lack
        for_peers = make_folder(parent / "peers", chosen.peer_files)
        found |= measure_peers(for_peers, chosen.peer_files, chosen.rounds, makers)
    report = Report("small", [table(found)], facts(found, lone_ms), checks(found, lone_ms), [plot(found)], [NOTES])
    publish(report, record=chosen.record)


if __name__ == "__main__":
    main()
