"""The table has everybody, and the targets are about those who were measured."""

from contextlib import ExitStack
from pathlib import Path

from bench.large import CPU, NODE, SHA256, SPEED, Measured, bounds, checks, measure, table
from bench.peers.contender import Contender, Source
from bench.peers.packages import debian
from bench.peers.services import OURS, PEERS
from bench.processes import GIB, MIB, Transfer, Usage


def measured(*seconds: float) -> Measured:
    """Runs of a GiB that took so long, and as much CPU on each side."""
    runs = [Transfer(each, Usage(each, 50), Usage(each, 60)) for each in seconds]
    return Measured(Contender("nothing", lambda: runs[0], None), runs, 1.0)


def test_a_peer_that_cannot_be_had_stands_in_the_table_with_what_to_install() -> None:
    def maker(folder: Path, source: Source, stack: ExitStack) -> Contender:
        debian("no-such-program", "no-such-package")
        raise AssertionError

    found, missing = measure({"a peer": maker}, MIB, 1)
    (row,) = table(found, missing, MIB).rows
    assert row[:2] == ("a peer", "not here")
    assert row[-1] == "there is no no-such-program here: apt-get install no-such-package"


def test_ratios_are_of_the_same_round() -> None:
    ours, theirs = measured(1.0, 10.0, 2.0), measured(4.0, 10.0, 3.0)
    assert ours.ratio_to(theirs) == 1.5
    assert (ours.speed.median, ours.cpu.median) == (512.0, 4.0)


def test_every_target_is_looked_at_once_everybody_was_measured() -> None:
    everyone = {name: measured(1.0) for name in [*OURS, *PEERS]}
    wanted = [target for targets in [*CPU.values(), *SPEED.values()] for target in targets]
    assert [check.target for check in checks(everyone)] == wanted
    assert checks({name: measured(1.0) for name in PEERS}) == []


def test_a_row_has_medians_and_the_largest_peaks() -> None:
    (row,) = table({"cp": measured(1.0, 2.0, 4.0)}, {}, GIB).rows
    assert row == ("cp", "512", "256", "1,024", "4.00", "2.00", "8.00", "2.00", "2.00", "50", "60", "nothing")


def test_what_is_used_of_the_processors_bounds_the_speed() -> None:
    found = {SHA256: measured(1.0), NODE: measured(2.0)}
    (sentence,) = bounds(found, 4)
    assert sentence.endswith(f": {SHA256} 2,048 MiB/s, 4.00 × {NODE}.")
    assert bounds({SHA256: found[SHA256]}, 4) == []
