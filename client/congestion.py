"""Which congestion control a connection's sender goes by: bbr, where the system offers it and there is a network.

Cubic takes every lost packet for a network that is full, and far away it takes long to come back from that: with 1 % of
loss at 100 ms a hundredth of what the network could carry is left. Bbr goes by the rate and the round trip that it
measures. On loopback nothing is lost, and bbr's pacing costs: there the system's own choice stays.
"""

import os
import socket
import sys
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Literal, Protocol

CongestionChoice = Literal["auto", "bbr", "cubic", "system"]
BBR: Final = "bbr"
_OPTION: Final[int | None] = getattr(socket, "TCP_CONGESTION", None)
_NAME_BYTES: Final = 16
"""TCP_CA_NAME_MAX of linux/tcp.h."""
_ROUND_TRIP: Final = slice(68, 72)
"""tcpi_rtt of struct tcp_info in linux/tcp.h, in microseconds."""


class Socket(Protocol):
    """What of a socket is needed here; those that event loops give out have little more."""

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...
    def setsockopt(self, level: int, option: int, value: bytes, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Congestion:
    """What a connection's sender goes by."""

    name: str | None
    """As the system calls it; None where it does not say."""
    reason: str | None = None
    """Why it is not bbr, when it is not."""

    @property
    def bears_losses(self) -> bool:
        """Whether single losses leave its rate as it is, so that one connection gets what several would."""
        return self.name == BBR


def choose_congestion(connection: Socket, server_address: str, choice: CongestionChoice) -> Congestion:
    """Ask a connection for `choice`. Where that is not to be had, what the system chose stays, and is no error."""
    if _OPTION is None:
        return Congestion(None, "this system lets no program choose")
    reason = _kept(server_address, choice) or _refused(connection, _OPTION, BBR if choice == "auto" else choice)
    try:
        name = connection.getsockopt(socket.IPPROTO_TCP, _OPTION, _NAME_BYTES).rstrip(b"\0").decode("ascii")
    except OSError:  # it is gone already, which whoever uses it hears in better words
        return Congestion(None, reason)
    return Congestion(name, None if name == BBR else reason or f"{choice} was asked for")


def _kept(server_address: str, choice: CongestionChoice) -> str | None:
    """Why the system's own choice stays; None when it does not."""
    if choice == "system":
        return "the system's own was asked for"
    on_loopback = ip_address(server_address.partition("%")[0]).is_loopback
    return "the server is on this machine" if choice == "auto" and on_loopback else None


def _refused(connection: Socket, option: int, name: str) -> str | None:
    """Set it; why that was not to be done, if it was not (tcp(7))."""
    try:
        connection.setsockopt(socket.IPPROTO_TCP, option, name.encode("ascii"))
    except PermissionError:
        return f"this system does not let every user choose {name}"
    except FileNotFoundError:
        return f"this system has no {name}"
    except OSError as error:
        return f"this system did not take {name}: {os.strerror(error.errno or 0).lower()}"
    return None


def round_trip_of(connection: Socket) -> float | None:
    """The seconds that a packet and its answer take, as TCP has measured them; None where the system does not say."""
    if sys.platform != "linux":
        return None
    try:
        facts = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ROUND_TRIP.stop)
    except OSError:  # as above
        return None
    return int.from_bytes(facts[_ROUND_TRIP], sys.byteorder) / 1e6
