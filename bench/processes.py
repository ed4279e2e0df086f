"""Commands and services as processes of their own, and what each of them used: time, CPU, memory.

    with TowlineServer(folder / "data") as server:
        client = finish([TOWLINE, "upload", path, "--server", server.url])   # a Finished
    usage = server.usage()                                                   # a Usage; read it inside of the with

CPU seconds are user and system of a whole tree: the process, its children, and their children. Peak memory is VmHWM
(proc(5)), added up over the tree. It is looked at every LOOK seconds, so a peak right before an exit may be missed;
`ru_maxrss` would not do, for a process begins with its parent's (Linux, exec_mmap in fs/exec.c).
"""

import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Self

MIB: Final = 1 << 20
GIB: Final = 1 << 30
TOWLINE: Final = str(Path(sys.executable).with_name("towline"))
"""The command as `./run` installed it, for the start of a command line."""
LOOK: Final = 0.02
QUIET: Final = 0.05
"""A service whose CPU clock stands still for so long has done its work."""
PATIENCE: Final = 30.0
TICKS: Final = os.sysconf("SC_CLK_TCK")
Argument = str | Path


class Failed(Exception):
    """A command ended with an error, or a service did not start; `str()` has the end of what it said."""


@dataclass(frozen=True)
class Usage:
    """What a process and its children used so far."""

    cpu_seconds: float
    peak_mib: float

    def since(self, before: "Usage") -> "Usage":
        """What was used in between; the peak is the later one's."""
        return Usage(self.cpu_seconds - before.cpu_seconds, self.peak_mib)


@dataclass(frozen=True)
class Finished:
    """A command from its start to its end."""

    seconds: float
    usage: Usage
    output: str
    """What it wrote to stdout."""


def peak_mib(pid: int) -> float:
    """The largest resident set of one process so far, in MiB (proc(5), VmHWM). Raises OSError when it is gone, and
    ProcessLookupError when it has ended and nobody has waited for it yet."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(f"process {pid} has no VmHWM")


def resident_mib(pid: int) -> float:
    """What one process has in memory now, in MiB (proc(5), VmRSS). Raises as `peak_mib` does."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(f"process {pid} has no VmRSS")


def usage_of(pid: int) -> Usage:
    """What a tree of processes that runs used so far, children that have ended included. Its difference over a time
    is exact to the microsecond, but for children that ended within it: their part is to 10 ms."""
    processes = list(_tree(pid))
    return Usage(sum(map(_cpu_seconds, processes)), sum(map(_peak_or_nothing, processes)))


def _tree(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):  # one that ends meanwhile is counted with its parent
        for thread in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split():
                yield from _tree(int(child))


def _cpu_seconds(pid: int) -> float:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ended_children = (int(fields[13]) + int(fields[14])) / TICKS  # cutime and cstime of proc(5)
        return time.clock_gettime((~pid << 3) | 2) + ended_children  # clock_getcpuclockid(3), as the kernel numbers it
    return 0.0


def _peak_or_nothing(pid: int) -> float:
    with suppress(OSError):
        return peak_mib(pid)
    return 0.0


def settled_usage(pid: int) -> Usage:
    """What a service used, once it has ended what a client left it to do (or after PATIENCE)."""
    deadline, usage = time.monotonic() + PATIENCE, usage_of(pid)
    while time.monotonic() < deadline:
        time.sleep(QUIET)
        before, usage = usage, usage_of(pid)
        if usage.cpu_seconds - before.cpu_seconds < QUIET / 50:
            break
    return usage


