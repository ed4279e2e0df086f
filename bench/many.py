"""Many clients: memory of the server for each, the latency of an echo meanwhile, and how both grow (1 to 1,000).

    ./run bench many [--clients 1000] [--seconds 3] [--record]

For each number of clients there is a fresh server, and beside it a bare echo server of the websockets library as the
floor. Memory is the proportional set size (proc(5), smaps_rollup) above what the server had after a warm-up, over the
number of connections, read a second after the last of them connected, and after the probe while they upload.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import randbytes
from typing import Final

from bench.crowd import CHECKOUT, MESSAGE_BYTES, PROBE_SECONDS, SLOW_PERIOD, Crowd
from bench.figures import Series, Table, at_most, number
from bench.plots import Lines
from bench.processes import MIB, TOWLINE, Service, TowlineServer, finish, scratch, usage_of
from bench.report import Report, parser, publish

IDLE: Final = at_most("memory of an idle connection", 60, "KiB")
LOADED: Final = at_most("memory of a connection that uploads slowly", 160, "KiB")
ECHO_BESIDE_MANY: Final = at_most("echo p99 beside slow uploads", 15, "ms")
ECHO_BESIDE_ONE: Final = at_most("echo p99 beside one upload at full speed", 8, "ms")

GROWTH: Final = (1, 10, 100, 1_000)
SETTLE_SECONDS: Final = 1.0
WARM_UP: Final = 5
AT_ONCE_MIB: Final = 192
"""What all clients of a number upload together at full speed."""
FAST_MIB: Final = 1_024
SETTINGS: Final = {"TOWLINE_CONNECTION_BURST": "4000", "TOWLINE_MAX_CONNECTIONS_PER_ADDRESS": "4000"}
"""All of them come from one address, the warm-up and the probe as well."""


@dataclass(frozen=True)
class Crowded:
    """A server with so many clients."""

    clients: int
    idle_kib: float
    loaded_kib: float
    echo: Series
    """Seconds."""
    cpu_share: float
    """CPU seconds of the server for each second of load."""
    acks: Series | None = None
    """Seconds from a message to its ack."""
    mib_a_second: float = 0.0
    """All uploads together, at full speed."""

    @property
    def echo_p99_ms(self) -> float:
        return p99_ms(self.echo)

    def facts(self) -> dict[str, float]:
        return {
            "clients": self.clients,
            "idle_kib": round(self.idle_kib, 1),
            "loaded_kib": round(self.loaded_kib, 1),
            "echo_p50_ms": round(self.echo.median * 1e3, 3),
            "echo_p99_ms": round(self.echo_p99_ms, 3),
            "cpu_share": round(self.cpu_share, 3),
            "ack_p99_ms": 0.0 if self.acks is None else round(p99_ms(self.acks), 1),
            "mib_a_second": round(self.mib_a_second, 1),
        }


def p99_ms(seconds: Series) -> float:
    return seconds.percentile(99) * 1e3


def pss_kib(pid: int) -> int:
    """The proportional set size of a process (proc(5), smaps_rollup)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise ProcessLookupError(f"process {pid} has no Pss")


@contextmanager
def bare_echo() -> Iterator[Service]:
    """The server that does nothing else."""
    with Service([sys.executable, "-m", "bench.crowd.bare_echo"], started="listening on ", folder=CHECKOUT) as server:
        server.port = int(server.greeting)
        yield server


