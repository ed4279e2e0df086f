"""How fast one file goes far: by loss, congestion control and number of connections, beside raw TCP on the same link.

    ./run bench far [--rounds 3] [--record]

A link of 100 ms (bench/link.py, which needs root), made anew for every run, so that in each round the same packets are
lost for all. What counts is bytes acknowledged over time, without the start: of raw TCP what the sender's kernel has
acknowledged, of Towline what the client was told is durable. Neither start of a process nor slow start is in it.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

from bench.acked import Sample, rate_of, watch
from bench.figures import Checked, Series, Table, at_least, number
from bench.link import Link, lacking
from bench.plots import Bars
from bench.processes import MIB, TOWLINE, Service, TowlineServer, finish, scratch
from bench.report import Report, parser, publish

RTT: Final = 0.1
FAST: Final = 25e6
"""Bytes a second: 200 Mbit/s."""
FAT: Final = 100e6
RAW: Final = "raw TCP"
ONE: Final = "one connection"
AUTO: Final = "connections auto"
BESIDE_RAW: Final = 0.9
SEVERAL: Final = at_least("1 % loss, cubic: connections auto beside one", 2.5, "×")
NEVER_SLOWER: Final = at_least("on loopback: connections auto beside one", 0.95, "×")
"""As fast, but for what two runs of the same differ by."""
SOURCE_BYTES: Final = 2 << 30
LOOPBACK_BYTES: Final = 512 << 20
CHECKOUT: Final = Path(__file__).resolve().parent.parent


class Condition(NamedTuple):
    """A link, a sender, and how long it is looked at: from `skipped` seconds after its start to `seconds`."""

    loss: float
    congestion: str
    rate: float
    skipped: float
    seconds: float

    def words(self) -> str:
        return f"{self.loss:.0%} loss, {self.congestion}" + (
            f", {self.rate / 125e6:g} Gbit/s" if self.rate > FAST else ""
        )


LOSSY: Final = Condition(0.01, "cubic", FAST, skipped=15, seconds=30)
"""Little is moved here, so it takes long to see how much, and to decide about further connections. So little that all
senders have links and processors enough to be measured at the same time."""
CONDITIONS: Final = (
    Condition(0.0, "cubic", FAST, skipped=1.5, seconds=4.5),
    Condition(0.0, "bbr", FAST, skipped=1.5, seconds=4.5),
    LOSSY,
    Condition(0.01, "bbr", FAST, skipped=10, seconds=14),  # a loss in its first moments can cost bbr ten seconds
    Condition(0.0, "bbr", FAT, skipped=1.5, seconds=4.5),
)
NOTES: Final = (
    "What is acknowledged in a second, slow start left out: of raw TCP by the receiver's kernel, of Towline by the"
    " server as durable. A round trip of 100 ms, packets of 1,500 bytes, each lost by the same chance, and the same"
    " ones for all senders of a round. At 0.8 Gbit/s it is the system's largest send buffer, `tcp_wmem`, that holds a"
    " connection back: raw TCP as well.",
)
ONE_ONLY: Final = "This client has no `--connections`, so several of them were not measured."


# ------------------------------------------------------------------------------------------------------------ senders


def raw_tcp(link: Link, condition: Condition, folder: Path) -> list[Sample]:
    """Zeros, from memory to nowhere."""
    receiver = link.at_server(
        sys.executable, "-c", f"from bench.raw_tcp import receive; receive({link.server_address!r})"
    )
    with Service(receiver, started="listening on ", folder=CHECKOUT) as service:
        call = f"send({link.server_address!r}, {service.greeting}, {condition.congestion!r})"
        sender = link.at_client(sys.executable, "-c", f"from bench.raw_tcp import send; {call}")
        return watch(sender, condition.seconds + 1, int)


def towline(link: Link, condition: Condition, folder: Path, *options: str) -> list[Sample]:
    """`towline upload` of a sparse file, to a server with its default settings."""
    source, data = folder / "source.bin", folder / f"data-{next(_NUMBERS)}"
    command = [TOWLINE, "serve", "--host", link.server_address, "--port", "0", "--insecure", "--data", str(data)]
    with Service(link.at_server(*command), started="listening on ", folder=folder) as server:
        wanted = ["--congestion", condition.congestion, "--json", *options]
        upload = link.at_client(TOWLINE, "upload", str(source), "--server", server.greeting, *wanted)
        return watch(upload, condition.seconds + 1, _acked_in)


_NUMBERS: Final = count()


def _acked_in(line: str) -> int | None:
    event = json.loads(line)
    if event["event"] == "error":
        raise SystemExit(f"the upload failed: {event['message']}")
    return int(event["offset"]) if event["event"] in ("ready", "ack") else None


Sender = Callable[[Link, Condition, Path], list[Sample]]


def senders() -> Mapping[str, Sender]:
    """What is compared. A client that has no `--connections` has but one."""
    if "--connections" not in finish([TOWLINE, "upload", "--help"]).output:
        return {RAW: raw_tcp, ONE: towline}
    return {
        RAW: raw_tcp,
        ONE: lambda *where: towline(*where, "--connections", "1"),
        AUTO: lambda *where: towline(*where, "--connections", "auto"),
    }


# ---------------------------------------------------------------------------------------------------------- measuring


class Measured(NamedTuple):
    """MiB a second of every sender under one condition, in the order of the rounds."""

    condition: Condition
    rates: Mapping[str, list[float]]

    def ratio(self, sender: str, other: str) -> float | None:
        """How many times as fast, in the median of the rounds; None where one of them is not there."""
        if sender not in self.rates or other not in self.rates:
            return None
        pairs = zip(self.rates[sender], self.rates[other], strict=True)
        return Series.of(ours / theirs for ours, theirs in pairs).median


def measure(conditions: Sequence[Condition], rounds: int) -> list[Measured]:
    compared = senders()
    found = [Measured(condition, {name: [] for name in compared}) for condition in conditions]
    with scratch("far") as folder:
        with (folder / "source.bin").open("wb") as source:
            source.truncate(SOURCE_BYTES)
        for seed in range(1, rounds + 1):
            for condition, rates in found:
                together = [compared] if condition == LOSSY else [{name: send} for name, send in compared.items()]
                for group in together:
                    words = f"{condition.words()}, {' and '.join(group)}"
                    print(f"round {seed} of {rounds}: {words}", file=sys.stderr, flush=True)
                    for name, rate in _measured(group, condition, seed, folder).items():
                        rates[name].append(rate)
    return found


def _measured(group: Mapping[str, Sender], condition: Condition, seed: int, folder: Path) -> dict[str, float]:
    """MiB a second of those that send at the same time, each on a link of its own."""
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        sending = {}
        for name, send in group.items():
            link = stack.enter_context(Link(rtt=RTT, loss=condition.loss, rate=condition.rate, seed=seed))
            sending[name] = pool.submit(send, link, condition, folder)
        samples = {name: future.result() for name, future in sending.items()}
    return {name: rate_of(seen, condition.skipped, condition.seconds) / MIB for name, seen in samples.items()}


def on_loopback(rounds: int) -> list[float]:
    """How many times as fast `--connections auto` is where nothing is far, start and end included."""
    ratios = []
    with scratch("far") as folder, TowlineServer(folder / "data") as server:
        source = folder / "source.bin"
        with source.open("wb") as stream:
            stream.truncate(LOOPBACK_BYTES)
        for number_ in range(rounds):
            seconds = []
            for many in ("1", "auto"):
                options = ["--server", server.url, "--name", f"{number_}-{many}", "--connections", many]
                seconds.append(finish([TOWLINE, "upload", source, *options]).seconds)
            ratios.append(seconds[0] / seconds[1])
    return ratios


# ---------------------------------------------------------------------------------------------------------- reporting


def table(found: Sequence[Measured]) -> Table:
    columns = ("100 ms", "", "MiB/s", "min", "max", "link carries", "beside raw TCP", "beside one connection")
    return Table.of(columns, [row for measured in found for row in _rows(measured)], "one file, far away")


def _rows(measured: Measured) -> Iterator[tuple[str, ...]]:
    for name, rates in measured.rates.items():
        series = Series.of(rates)
        ratios = [measured.ratio(name, other) if name != other else None for other in (RAW, ONE)]
        figures = (series.median, series.min, series.max, measured.condition.rate / MIB)
        beside = ["" if ratio is None else f"{number(ratio)} ×" for ratio in ratios]
        if name == RAW:
            beside = ["", ""]
        yield (measured.condition.words(), name, *map(number, figures), *beside)


def checks(found: Sequence[Measured], loopback: Sequence[float]) -> list[Checked]:
    """Every target that could be measured."""
    checked = []
    for measured in found:
        if (ratio := measured.ratio(ONE, RAW)) is not None:
            target = at_least(f"{measured.condition.words()}: one connection beside raw TCP", BESIDE_RAW, "×")
            checked.append(target.checked(ratio))
        if (ratio := measured.ratio(AUTO, ONE)) is not None and measured.condition == LOSSY:
            checked.append(SEVERAL.checked(ratio))
    return checked + ([NEVER_SLOWER.checked(Series.of(loopback).median)] if loopback else [])


def plots(found: Sequence[Measured]) -> list[Bars]:
    series = {
        f"{measured.condition.words()}: {name}": Series.of(rates)
        for measured in found
        for name, rates in measured.rates.items()
    }
    medians = {label: values.median for label, values in series.items()}
    spans = {label: (values.min, values.max) for label, values in series.items()}
    ours = [label for label in series if not label.endswith(RAW)]
    return [Bars("One file, 100 ms away", "MiB/s", medians, spans=spans, highlighted=ours)]


def main() -> None:
    options_parser = parser("far", __doc__)
    options_parser.add_argument("--rounds", type=int, default=2)
    options = options_parser.parse_args()
    if (lack := lacking()) is not None:
        raise SystemExit(f"far: {lack}")
    found = measure(CONDITIONS, options.rounds)
    loopback = on_loopback(options.rounds + 1) if AUTO in found[0].rates else []
    facts = {
        "rtt_seconds": RTT,
        "mib_a_second": {
            measured.condition.words(): {name: Series.of(rates).facts() for name, rates in measured.rates.items()}
            for measured in found
        },
        "auto_beside_one_on_loopback": [round(ratio, 3) for ratio in loopback],
    }
    notes = [*NOTES, *([] if loopback else [ONE_ONLY])]
    report = Report("far", [table(found)], facts, checks(found, loopback), plots(found), notes)
    publish(report, record=options.record)


if __name__ == "__main__":
    main()
