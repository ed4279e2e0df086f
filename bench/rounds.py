"""Measured runs side by side: A B C, B C A, C A B, …, each after the same preparation, so that what the machine does
meanwhile falls on all of them alike, and what one leaves behind on no other always.

    runs = interleaved({"towline": one_upload, "cp": one_copy}, rounds=5, sources=[source])
    runs["towline"]   # five of what one_upload returned
"""

import os
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, TypeVar

TOUCHED_BYTES: Final = 1_600 << 20
"""Memory that lay free for two seconds is slow to touch on virtual machines: the host has taken it back."""
_TOUCH: Final = (
    "from mmap import *\n"
    f"mmap(-1, {TOUCHED_BYTES}, flags=MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE)"  # the kernel touches every page
)
_PIECE: Final = 1 << 20
_ZEROS: Final = bytes(_PIECE)
Result = TypeVar("Result")


def touch_memory() -> None:
    """Touch 1.6 GiB and give it back: once as memory of a process of its own, so that nobody's peak has it, and once as
    pages of a file that no disk sees. The kernel does not take both from the same places."""
    subprocess.run([sys.executable, "-S", "-E", "-c", _TOUCH], check=True)
    with tempfile.TemporaryFile(buffering=0) as stream:
        for _ in range(TOUCHED_BYTES // _PIECE):
            stream.write(_ZEROS)


def warm(path: Path) -> None:
    """Read a file, so that it is in the page cache; of a folder every file."""
    for file in sorted(child for child in path.rglob("*") if child.is_file()) if path.is_dir() else [path]:
        with file.open("rb", buffering=0) as stream:
            while stream.read(_PIECE):
                pass


def prepare(sources: Iterable[Path] = ()) -> None:
    """What comes before each measured run: the disk at rest, memory touched, sources in the page cache."""
    os.sync()
    touch_memory()
    for source in sources:
        warm(source)


def interleaved(
    candidates: Mapping[str, Callable[[], Result]],
    rounds: int,
    *,
    sources: Iterable[Path] = (),
    warm_up: int = 0,
    preparing: Callable[[Iterable[Path]], object] = prepare,
) -> dict[str, list[Result]]:
    """Run every candidate once a round, each after `preparing(sources)`. Rounds to warm up are not counted. What a
    candidate raises ends everything. Progress goes to stderr."""
    results: dict[str, list[Result]] = {name: [] for name in candidates}
    paths = list(sources)
    for number in range(-warm_up, rounds):
        order = deque(candidates.items())
        order.rotate(-number)
        for name, run in order:
            print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr, flush=True)
            preparing(paths)
            result = run()
            if number >= 0:
                results[name].append(result)
    return results
