"""Looks for messages that the reader of clients' messages cannot bear, guided by what it covers.

    ./run fuzz [--seconds N | --runs N] [--corpus FOLDER]
    ./run fuzz FILE…                    what was found, once more

No exception but the protocol's errors, each of which can be sent as a reply; every message is read in bounded time.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.fuzz.near_misses import FULL
from tests.packages import NotInstalled, installed
from tests.server import CHECKOUT
from transfer.protocol.limits import MAX_HEADER_BYTES

REQUIREMENTS: Final = Path(__file__).with_name("requirements.txt")
SECONDS: Final = 60
SECONDS_FOR_ONE: Final = 5
MAX_BYTES: Final = 2 * MAX_HEADER_BYTES
FOUND: Final = "fuzz-"
"""How the names of files with findings begin, in the folder where it runs."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="./run fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="inputs to look at once more, nothing else")
    parser.add_argument("--seconds", type=int, help=f"how long to look; {SECONDS} by default")
    parser.add_argument("--runs", type=int, help="how many inputs to look at")
    parser.add_argument("--corpus", type=Path, metavar="FOLDER", help="go on with, and keep, what covers something new")
    options = parser.parse_args(arguments)
    try:
        atheris = installed(REQUIREMENTS)
    except NotInstalled as failed:
        print(f"fuzz: {failed}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="towline-fuzz-") as folder:
        if options.files:
            return run_target(atheris, [str(file) for file in options.files])
        corpus = options.corpus or Path(folder) / "corpus"
        corpus.mkdir(parents=True, exist_ok=True)
        seeds, words = write_seeds(Path(folder) / "seeds"), write_words(Path(folder) / "words")
        bounds = [f"-runs={options.runs}"] if options.runs is not None else []
        if options.seconds is not None or not bounds:
            bounds.append(f"-max_total_time={SECONDS if options.seconds is None else options.seconds}")
        looking = (
            f"-timeout={SECONDS_FOR_ONE}",
            f"-max_len={MAX_BYTES}",
            f"-dict={words}",
            f"-artifact_prefix={FOUND}",
        )
        code = run_target(atheris, [*bounds, *looking, "-verbosity=0", "-print_final_stats=1", str(corpus), str(seeds)])
    if code != 0:
        print(f"fuzz: something was found: ./run fuzz {FOUND}… looks at the file named above again", file=sys.stderr)
    return int(code != 0)


def run_target(atheris: Path, arguments: Sequence[str]) -> int:
    """libFuzzer with the target. Returns its exit code."""
    path = os.pathsep.join([str(CHECKOUT), str(atheris)])
    command = [sys.executable, "-m", "tests.fuzz.message_parser", *arguments]
    return subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, check=False).returncode


def write_seeds(folder: Path) -> Path:
    """A message of each type to begin with, with every field that it may have and without; and near misses."""
    folder.mkdir()
    for number, message in enumerate(_messages()):
        (folder / f"message-{number}").write_text(json.dumps(message))
    (folder / "near-miss").write_bytes(bytes(range(256)))
    return folder


def _messages() -> Iterator[dict[str, object]]:
    for kind, possible in FULL.items():
        yield {"type": kind, "ref": 1} | {name: values[0] for name, values in possible.items()}
        for values_of_all in zip(*possible.values(), strict=False):
            yield {"type": kind} | dict(zip(possible, values_of_all, strict=True))
        for name, values in possible.items():
            yield {"type": kind, "name": "a", name: values[-1]}


def write_words(file: Path) -> Path:
    """What mutating bytes would not come upon: the names of fields, and what JSON is made of."""
    words = {*FULL, *(name for possible in FULL.values() for name in possible), "ref", "type", "null", "true", "NaN"}
    syntax = ['{"', '":', '","', "}", "[[", "1e999", "\\\\ud800", "sha256:", "-", "T00:00:00Z"]
    quoted = [word.replace("\\", "\\\\").replace('"', '\\"') for word in [*sorted(words), *syntax]]
    file.write_text("".join(f'"{word}"\n' for word in quoted))
    return file


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
