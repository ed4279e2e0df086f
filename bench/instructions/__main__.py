"""Count what a MiB costs the server that receives it and the client that sends it, and compare with the baseline.

    ./run instructions [--record]

Exit code 1: a figure is more than 5 % away from bench/instructions/baseline.json, in either direction, or there is no
baseline. 75: this is not where the baseline was counted, and nothing was compared.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from bench.figures import Table
from bench.instructions.comparison import Count, compare
from bench.instructions.counted import Missing, count
from bench.processes import Failed, scratch

BASELINE: Final = Path(__file__).with_name("baseline.json")


def read_baseline() -> Count | None:
    return Count.read(BASELINE.read_text()) if BASELINE.exists() else None


def table(counted: Count, baseline: Count | None) -> Table:
    before = {} if baseline is None else baseline.paths
    rows = [
        [path, purpose, f"{found:,}", f"{was:,}" if (was := before.get(path, {}).get(purpose)) is not None else ""]
        for path, costs in counted.paths.items()
        for purpose, found in costs.items()
    ]
    return Table.of(["instructions per MiB", "for", "counted", "baseline"], rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./run instructions", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--record", action="store_true", help="make what was counted the baseline")
    record: bool = parser.parse_args().record
    try:
        with scratch("instructions") as folder:
            counted = count(folder)
    except (Missing, Failed) as failed:
        print(f"instructions: {failed}", file=sys.stderr)
        return 1
    baseline = read_baseline()
    print(table(counted, baseline).text())
    print(json.dumps({"bench": "instructions", **counted.paths}))
    if record:
        BASELINE.write_text(counted.written())
        print(f"recorded in {BASELINE.relative_to(Path.cwd())}")
        return 0
    verdict = compare(counted, baseline)
    print("\n".join(f"instructions: {sentence}" for sentence in verdict.sentences))
    return verdict.exit_code


if __name__ == "__main__":
    sys.exit(main())
