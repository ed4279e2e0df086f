"""What a connection goes by, whoever is on it. No I/O."""

from typing import Final, TypedDict

from client.congestion import CongestionChoice
from client.uploader import Count

MOST_ASKED_FOR: Final = 16
"""Connections on one file."""


class ConnectionOptions(TypedDict, total=False):
    """See `client.connect`, which has the defaults in words."""

    give_up_after: float
    limit_rate: float | None
    congestion: CongestionChoice
    connections: Count


def checked_count(connections: Count) -> Count:
    """Raises ValueError."""
    if connections != "auto" and not 1 <= connections <= MOST_ASKED_FOR:
        raise ValueError(f"{connections} connections: 1 to {MOST_ASKED_FOR}, or auto")
    return connections
