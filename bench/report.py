"""What a script found: printed, and with `--record` kept in bench/results/ and in its section of bench/README.md.

    RATE = at_least("files a second", 3_000)
    options = parser("small", __doc__).parse_args()
    …
    report = Report("small", [table], {"rate": rate.facts()}, checks=[RATE.checked(rate.median)])
    publish(report, record=options.record)

`publish` prints the tables, the targets and one line of JSON, and ends the script with exit code 1 when a target is
missed.
"""

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench.figures import Checked, Table, targets_table
from bench.machine import machine_facts, machine_line
from bench.plots import Plot, draw

FOLDER: Final = Path(__file__).parent
RESULTS: Final = FOLDER / "results"
README: Final = FOLDER / "README.md"


@dataclass(frozen=True)
class Report:
    """What there is to say about one question; `name` is the script's."""

    name: str
    tables: Sequence[Table]
    facts: Mapping[str, object]
    """What is measured, as JSON can have it: `Series.facts()`, numbers, text."""
    checks: Sequence[Checked] = ()
    plots: Sequence[Plot] = ()
    notes: Sequence[str] = field(default=())
    """Paragraphs under the table: what was run, what a curve tells. They go into the README."""


def parser(name: str, doc: str | None) -> argparse.ArgumentParser:
    """A parser with what every script takes: `--record`. `doc` is the script's docstring."""
    made = argparse.ArgumentParser(prog=f"./run bench {name}", description=(doc or "").partition("\n")[0])
    made.add_argument("--record", action="store_true", help="keep it in bench/results/ and bench/README.md")
    return made


def publish(report: Report, *, record: bool) -> None:
    """Print it, keep it when that is wanted, and raise SystemExit with a sentence for each target that was missed."""
    tables = [*report.tables, *([targets_table(report.checks)] if report.checks else [])]
    print("\n\n".join([*(table.text() for table in tables), *report.notes]))
    facts = all_facts(report)
    print(json.dumps(facts))
    if record:
        keep(report, facts)
    missed = [check.sentence() for check in report.checks if check.missed]
    if missed:
        raise SystemExit(f"{report.name}: " + "\n".join(missed))


def all_facts(report: Report) -> dict[str, object]:
    """The line of JSON."""
    return {
        "bench": report.name,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine_facts(),
        **report.facts,
        "targets": [check.facts() for check in report.checks],
    }


def keep(report: Report, facts: Mapping[str, object]) -> None:
    """Write bench/results/NAME.json, its plots, and its section of bench/README.md."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{report.name}.json").write_text(json.dumps(facts, indent=1) + "\n")
    drawn = draw(report.plots, RESULTS, report.name)
    pictures = [f"![{plot.title}](results/{file.name})" for plot, file in zip(report.plots, drawn, strict=True)]
    README.write_text(with_section(README.read_text(), report.name, section(report, pictures)))


def section(report: Report, pictures: Sequence[str]) -> str:
    """The report as paragraphs of a document."""
    tables = [*report.tables, *([targets_table(report.checks)] if report.checks else [])]
    measured = f"Measured on {datetime.now(UTC):%Y-%m-%d}: {machine_line()}."
    return "\n\n".join([*(table.markdown() for table in tables), *report.notes, *pictures, measured])


def with_section(document: str, name: str, content: str) -> str:
    """The document with what stands between `<!-- NAME -->` and `<!-- end of NAME -->` replaced. Raises ValueError
    when it has no such marks."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(document):
        raise ValueError(f"no section {name!r}: it begins with {begin.strip()} and ends with {end}")
    return pattern.sub(lambda _: f"{begin}\n{content}\n\n{end}", document, count=1)
