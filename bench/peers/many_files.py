"""The contenders for many small files: each sends a whole folder, again and again under other names.

As in `services`, each function starts a server in `stack`, and raises Missing when a peer cannot be had.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from bench.peers.packages import BASE_PYTHON, debian, node_modules, python_environment
from bench.peers.services import LISTENING, RSYNCD
from bench.processes import TOWLINE, Argument, Failed, Service, TowlineServer, Transfer, free_port, transfer


@dataclass
class Sender:
    """One way of sending a folder, measured, and the check that all of it did arrive, each time anew."""

    promises: str
    """What it has checked and synced when it says that it is done."""
    server: Service
    command: Callable[[Path, str], Sequence[Argument]]
    """Sends this folder, for the so-and-so-manyth time."""
    arrives_in: Path
    environment: Mapping[str, str] | None = None
    _seen: set[Path] = field(default_factory=set)
    _times: "count[int]" = field(default_factory=count)

    def run(self, folder: Path) -> Transfer:
        """Raises Failed."""
        time = f"time-{next(self._times)}"
        measured = transfer(self.server, self.command(folder, time), environment=self.environment)
        sent = [path for path in folder.rglob("*") if path.is_file()]
        sizes = {path.stat().st_size for path in sent}  # some keep notes of their own beside contents
        arrived = {path for path in self.arrives_in.rglob("*") if path.is_file() and path.stat().st_size in sizes}
        if contents(arrived - self._seen) != contents(sent):
            raise Failed(f"what arrived in {self.arrives_in} is not what was sent")
        self._seen = arrived
        return measured


Maker = Callable[[Path, ExitStack], Sender]


def contents(paths: Iterable[Path]) -> list[bytes]:
    """The digests of files, in their own order."""
    return sorted(hashlib.sha256(path.read_bytes()).digest() for path in paths)


def towline(folder: Path, stack: ExitStack) -> Sender:
    server = stack.enter_context(TowlineServer(folder / "data"))

    def command(source: Path, time: str) -> list[Argument]:
        return [TOWLINE, "upload", source, "--server", server.url, "--prefix", time]

    return Sender("SHA-256 on both sides, every file synced", server, command, folder / "data" / "objects")


def rclone(folder: Path, stack: ExitStack, *, transfers: int) -> Sender:
    program, port, data = debian("rclone", "rclone"), free_port(), _data(folder)
    common: list[Argument] = ["--config", "/dev/null"]
    serve: list[Argument] = [program, "serve", "webdav", data, "--addr", f"127.0.0.1:{port}", *common]
    url: list[Argument] = ["--webdav-url", f"http://127.0.0.1:{port}", "--webdav-vendor", "other"]

    def command(source: Path, time: str) -> list[Argument]:
        return [program, "copy", source, f":webdav:{time}", *url, "--transfers", str(transfers), *common]

    return Sender("size", stack.enter_context(Service(serve, port=port)), command, data)


def rsync(folder: Path, stack: ExitStack) -> Sender:
    program, port, data = debian("rsync", "rsync"), free_port(), _data(folder)
    configuration = folder / "rsyncd.conf"
    configuration.write_text(RSYNCD.format(folder=folder))
    where: list[Argument] = ["--address=127.0.0.1", f"--port={port}", f"--config={configuration}"]
    server = stack.enter_context(Service([program, "--daemon", "--no-detach", *where], port=port))

    def command(source: Path, time: str) -> list[Argument]:
        return [program, "--recursive", f"{source}/", f"rsync://127.0.0.1:{port}/data/{time}/"]

    return Sender("its own checksum", server, command, data)


def copyparty(folder: Path, stack: ExitStack) -> Sender:
    environment, port, data = python_environment(folder / "home"), free_port(), _data(folder)
    where: list[Argument] = ["-i", "127.0.0.1", "-p", str(port), "-v", f"{data}::rw"]
    serve: list[Argument] = [BASE_PYTHON, "-m", "copyparty", "-q", *where]
    server = stack.enter_context(Service(serve, port=port, environment=environment, folder=folder))

    def command(source: Path, time: str) -> list[Argument]:
        return [BASE_PYTHON, "-m", "copyparty.web.a.u2c", "-ns", f"http://127.0.0.1:{port}/{time}/", f"{source}/"]

    return Sender("SHA-512 of chunks on both sides", server, command, data, environment)


def node_tus(folder: Path, stack: ExitStack) -> Sender:
    scripts, data = node_modules(), _data(folder)
    server = stack.enter_context(Service(["node", scripts / "tus_server.js", data], started=LISTENING))

    def command(source: Path, _: str) -> list[Argument]:
        endpoint = f"http://127.0.0.1:{server.greeting}/files"
        return ["node", scripts / "tus_upload.js", endpoint, *sorted(source.rglob("*.bin"))]

    return Sender("nothing", server, command, data)


def _data(folder: Path) -> Path:
    data = folder / "data"
    data.mkdir()
    return data


TOWLINE_UPLOAD: Final = "towline upload"
PEERS: Final[Mapping[str, Maker]] = {
    "rclone → serve webdav, 4 at a time": partial(rclone, transfers=4),
    "rclone → serve webdav, 16 at a time": partial(rclone, transfers=16),
    "rsync → daemon": rsync,
    "copyparty + u2c": copyparty,
    "Node tus + tus-js-client": node_tus,
}
