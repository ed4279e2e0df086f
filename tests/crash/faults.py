"""Faults in a server's system calls, set and cleared while it runs; `faults.c` is their other side, in the server.

    with Faults(folder, root=disk.path) as faults:
        async with ServerProcess(disk.path / "data", environment=faults.environment) as server:
            faults.fail(Call(Kind.FDATASYNC, "/objects/"), nth=2, error=errno.EIO)
            async with faults.holding(Call(Kind.WRITE, "/objects/")) as held:
                await held.reached()

Calls are counted for the whole process, over all its threads, from the moment at which the fault is set. There is one
fault at a time. `calls()` is the trace: every call on what lies under `root`, and every message sent, in order.
"""

import asyncio
import errno
import functools
import mmap
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from posixpath import normpath
from typing import Final, Literal, Self

SOURCE: Final = Path(__file__).with_suffix(".c")
LIBRARY: Final = "faults.so"
ERRORS: Final = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE)
When = Literal["before", "after"]


class Kind(Enum):
    """System calls by what they do, whatever their names are; in the order of `enum kind`."""

    OPEN = "open"
    WRITE = "write"
    FSYNC = "fsync"
    FDATASYNC = "fdatasync"
    SYNCFS = "syncfs"
    FTRUNCATE = "ftruncate"
    FALLOCATE = "fallocate"
    CHMOD = "chmod"
    UNLINK = "unlink"
    MKDIR = "mkdir"
    RENAME = "rename"
    SEND = "send"
    """A message to a socket, in the trace alone: it cannot fail by a fault."""


class _Action(Enum):
    """In the order of `enum action`."""

    NOTHING, FAIL, SHORTEN, CRASH_BEFORE, CRASH_AFTER, CUT_BEFORE, CUT_AFTER, HOLD = range(8)


@dataclass(frozen=True, slots=True)
class Call:
    """Which calls: of a kind (of any, when it is None), on paths that contain `part`, or that end with it when it ends
    with a dollar sign."""

    kind: Kind | None = None
    part: str = ""

    def __str__(self) -> str:
        return f"{self.kind.value if self.kind else 'any call'} {self.part or 'anywhere'}"

    @property
    def mask(self) -> int:
        return (1 << len(Kind)) - 1 if self.kind is None else 1 << list(Kind).index(self.kind)


@dataclass(frozen=True, slots=True)
class Traced:
    """One call as it happened. `began` and `ended` are moments of one clock that counts all calls' both."""

    began: int
    ended: int
    kind: Kind
    descriptor: int
    offset: int
    """Of a write, -1 where it was at the descriptor's own position; the flags of an `open`."""
    length: int
    """Of a write what was asked for; the mode of a `chmod`, the new length of an `ftruncate`."""
    result: int
    errno: int
    """0 when it succeeded."""
    path: str
    """From the root on; the message of a SEND."""

    @property
    def is_message(self) -> bool:
        return self.kind is Kind.SEND

    def __str__(self) -> str:
        outcome = errno.errorcode.get(self.errno, str(self.result))
        return f"{self.began}-{self.ended} {self.kind.value} {self.path} {self.offset} {self.length} = {outcome}"


class Held:
    """A call that waits in the server until it is released."""

    def __init__(self, faults: "Faults") -> None:
        self._faults = faults
        self.released = False

    async def reached(self) -> None:
        """Until the server makes that call; it hangs there, before anything was done."""
        await self._faults.until_struck()

    def release(self) -> None:
        """Let the call be made; and no further one is held."""
        if not self.released:
            self.released = True
            self._faults.clear()
            self._faults.let_go()


