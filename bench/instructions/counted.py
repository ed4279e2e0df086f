"""Counting: one upload with one side of it under valgrind, and what of that falls on which library.

What is counted hardly depends on the machine's load: valgrind is so slow that the other side has always sent, or
always reads. It runs one thread at a time, and knows no newer instructions than AVX2.
"""

import os
import platform
import re
import shutil
import signal
import ssl
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Final

from bench.instructions.comparison import Costs, Count
from bench.instructions.driven import SWITCH, TIMES
from bench.processes import MIB, TOWLINE, Argument, Service, finish, user_environment, wait_until

HERE: Final = Path(__file__).parent
CHECKOUT: Final = HERE.parent.parent
WARM_UP_BYTES: Final = 8 * MIB
COUNTED_MIB: Final = 16
PATIENCE: Final = 180.0
"""Valgrind takes ten times as long to start something, and others may be busy."""
DRIVEN: Final = (sys.executable, "-m", "bench.instructions.driven")
PINNED: Final = {
    "PYTHONHASHSEED": "0",
    "PYTHONPATH": str(CHECKOUT),
    "OPENSSL_ia32cap": "~0x1000000000000000:~0x20010128",
}
"""OpenSSL without AVX and the SHA instructions, whichever the processor has: OPENSSL_ia32cap(3)."""
PURPOSES: Final = {
    "digests and checksums": re.compile(r"libcrypto|blake3|xxhash"),
    "copies and masks": re.compile(r"/libc\.so|/speedups\."),
}
REST: Final = "all else"


class Missing(Exception):
    """This machine lacks what counts; `str()` says what."""


def count(folder: Path) -> Count:
    """Count both paths, in an empty folder. Raises Missing, Failed of bench.processes."""
    for tool in ("valgrind", "cc"):
        if shutil.which(tool) is None:
            raise Missing(f"{tool} is not installed; on Debian or Ubuntu: apt install valgrind gcc libc6-dev")
    switch = folder / "switch.so"
    finish(["cc", "-O1", "-shared", "-fPIC", "-o", switch, HERE / "switch.c"], environment=os.environ)
    warm_up, source = folder / "warm-up", folder / "source"
    for path, size in ((warm_up, WARM_UP_BYTES), (source, COUNTED_MIB * MIB)):
        path.write_bytes(_content(path.name, size))
    paths = {
        "receiving": receiving(folder, switch, warm_up, source),
        "sending": sending(folder, switch, warm_up, source),
    }
    lock = sha256((CHECKOUT / "requirements.lock").read_bytes()).hexdigest()[:16]
    return Count(environment(), lock, paths)


def environment() -> dict[str, str]:
    """What the figures depend on, besides what the checkout pins."""
    said = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "Python": f"{platform.python_version()} ({platform.python_compiler()})",
        "OpenSSL": ssl.OPENSSL_VERSION,
        "libc": " ".join(platform.libc_ver()),
        "valgrind": said.strip().removeprefix("valgrind-"),
        "machine": platform.machine(),
    }


def receiving(folder: Path, switch: Path, warm_up: Path, source: Path) -> Costs:
    """The server's side."""
    profile = folder / "receiving.callgrind"
    server = Driven(folder / "received", profile, switch)
    with server:
        _upload(server, warm_up, "warm-up")
        for number in range(TIMES):
            server.tell(signal.SIGUSR1)
            _upload(server, source, str(number))
            server.tell(signal.SIGUSR2)
    return least(profile)


def sending(folder: Path, switch: Path, warm_up: Path, source: Path) -> Costs:
    """The client's side."""
    profile = folder / "sending.callgrind"
    with Driven(folder / "sent") as server:
        command: list[Argument] = [*_valgrind(profile), *DRIVEN, "send", server.greeting, warm_up, source]
        finish(command, environment=user_environment(**PINNED, **{SWITCH: str(switch)}))
    return least(profile)


def least(profile: Path) -> Costs:
    """Of several counts, for each purpose the one that was held up least: chance adds, and takes nothing away."""
    counts = [costs(profile.with_name(f"{profile.name}.{number}").read_text()) for number in range(1, TIMES + 1)]
    return {purpose: min(count[purpose] for count in counts) for purpose in counts[0]}


class Driven(Service):
    """The server of bench.instructions.driven; with a `profile` it is counted."""

    def __init__(self, data: Path, profile: Path | None = None, switch: Path | None = None) -> None:
        under = [] if profile is None else _valgrind(profile)
        told = {} if switch is None else {SWITCH: str(switch)}
        super().__init__(
            [*under, *DRIVEN, "serve", data],
            started="listening on ",
            environment=user_environment(**PINNED, **told),
            patience=PATIENCE,
        )

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal; it has acted on it when this returns."""
        before = self.output().count("told\n")
        os.kill(self.pid, number)
        wait_until(lambda: self.output().count("told\n") > before, "the server was told, and said nothing,", PATIENCE)


def _valgrind(profile: Path) -> list[str]:
    options = ("--quiet", "--tool=callgrind", "--instr-atstart=no", "--dump-line=no")
    return ["valgrind", *options, f"--callgrind-out-file={profile}"]


def _upload(server: Service, path: Path, name: str) -> None:
    finish([TOWLINE, "upload", path, "--name", name, "--server", server.greeting, "--connections", "1"])


def _content(seed: str, size: int) -> bytes:
    """Bytes that are the same each time and that nobody could compress: SHA-256 of a counter."""
    blocks = (sha256(f"{seed} {number}".encode()).digest() for number in range(size // 32))
    return b"".join(blocks)


def costs(profile: str) -> Costs:
    """Instructions per MiB, by purpose."""
    found = dict.fromkeys([*PURPOSES, REST], 0)
    for library, instructions in costs_of_libraries(profile).items():
        found[_purpose(library)] += instructions
    return {purpose: round(instructions / COUNTED_MIB) for purpose, instructions in found.items()}


def _purpose(library: str) -> str:
    return next((purpose for purpose, pattern in PURPOSES.items() if pattern.search(library)), REST)


def costs_of_libraries(profile: str) -> dict[str, int]:
    """The instructions that ran in each library itself, from a file of callgrind's (its manual, "Callgrind Format
    Specification"). Raises ValueError where they do not sum up to what the file says."""
    names: dict[str, str] = {}
    found: dict[str, int] = {}
    library, called, total = "", False, 0
    for line in profile.splitlines():
        what, _, rest = line.partition("=")
        if what in ("ob", "cob"):
            number, _, name = rest.partition(" ")
            names.setdefault(number, name)
            library = names[number] if what == "ob" else library
        elif what == "calls":
            called = True  # and the next line is what the called function cost
        elif line.startswith("totals: "):
            total = int(line.removeprefix("totals: "))
        elif line[:1].isdigit() or line[:1] in ("+", "-", "*"):
            if not called:
                found[library] = found.get(library, 0) + int(line.split()[1])
            called = False
    if not total or sum(found.values()) != total:
        raise ValueError(f"the costs of the libraries sum up to {sum(found.values()):,}, not to {total:,}")
    return found
