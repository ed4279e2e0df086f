"""How soon an upload that was killed at 90 % of a large file sends again.

    ./run bench resume [--size GIB] [--rounds 5]

The client is killed (SIGKILL) at the first ack of 90 % or more. Then the same command is started, and a proxy on
loopback notes, by its clock: the process's start, the connection's beginning, the server's first message (`ready`), and
the first binary message's first byte from the client. The same moments of an upload of the same file that begins at 0
stand beside it.
"""

import asyncio
import json
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

from bench.figures import Series, Table, at_most, number
from bench.frames import FrameWatch, Opcode
from bench.large import make_source
from bench.plots import Bars
from bench.processes import GIB, TOWLINE, Failed, TowlineServer, finish, scratch, user_environment
from bench.report import Report, parser, publish
from bench.rounds import interleaved
from tests.links import Happening, Link, Passage

KILLED_AT: Final = 0.9
RESUMED: Final = "resumed at 90 %"
FRESH: Final = "begun at 0"
CONNECTED: Final = at_most("resumed at 90 %: connection to first byte", 0.3, "s")
STARTED: Final = at_most("resumed at 90 %: start of the command to first byte", 0.3, "s", goal=True)
NOTES: Final = (
    "Seconds from three moments to the first byte of the file that the client sends: from the start of the command"
    " (Python and its modules are loaded first), from its TCP connection, and from the server's `ready`, which says"
    " where to go on. The limit is for what resuming takes: from the connection on."
)


class Start(NamedTuple):
    """The moments of one start of the command, by `time.perf_counter`."""

    started: float
    connected: float
    ready: float
    first_byte: float
    offset: int
    """Where the server said to go on."""


class Observer:
    """Sees an upload begin, from between the client and the server."""

    def __init__(self, link: Link) -> None:
        self.up, self.down = FrameWatch(), FrameWatch()
        self.connected = 0.0
        self._link = link
        link.upstream.fault = partial(self._pass, self.up)
        link.downstream.fault = partial(self._pass, self.down)

    def _pass(self, watch: FrameWatch, _: Passage, piece: bytes) -> Iterable[bytes | Happening]:
        watch.see(piece)
        yield piece

    async def until_sending(self) -> None:
        await self._link.until(lambda link: link.connections > 0)
        self.connected = time.perf_counter()
        await self._link.until(lambda _: Opcode.BINARY in self.up.began)


async def events(process: Process, until: Callable[[dict[str, object]], bool]) -> dict[str, object]:
    """Read a command's events up to one. Raises Failed when it does not come."""
    assert process.stdout is not None
    while line := await process.stdout.readline():
        event: dict[str, object] = json.loads(line)
        if until(event):
            return event
    raise Failed(f"the upload ended with exit code {await process.wait()} too early")


async def started(command: Sequence[str]) -> Process:
    return await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=DEVNULL, env=user_environment())


async def killed_at(command: Sequence[str], offset: int) -> None:
    process = await started(command)
    await events(process, lambda event: event["event"] == "ack" and int(str(event["offset"])) >= offset)
    process.kill()
    await process.communicate()


async def observed(link: Link, command: Sequence[str]) -> Start:
    """Start the command, and see it to its end. Raises Failed when it had nothing to send."""
    observer, began = Observer(link), time.perf_counter()
    process = await started(command)
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(observer.until_sending())
        ready = await events(process, lambda event: event["event"] == "ready")
        await events(process, lambda event: event["event"] == "complete")
        sent = Opcode.BINARY in observer.up.began
        sending.cancel()
    await process.communicate()
    if not sent:
        raise Failed("all of the file was durable before the upload was killed: take a larger --size")
    first_byte, answered = observer.up.began[Opcode.BINARY], observer.down.began[Opcode.TEXT]
    return Start(began, observer.connected, answered, first_byte, int(str(ready["offset"])))


async def one_start(port: int, source: Path, name: str, kill_at: int) -> Start:
    """An upload that is killed there (not at all for 0), then the start that is looked at."""
    if kill_at:
        await killed_at(_upload(source, name, f"http://127.0.0.1:{port}"), kill_at)
    async with Link("127.0.0.1", port) as link:
        return await observed(link, _upload(source, name, link.url))


def _upload(source: Path, name: str, url: str) -> list[str]:
    return [TOWLINE, "upload", str(source), "--name", name, "--server", url, "--json"]


def measure(size: int, rounds: int) -> dict[str, list[Start]]:
    with scratch("resume") as folder, TowlineServer(folder / "data") as server:
        source = make_source(folder / "source.bin", size).path
        names = count()

        def run(kill_at: int) -> Start:
            name = f"{next(names)}.bin"
            start = asyncio.run(one_start(server.port, source, name, kill_at))
            finish([TOWLINE, "rm", name, "--server", server.url])
            if start.offset < kill_at:
                raise Failed(f"it was killed at {kill_at} and went on at {start.offset}")
            return start

        candidates = {FRESH: partial(run, 0), RESUMED: partial(run, int(size * KILLED_AT))}
        return interleaved(candidates, rounds, sources=[source])


def main() -> None:
    options = parser("resume", __doc__)
    options.add_argument("--size", type=float, default=1.0, metavar="GIB", help="of the file; 1 by default")
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    starts = measure(int(chosen.size * GIB), chosen.rounds)
    publish(report(starts, chosen.size), record=chosen.record)


def report(starts: dict[str, list[Start]], gib: float) -> Report:
    series = {
        name: {
            "start of the command": Series.of(start.first_byte - start.started for start in found),
            "connection": Series.of(start.first_byte - start.connected for start in found),
            "ready": Series.of(start.first_byte - start.ready for start in found),
        }
        for name, found in starts.items()
    }
    rows = [
        [name, moment, *map(number, (values.median, values.min, values.max))]
        for name, moments in series.items()
        for moment, values in moments.items()
    ]
    resumed = series[RESUMED]
    return Report(
        "resume",
        [Table.of(["upload", "to the first byte from", "s", "min", "max"], rows, f"one file of {gib:g} GiB")],
        {
            "size_gib": gib,
            **{name: {key: values.facts(4) for key, values in found.items()} for name, found in series.items()},
        },
        [CONNECTED.checked(resumed["connection"].median), STARTED.checked(resumed["start of the command"].median)],
        [_plot(series)],
        [NOTES],
    )


def _plot(series: dict[str, dict[str, Series]]) -> Bars:
    flat = {f"{name}, from {moment}": values for name, found in series.items() for moment, values in found.items()}
    medians = {label: values.median for label, values in flat.items()}
    spans = {label: (values.min, values.max) for label, values in flat.items()}
    ours = [label for label in flat if label.startswith(RESUMED)]
    return Bars("Until the first byte is sent", "seconds", medians, spans, ours, CONNECTED.limit)


if __name__ == "__main__":
    main()