def beside_slow_uploads(clients: int, seconds: float, folder: Path) -> Crowded:
    """Towline, with so many clients that are idle, then upload slowly, then all at once."""
    with (
        TowlineServer(folder / f"data-{clients}", environment=SETTINGS) as server,
        Crowd(server.port, "/ws") as crowd,
        Crowd(server.port, "/ws") as probe,
    ):
        crowd.connect(WARM_UP)
        crowd.upload_at_once(MESSAGE_BYTES, 1)
        crowd.leave()
        crowded = _measured(server, crowd, probe, clients, seconds, load=crowd.upload_slowly)
        acks = crowd.ack_seconds()
        crowd.leave()
        server.usage()  # once it has closed what they left
        crowd.connect(clients)
        each = AT_ONCE_MIB * MIB // clients
        pieces = max(1, each // MIB)
        took = crowd.upload_at_once(each // pieces, pieces)
        return Crowded(
            **vars(crowded) | {"acks": Series.of(acks) if acks else None, "mib_a_second": AT_ONCE_MIB / took}
        )


def beside_echoes(clients: int, seconds: float) -> Crowded:
    """The bare server, with as many clients that send as much."""
    with bare_echo() as server, Crowd(server.port, "/") as crowd, Crowd(server.port, "/") as probe:
        crowd.connect(WARM_UP)
        crowd.leave()
        return _measured(server, crowd, probe, clients, seconds, load=crowd.echo_slowly)


def _measured(
    server: Service, crowd: Crowd, probe: Crowd, clients: int, seconds: float, load: Callable[[], None]
) -> Crowded:
    probe.probe(0.5)
    time.sleep(SETTLE_SECONDS)
    before = pss_kib(server.pid)
    crowd.connect(clients)
    time.sleep(SETTLE_SECONDS)
    idle = pss_kib(server.pid)
    load()
    time.sleep(SLOW_PERIOD + SETTLE_SECONDS)
    crowd.ack_seconds()  # those of the time in which others began are nobody's
    used, began = usage_of(server.pid), time.monotonic()
    echo = Series.of(probe.probe(seconds))
    share = usage_of(server.pid).since(used).cpu_seconds / (time.monotonic() - began)
    loaded = pss_kib(server.pid)
    return Crowded(clients, (idle - before) / clients, (loaded - before) / clients, echo, share)


def beside_full_speed(path: str, folder: Path) -> tuple[Series, float]:
    """Echoes at `path` while `towline upload` sends one large file, as long as it does: seconds of each, and MiB/s."""
    source = folder / "large.bin"
    if not source.exists():
        content = randbytes(MIB)
        with source.open("wb") as stream:
            for _ in range(FAST_MIB):
                stream.write(content)
    with TowlineServer(folder / f"data{path.replace('/', '-')}", environment=SETTINGS) as server:
        upload = partial(finish, [TOWLINE, "upload", source, "--server", server.url, "--quiet"])
        with Crowd(server.port, path) as probe, ThreadPoolExecutor(1) as pool:
            probe.probe(0.3)
            uploading, found = pool.submit(upload), []
            time.sleep(0.5)  # until it sends
            while not uploading.done():
                found += probe.probe(0.25)
            return Series.of(found), FAST_MIB / uploading.result().seconds


def report(ours: list[Crowded], bare: list[Crowded], fast: dict[str, tuple[Series, float]]) -> Report:
    columns = ("clients", "idle KiB", "uploading KiB", "echo p50 ms", "p99 ms", "CPU", "ack p99 ms", "MiB/s at once")
    rows = [
        (
            f"{name}, {one.clients:,}",
            number(one.idle_kib),
            number(one.loaded_kib),
            number(one.echo.median * 1e3),
            number(one.echo_p99_ms),
            f"{one.cpu_share:.0%}",
            "" if one.acks is None else number(p99_ms(one.acks)),
            "" if one.acks is None else number(one.mib_a_second),
        )
        for name, several in (("towline", ours), ("bare echo", bare))
        for one in several
    ]
    beside = [
        (path, number(echo.median * 1e3), number(p99_ms(echo)), number(echo.max * 1e3), number(rate))
        for path, (echo, rate) in fast.items()
    ]
    most = ours[-1]
    worst = max(p99_ms(echo) for echo, _ in fast.values())
    return Report(
        "many",
        [
            Table.of(columns, rows),
            Table.of(("echo beside one upload, at", "p50 ms", "p99 ms", "max ms", "the upload's MiB/s"), beside),
        ],
        {
            "towline": [one.facts() for one in ours],
            "bare_echo": [one.facts() for one in bare],
            "beside_one": {path: echo.facts(5) | {"mib_a_second": round(rate)} for path, (echo, rate) in fast.items()},
        },
        checks=[
            IDLE.checked(most.idle_kib),
            LOADED.checked(most.loaded_kib),
            ECHO_BESIDE_MANY.checked(most.echo_p99_ms),
            ECHO_BESIDE_ONE.checked(worst),
        ],
        plots=_plots(ours, bare),
        notes=notes(ours),
    )


def _plots(ours: list[Crowded], bare: list[Crowded]) -> list[Lines]:
    many, floor = [one for one in ours if one.clients > 1], [one for one in bare if one.clients > 1]
    memory = {
        "towline, uploading": [(one.clients, one.loaded_kib) for one in many],
        "towline, idle": [(one.clients, one.idle_kib) for one in many],
        "bare echo, echoing": [(one.clients, one.loaded_kib) for one in floor],
        "bare echo, idle": [(one.clients, one.idle_kib) for one in floor],
    }
    echo = {
        "towline": [(one.clients, one.echo_p99_ms) for one in ours],
        "bare echo": [(one.clients, one.echo_p99_ms) for one in bare],
    }
    rate = {"all together": [(one.clients, one.mib_a_second) for one in ours]}
    return [
        Lines("Memory of a connection", "clients", "KiB", memory, log_x=True),
        Lines(
            "Echo p99 beside slow clients", "clients", "ms", echo, log_x=True, log_y=True, limit=ECHO_BESIDE_MANY.limit
        ),
        Lines("Uploads at full speed", "clients", "MiB/s", rate, log_x=True),
    ]


def notes(ours: Sequence[Crowded]) -> list[str]:
    settings = ", ".join(f"`{name}={value}`" for name, value in SETTINGS.items())
    few, most, fastest = ours[0], ours[-1], max(ours, key=lambda one: one.mib_a_second)
    return [
        f"A slow client sends {MESSAGE_BYTES >> 10} KiB each {SLOW_PERIOD:g} s; the probe is a process of its own, with"
        f" one echo each {PROBE_SECONDS * 1e3:.0f} ms. At once, they upload {AT_ONCE_MIB} MiB in all, each its part, to"
        f" `complete`. Beside the defaults: {settings}, as all come from one address.",
        "*Memory* is what the server has more, over the number of connections. What a few of them hold fits into what"
        " the warm-up left free, so small numbers show too little of it."
        f" With {most.clients:,}: {number(most.idle_kib)} KiB idle, {number(most.loaded_kib)} KiB while they upload.",
        "*The echo* waits for what the loop and the catalog's thread do for others: a slow message costs a frame, a"
        f" write, a sync, a row and an ack. With {few.clients:,} of them the server takes {few.cpu_share:.0%} of a core"
        f" and the echo {number(few.echo_p99_ms)} ms (p99), with {most.clients:,} it takes {most.cpu_share:.0%} and the"
        f" echo {number(most.echo_p99_ms)} ms.",
        "*At once*, the more they are, the smaller is each one's part, and the more counts what beginning and"
        f" publishing a file costs beside its bytes; one alone has one core for its digest. Together they"
        f" were fastest with {fastest.clients:,} of them: {number(fastest.mib_a_second)} MiB/s.",
    ]


def main() -> None:
    options = parser("many", __doc__)
    options.add_argument("--clients", type=int, default=GROWTH[-1], help="the most of them")
    options.add_argument("--seconds", type=float, default=3.0, help="how long each probe goes on")
    arguments = options.parse_args()
    numbers = [clients for clients in GROWTH if clients < arguments.clients] + [arguments.clients]
    with scratch("many") as folder:
        bare = [beside_echoes(clients, arguments.seconds) for clients in numbers]
        ours = [beside_slow_uploads(clients, arguments.seconds, folder) for clients in numbers]
        fast = {path: beside_full_speed(path, folder) for path in ("/ws", "/echo")}
    publish(report(ours, bare, fast), record=arguments.record)


if __name__ == "__main__":
    main()
