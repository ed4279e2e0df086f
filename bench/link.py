"""A long fat link on this machine: two network namespaces, and between them a delay, a rate, a queue, and loss.

    with Link(rtt=0.1, loss=0.01, rate=25e6) as link:
        server = subprocess.Popen(link.at_server("./run", "serve", "--host", link.server_address))
        subprocess.run(link.at_client("./run", "towline", "upload", "big.iso", "--server", f"http://{…}"))

Packets are carried by bench/link.c, compiled when first needed, between two TUN devices: in a process of its own, ahead
of all others for the processor. Each direction has the rate and the queue for itself; every packet of either direction
is lost with the same chance, from a generator with a seed: the same seed loses the same packets, counted from the
first. Connections learn nothing from those before them (`tcp_no_metrics_save`); everything else of TCP is as the system
has it. The namespaces have no names, and are gone with the last process in them, however this one ends. Needs root and
a C compiler; `lacking` says so.
"""

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final, NamedTuple, Self

SOURCE: Final = Path(__file__).with_suffix(".c")
CLIENT_ADDRESS: Final = "10.10.0.1"
SERVER_ADDRESS: Final = "10.10.0.2"


class Carried(NamedTuple):
    """What one direction of a link has carried when it ended."""

    packets: int
    bytes: int
    lost: int
    """By chance."""
    dropped: int
    """As the queue was full."""
    refused: int
    """By the device at the other end."""
    latest: float
    """The most by which a packet was late, in seconds: a busy machine makes a bad link."""


def lacking() -> str | None:
    """What this machine lacks for a link; None when nothing."""
    if os.geteuid() != 0:
        return "a link takes network namespaces, so it needs root"
    for command, package in {"cc": "gcc", "nsenter": "util-linux"}.items():
        if shutil.which(command) is None:
            return f"there is no {command} here: install {package}"
    return None if Path("/dev/net/tun").exists() else "there is no /dev/net/tun here: load the module tun"


@functools.cache
def _compiled() -> "tempfile.TemporaryDirectory[str]":
    """The folder with the forwarder; it goes when Python ends."""
    folder = tempfile.TemporaryDirectory(prefix="towline-link-")
    options = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2"]
    subprocess.run(["cc", *options, "-o", f"{folder.name}/link", str(SOURCE)], check=True)
    return folder


class Link:
    """A link while it is entered: `rtt` in seconds, `loss` as a probability for each packet, `rate` in bytes a second
    (None: whatever the machine can do), `queue` in bytes: by default what the link holds in a round trip."""

    client_address: Final = CLIENT_ADDRESS
    server_address: Final = SERVER_ADDRESS

    def __init__(
        self, *, rtt: float, loss: float = 0.0, rate: float | None = None, queue: int | None = None, seed: int = 1
    ) -> None:
        if (lack := lacking()) is not None:
            raise SystemExit(lack)
        self.rtt = rtt
        self.loss = loss
        self.rate = rate
        self._queue = queue if queue is not None else int((rate or 0) * rtt) or 1 << 20
        self._seed = seed
        self._forwarder: subprocess.Popen[str] | None = None
        self._namespaces = ("", "")
        self.to_server: Carried | None = None
        """What it carried in this direction, known when it has ended."""
        self.to_client: Carried | None = None
        """The same for the other one."""

    def __enter__(self) -> Self:
        numbers = [int(self.rtt / 2 * 1e9), self.rate or 0, self._queue, self.loss, self._seed]
        self._forwarder = subprocess.Popen(
            [f"{_compiled().name}/link", *map(str, numbers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for this process, whose end is that of its stdin
        )
        try:
            self._set_up(self._forwarder)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _set_up(self, forwarder: "subprocess.Popen[str]") -> None:
        assert forwarder.stdout is not None
        words = forwarder.stdout.readline().split()
        if words[:1] != ["ready"]:
            raise SystemExit("the link could not be made, see above")
        client, server = (f"--net=/proc/{forwarder.pid}/fd/{descriptor}" for descriptor in words[1:])
        self._namespaces = client, server

    def __exit__(self, *exc_info: object) -> None:
        if self._forwarder is None:
            return
        output, _ = self._forwarder.communicate()
        self._forwarder = None
        carried = {name: [int(number) for number in numbers] for name, *numbers in map(str.split, output.splitlines())}
        self.to_server = _carried(carried.get("to_server"))
        self.to_client = _carried(carried.get("to_client"))

    def at_client(self, *command: str) -> list[str]:
        """The command that runs `command` at the client's end."""
        return ["nsenter", self._namespaces[0], *command]

    def at_server(self, *command: str) -> list[str]:
        """The command that runs `command` at the server's end."""
        return ["nsenter", self._namespaces[1], *command]


def _carried(numbers: list[int] | None) -> Carried | None:
    if numbers is None:
        return None
    packets, sent_bytes, lost, dropped, refused, latest = numbers
    return Carried(packets, sent_bytes, lost, dropped, refused, latest / 1e9)