def user_environment(**more: str) -> dict[str, str]:
    """This environment as a person's shell has it: nothing that configures Towline, Python or a proxy."""
    ours = ("TOWLINE_", "PYTHON", "PYTEST_")
    proxies = {"http_proxy", "https_proxy", "all_proxy"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {name: value for name, value in kept.items() if name.lower() not in proxies} | more


def finish(
    command: Sequence[Argument],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    codes: Iterable[int] = (0,),
) -> Finished:
    """Run a command to its end, from the moment before it is started. Its output goes to files, so that nobody has to
    read it meanwhile. Raises Failed when it ends with none of `codes`."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            env=environment if environment is not None else user_environment(),
            cwd=folder,
            stdin=stdin,
            stdout=output,
            stderr=errors,
        )
        peak, cpu_seconds = _wait(process)
        seconds = time.perf_counter() - began
        if process.returncode not in codes:
            raise Failed(f"{command[0]} ended with {process.returncode}:\n{_end_of(errors) or _end_of(output)}")
        output.seek(0)
        return Finished(seconds, Usage(cpu_seconds, peak), output.read().decode(errors="replace"))


def _wait(process: "subprocess.Popen[bytes]") -> tuple[float, float]:
    """Wait for its end. Returns its peak memory in MiB and CPU seconds."""
    peak, ended = 0.0, select.poll()
    descriptor = os.pidfd_open(process.pid)
    try:
        ended.register(descriptor, select.POLLIN)
        while not ended.poll(LOOK * 1_000):
            peak = max(peak, sum(map(_peak_or_nothing, _tree(process.pid))))
    except BaseException:
        process.kill()
        raise
    finally:
        os.close(descriptor)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return peak or used.ru_maxrss / 1024, used.ru_utime + used.ru_stime


def _end_of(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")[-2_000:].strip()


class Service:
    """A server as a process, ended when the block ends. It has started when a line of its stdout begins with `started`
    (the rest of that line is `greeting`), or when its `port` takes connections. Raises Failed."""

    def __init__(
        self,
        command: Sequence[Argument],
        *,
        started: str | None = None,
        port: int = 0,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._patience = patience
        self._command = [str(part) for part in command]
        self._started = started
        self._environment = environment if environment is not None else user_environment()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the block ends
        self.port = port
        self.greeting = ""

    @property
    def pid(self) -> int:
        assert self._process is not None, "it was not started"
        return self._process.pid

    def usage(self) -> Usage:
        """What it used so far, once it has come to rest."""
        return settled_usage(self.pid)

    def output(self) -> str:
        """What it wrote so far, of a MiB at most."""
        return os.pread(self._output.fileno(), 1 << 20, 0).decode(errors="replace")

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until(self._is_ready, f"{self._command[0]} did not start", self._patience)
        except BaseException as failed:
            self.__exit__()
            if isinstance(failed, TimeoutError):
                raise Failed(str(failed)) from None
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise Failed(f"{self._command[0]} ended with {self._process.returncode}:\n{_end_of(self._output)}")
        if self._started is None:
            return takes_connections(self.port)
        for line in self.output().split("\n")[:-1]:
            if line.startswith(self._started):
                self.greeting = line.removeprefix(self._started).strip()
                return True
        return False


class TowlineServer(Service):
    """`towline serve` on a free port, with its default settings and those in `environment`."""

    def __init__(self, data: Path, *options: str, environment: Mapping[str, str] | None = None, port: int = 0) -> None:
        command: list[Argument] = [TOWLINE, "serve", "--port", str(port), "--data", data, *options]
        super().__init__(
            command, started="listening on ", environment=user_environment(**(environment or {})), folder=data.parent
        )

    @property
    def url(self) -> str:
        return self.greeting

    def __enter__(self) -> Self:
        super().__enter__()
        self.port = int(self.url.rpartition(":")[2])
        return self


@dataclass(frozen=True)
class Transfer:
    """What a client and its server used for one thing that the client did."""

    seconds: float
    client: Usage
    server: Usage
    output: str = ""

    @property
    def cpu_seconds(self) -> float:
        """Of both."""
        return self.client.cpu_seconds + self.server.cpu_seconds


def transfer(
    service: Service, command: Sequence[Argument], *, environment: Mapping[str, str] | None = None
) -> Transfer:
    """Run a client to its end; the server's part is counted until it has come to rest. Raises Failed."""
    before = service.usage()
    client = finish(command, environment=environment)
    return Transfer(client.seconds, client.usage, service.usage().since(before), client.output)


def wait_until(condition: Callable[[], bool], complaint: str, patience: float = PATIENCE) -> None:
    """Look every few milliseconds. Raises TimeoutError with the complaint after that many seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{complaint} within {patience:.0f} s")
        time.sleep(0.005)


def takes_connections(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def free_port() -> int:
    """A port that nobody has now, for servers that cannot be told to take a free one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A folder for the files of a measurement, in TMPDIR: let that be on the disk that is to be measured."""
    with tempfile.TemporaryDirectory(prefix=f"towline-bench-{name}-") as folder:
        yield Path(folder)