class Faults:
    """The faults of the servers that are started with `environment`, one server at a time."""

    _FIELDS: Final = struct.Struct("=8I96s")

    def __init__(self, folder: Path, root: Path) -> None:
        self._folder = folder
        self._root = root.resolve()
        self._read = 0

    def __enter__(self) -> Self:
        self._folder.mkdir()
        (self._folder / "control").write_bytes(bytes(self._FIELDS.size))
        (self._folder / "trace").touch()
        for pipe in ("struck", "release"):
            os.mkfifo(self._folder / pipe)
        self._struck = os.open(self._folder / "struck", os.O_RDWR | os.O_NONBLOCK)
        self._release = os.open(self._folder / "release", os.O_RDWR | os.O_NONBLOCK)
        with (self._folder / "control").open("r+b") as control:
            self._control = mmap.mmap(control.fileno(), self._FIELDS.size)
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()
        os.close(self._struck)
        os.close(self._release)

    @property
    def environment(self) -> Mapping[str, str]:
        """For the server's process."""
        library = f"{_compiled().name}/{LIBRARY}"
        return {"LD_PRELOAD": library, "FAULT_ROOT": str(self._root), "FAULT_FOLDER": str(self._folder)}

    # ------------------------------------------------------------------------------------------------------ setting

    def fail(self, call: Call, *, nth: int = 1, error: int, onwards: bool = False) -> None:
        """The n-th such call from now on fails with `error` and does nothing; `onwards`: those after it too."""
        self._set(_Action.FAIL, call, nth, onwards=onwards, error=error)

    def shorten(self, call: Call, *, nth: int = 1, onwards: bool = False) -> None:
        """The n-th such write takes half of what it was given."""
        self._set(_Action.SHORTEN, call, nth, onwards=onwards)

    def crash(self, call: Call, when: When, *, nth: int = 1, power: bool = True) -> None:
        """The process is killed right before or after the n-th such call; with `power` the power of the root's file
        system is cut first."""
        cut = {"before": _Action.CUT_BEFORE, "after": _Action.CUT_AFTER}
        kill = {"before": _Action.CRASH_BEFORE, "after": _Action.CRASH_AFTER}
        self._set((cut if power else kill)[when], call, nth)

    @asynccontextmanager
    async def holding(self, call: Call, *, nth: int = 1) -> AsyncIterator[Held]:
        """The n-th such call hangs until it is released, at the latest at the end of the body."""
        self._set(_Action.HOLD, call, nth)
        held = Held(self)
        try:
            yield held
        finally:
            held.release()

    def clear(self) -> None:
        """No fault from now on."""
        self._put(1, _Action.NOTHING.value)

    def _set(self, action: _Action, call: Call, nth: int, *, onwards: bool = False, error: int = 0) -> None:
        self.clear()
        self._drain(self._struck)
        self._drain(self._release)
        self._control[32:128] = call.part.encode().ljust(96, b"\0")
        self._put(2, call.mask, nth, int(onwards), error, 0, 0)
        self._put(1, action.value)

    def _put(self, first: int, *values: int) -> None:
        """Set adjacent fields of `struct control`, the `first` and those after it."""
        struct.pack_into(f"={len(values)}I", self._control, 4 * first, *values)

    def _drain(self, pipe: int) -> None:
        try:
            while os.read(pipe, 4096):
                pass
        except BlockingIOError:
            return

    # ---------------------------------------------------------------------------------------------------- what happened

    @property
    def now(self) -> int:
        """The moment, on the clock of the trace."""
        return int(self._FIELDS.unpack_from(self._control)[0])

    @property
    def struck(self) -> int:
        """How many calls the fault has struck since it was set."""
        return int(self._FIELDS.unpack_from(self._control)[7])

    async def until_struck(self) -> None:
        """Until the fault strikes a call; every call that it strikes is reported once."""
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._struck, told.set)
        try:
            await told.wait()
        finally:
            loop.remove_reader(self._struck)
        os.read(self._struck, 1)

    def let_go(self) -> None:
        """Release one held call, if one is held or still will be."""
        os.write(self._release, b"!")

    def calls(self) -> list[Traced]:
        """What was traced since the last time this was asked, in the order in which it ended."""
        with (self._folder / "trace").open("rb") as trace:
            trace.seek(self._read)
            whole, newline, _ = trace.read().rpartition(b"\n")
        self._read += len(whole + newline)
        return [self._traced(line) for line in whole.decode(errors="replace").splitlines()]

    def _traced(self, line: str) -> Traced:
        began, ended, kind, descriptor, offset, length, result, error, path = line.split("\t", 8)
        return Traced(
            int(began),
            int(ended),
            Kind(kind),
            int(descriptor),
            int(offset),
            int(length),
            int(result),
            int(error),
            path if kind == Kind.SEND.value else normpath(path.removeprefix(str(self._root)) or "/"),
        )


def lacking() -> str | None:
    """What this machine lacks for faults in calls; None when nothing."""
    if shutil.which("cc") is None:
        return "there is no C compiler (cc): install gcc"
    return None


@functools.cache
def _compiled() -> "tempfile.TemporaryDirectory[str]":
    """The folder with the library for LD_PRELOAD; it goes when Python ends."""
    folder = tempfile.TemporaryDirectory(prefix="towline-faults-")
    options = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-fPIC", "-shared"]
    subprocess.run(["cc", *options, "-o", f"{folder.name}/{LIBRARY}", str(SOURCE)], check=True)
    return folder
