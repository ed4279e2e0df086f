"""A rate is of what was acknowledged between two times; a link loses what its seed says, and leaves nothing behind."""

import os
import subprocess
import sys

import pytest

from bench.acked import Sample, rate_of, watch
from bench.link import Link, lacking
from bench.processes import Failed

SAMPLES = [Sample(100.0, 0), Sample(101.0, 10), Sample(103.0, 10), Sample(104.0, 40)]
SENT = 300
TAKE = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taker:
    taker.bind(("", 5000))
    print("listening", flush=True)
    while (number := taker.recv(100)) != b"end":
        print(number.decode())
"""
GIVE = f"""
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as giver:
    for text in [*map(str, range({SENT})), *["end"] * 100]:
        giver.sendto(text.encode(), ("{Link.server_address}", 5000))
"""


@pytest.mark.parametrize(
    ("begin", "end", "rate"),
    [(0.0, 4.0, 10.0), (1.0, 3.0, 0.0), (0.5, 2.0, 10 / 3), (3.0, 3.5, 30.0)],
)
def test_a_rate_is_of_the_time_between(begin: float, end: float, rate: float) -> None:
    assert rate_of(SAMPLES, begin, end) == pytest.approx(rate)


def test_a_sender_that_ended_early_has_no_rate() -> None:
    with pytest.raises(ValueError, match=r"nothing was acknowledged around second 5\.0"):
        rate_of(SAMPLES, 1, 5)


def test_what_is_watched_ends_by_itself_and_lines_that_say_nothing_count_for_nothing() -> None:
    script = "import signal; print('a'); print(3); print(5, flush=True); signal.pause()"
    samples = watch([sys.executable, "-c", script], 0, _number)
    assert [sample.acked_bytes for sample in samples] == [3, 5]


def test_a_sender_that_ends_by_itself_is_an_error() -> None:
    with pytest.raises(Failed, match=r"ended by itself, with 3$"):
        watch([sys.executable, "-c", "raise SystemExit(3)"], 60, _number)


def _number(line: str) -> int | None:
    return int(line) if line.strip().isdigit() else None


def arrived(seed: int) -> bytes:
    """The numbers of the packets that came through; those after the last of them tell that it was the last."""
    with Link(rtt=0.001, loss=0.3, seed=seed) as link:
        with subprocess.Popen(link.at_server(sys.executable, "-c", TAKE), stdout=subprocess.PIPE) as taker:
            assert taker.stdout is not None
            taker.stdout.readline()
            subprocess.run(link.at_client(sys.executable, "-c", GIVE), check=True)
            numbers = taker.stdout.read()
        namespace = link.at_client()[1].removeprefix("--net=")
        assert os.path.exists(namespace)
    assert not os.path.exists(namespace)
    assert link.to_server is not None
    assert link.to_server.lost > 0
    return numbers


@pytest.mark.skipif(lacking() is not None, reason=str(lacking()))
def test_a_link_loses_what_its_seed_says_and_leaves_nothing_behind() -> None:
    first, again, other = arrived(1), arrived(1), arrived(2)
    assert first == again != other
    assert 0 < len(first.split()) < SENT
