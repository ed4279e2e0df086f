"""What a socket's sender goes by, asked of the kernel itself."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

import pytest

from client.congestion import Congestion, CongestionChoice, choose_congestion, round_trip_of

AVAILABLE: Final = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
FAR: Final = "192.0.2.1"
"""Another machine's address (RFC 5737)."""

pytestmark = pytest.mark.skipif(not AVAILABLE.exists(), reason="this system lets no program choose")


@pytest.fixture
def connection() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as near:
        accepted, _ = listener.accept()
        with accepted:
            yield near


def in_use(connection: socket.socket) -> str:
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()


def use(connection: socket.socket, name: str) -> None:
    """Let the system have chosen this one."""
    if name not in AVAILABLE.read_text().split():
        pytest.skip(f"this system has no {name}")
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())


def test_a_far_server_is_sent_to_by_bbr(connection: socket.socket) -> None:
    use(connection, "bbr")
    use(connection, "reno")
    assert choose_congestion(connection, FAR, "auto") == Congestion("bbr")
    assert in_use(connection) == "bbr"


def test_bbr_bears_losses_and_others_do_not() -> None:
    assert Congestion("bbr").bears_losses
    assert not Congestion("cubic").bears_losses
    assert not Congestion(None).bears_losses


@pytest.mark.parametrize(
    ("address", "choice", "reason"),
    [
        ("127.0.0.1", "auto", "the server is on this machine"),
        ("::1", "auto", "the server is on this machine"),
        (FAR, "system", "the system's own was asked for"),
        (FAR, "no-such", "this system has no no-such"),
        (FAR, "longer-than-any-name", "this system has no longer-than-any-name"),
    ],
)
def test_else_the_systems_choice_stays_and_why_is_told(
    connection: socket.socket, address: str, choice: str, reason: str
) -> None:
    use(connection, "reno")
    assert choose_congestion(connection, address, cast(CongestionChoice, choice)) == Congestion("reno", reason)
    assert in_use(connection) == "reno"


def test_another_one_is_used_when_it_is_asked_for(connection: socket.socket) -> None:
    use(connection, "cubic")
    use(connection, "reno")
    assert choose_congestion(connection, "127.0.0.1", "cubic") == Congestion("cubic", "cubic was asked for")
    assert in_use(connection) == "cubic"


def test_the_round_trip_is_what_the_kernel_measured(connection: socket.socket) -> None:
    measured = round_trip_of(connection)
    assert measured is not None
    assert 0 < measured < 1


def test_a_connection_that_is_gone_is_no_error_yet(connection: socket.socket) -> None:
    connection.close()
    told = choose_congestion(connection, FAR, "auto")
    assert told == Congestion(None, "this system did not take bbr: bad file descriptor")
    assert round_trip_of(connection) is None
