"""The table of small files has everybody, the targets are about those who were measured, and a peer loses nothing."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench.figures import Series
from bench.peers.many_files import TOWLINE_UPLOAD, Sender
from bench.peers.packages import debian
from bench.processes import Failed, Service, Transfer, Usage
from bench.small import FAR, FAR_AWAY, LIBRARY, LIBRARY_RATE, LONE, RATE, Measured, checks, measure_peers, table


def measured(*seconds: float, files: int = 9_000) -> Measured:
    """Runs that took so long, and used as much of the processor on each side."""
    return Measured([Transfer(each, Usage(each, 50), Usage(each, 60)) for each in seconds], files, "nothing")


@pytest.fixture
def server() -> Iterator[Service]:
    with Service(["sh", "-c", "echo up; exec sleep 60"], started="up") as service:
        yield service


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    for name in ("a", "b"):
        (tmp_path / "source" / name).write_bytes(name.encode() * 10)
    return tmp_path / "source"


def test_every_target_is_looked_at_once_everything_was_measured() -> None:
    found = {TOWLINE_UPLOAD: measured(3.0, 9.0, 2.0), LIBRARY: measured(2.0), FAR: measured(4.5, 9.0, 4.0)}
    checked = checks(found, Series.of(range(1, 102)))
    assert [(check.target, check.value) for check in checked] == [
        (RATE, 3_000),
        (LIBRARY_RATE, 4_500),
        (LONE, 100),
        (FAR_AWAY, 1.5),
    ]
    assert [check.target for check in checks({FAR: "no link"}, Series.of([1.0]))] == [LONE]


def test_rates_are_compared_and_not_times() -> None:
    ours, theirs = table({TOWLINE_UPLOAD: measured(3.0), "a peer": measured(3.0, files=900)}).rows
    assert (ours[9], theirs[9]) == ("1.00 ×", "10.0 ×")
    assert ours[1:7] == ("9,000", "3,000", "3,000", "3,000", "333", "333")


def test_a_peer_that_cannot_be_had_stands_in_the_table_with_what_to_install(source: Path) -> None:
    def maker(folder: Path, stack: ExitStack) -> Sender:
        debian("no-such-program", "no-such-package")
        raise AssertionError

    found = measure_peers(source, 2, 1, {"a peer": maker})
    row = table({TOWLINE_UPLOAD: measured(1.0)} | found).rows[1]
    assert (row[0], row[1]) == ("a peer", "not here")
    assert row[-1] == "there is no no-such-program here: apt-get install no-such-package"


def test_what_is_sent_again_has_to_arrive_again(tmp_path: Path, server: Service, source: Path) -> None:
    (data := tmp_path / "data").mkdir()
    copies = Sender("nothing", server, lambda folder, time: ["cp", "-r", folder, data / time], data)
    copies.run(source)
    copies.run(source)
    assert sorted(path.name for path in data.iterdir()) == ["time-0", "time-1"]
    copies.command = lambda folder, time: ["true"]
    with pytest.raises(Failed):
        copies.run(source)
