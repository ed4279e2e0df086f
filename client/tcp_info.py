"""What Linux tells of a TCP connection: tcp(7), TCP_INFO; the fields are those of `struct tcp_info` in linux/tcp.h."""

import socket
import struct
import sys
from dataclasses import dataclass
from typing import Final, Protocol

_FIELDS: Final = struct.Struct("=120xQ20xI16xQQQ")
"""tcpi_bytes_acked, tcpi_min_rtt, tcpi_busy_time, tcpi_rwnd_limited, tcpi_sndbuf_limited; times in microseconds."""


class Socket(Protocol):
    """As much of a socket as is needed."""

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """The counts are since the connection was opened; bytes and seconds."""

    acked_bytes: int
    busy: float
    """For how long there was something to send or to be acknowledged."""
    held_back_elsewhere: float
    """For how much of that the receiver's window, or the buffer of this side, was what held it back."""
    round_trip: float
    """The shortest that was seen."""


def tcp_info(connection: Socket) -> TcpInfo | None:
    """None where the system does not say all of it."""
    if sys.platform != "linux":
        return None
    try:
        told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _FIELDS.size)
    except OSError:
        return None
    if len(told) < _FIELDS.size:
        return None
    acked, round_trip, busy, window, buffer = _FIELDS.unpack(told)
    return TcpInfo(acked, busy / 1e6, (window + buffer) / 1e6, round_trip / 1e6)
