"""The suite's own teeth: takes one safety at a time out of a copy of the checkout, and expects the suite to go red.

    ./run teeth [--record] [SAFETY…]

A safety is taken out by replacing a few words of the source, which must stand there exactly once; so this script
fails, and does not lie, when the source has moved on. Red means that a test failed in its assertions: one that could
not run at all, for a copy that does not even start, does not count.
"""

import argparse
import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from tests.crash.mutants import MUTANTS, Change, Mutant
from tests.crash.record import record
from tests.server import CHECKOUT


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="./run teeth", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("safeties", nargs="*", metavar="SAFETY", help="words of the ones to take out; without: all")
    parser.add_argument("--record", action="store_true", help="write the table into docs/durability.md")
    options = parser.parse_args(arguments)
    chosen = [mutant for mutant in MUTANTS if _is_chosen(mutant.safety, options.safeties)]
    if not chosen:
        parser.error(f"no safety is called {' '.join(options.safeties)!r}: " + "; ".join(m.safety for m in MUTANTS))
    survivors: list[str] = []
    rows: dict[str, list[str]] = {}
    with _copy_of_checkout() as copy:
        for mutant in chosen:
            started = time.monotonic()
            red = first_red(copy, mutant)
            said = f"noticed by {red}" if red else "NOT NOTICED"
            print(f"{mutant.safety}: {said} ({time.monotonic() - started:.0f} s)", flush=True)
            if red is None:
                survivors.append(mutant.safety)
            else:
                rows[mutant.safety] = [f"`{red}`"]
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} safeties cannot be taken out unnoticed")
    if options.record and not survivors:
        record("teeth", rows)
    return 1 if survivors else 0


def _is_chosen(safety: str, words: Sequence[str]) -> bool:
    return not words or any(word in safety for word in words)


@contextlib.contextmanager
def _copy_of_checkout() -> Iterator[Path]:
    """The files that git would commit, elsewhere."""
    listing = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    found = subprocess.run(listing, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryDirectory(prefix="towline-teeth-") as folder:
        for name in filter(None, found.split("\0")):
            if (CHECKOUT / name).exists():
                (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(CHECKOUT / name, Path(folder) / name)
        yield Path(folder)


def first_red(copy: Path, mutant: Mutant) -> str | None:
    """The first test that fails without the safety, None when all passed. Raises RuntimeError when no verdict came."""
    with contextlib.ExitStack() as put_back:
        for change in mutant.changes:
            put_back.enter_context(_changed(copy, change))
        return _first_failure(copy, mutant.caught_by)


@contextlib.contextmanager
def _changed(copy: Path, change: Change) -> Iterator[None]:
    path = copy / change.file
    source = path.read_text("utf-8")
    if (times := source.count(change.before)) != 1:
        raise RuntimeError(f"{change.file} has {change.before!r} {times} times, not once: bring the mutant up to date")
    mutated = source.replace(change.before, change.after)
    compile(mutated, change.file, "exec")
    path.write_text(mutated, "utf-8")
    try:
        yield
    finally:
        path.write_text(source, "utf-8")


def _first_failure(copy: Path, tests: Sequence[str]) -> str | None:
    report = copy / "teeth.xml"
    report.unlink(missing_ok=True)
    # Nobody reads how it failed, and to show that with its source has made Python 3.11 give up pytest.
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=native", "--required", f"--junitxml={report}"]
    command += [f"tests/crash/{test}" for test in tests]
    ended = subprocess.run(command, cwd=copy, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if ended.returncode == 0:
        return None
    if report.exists():
        for case in ElementTree.parse(report).iter("testcase"):
            if case.find("failure") is not None:
                return f"{case.get('classname')}.{case.get('name')}".removeprefix("tests.")
    raise RuntimeError(f"no verdict from {' '.join(tests)}, exit code {ended.returncode}:\n{ended.stdout[-3_000:]}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
