"""What `towline echo` does: one text there and back, or round trips measured as ping does."""

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from client.connection import Connection
from client.terminal.display import Display
from client.terminal.outcome import Exit
from client.terminal.wording import Facts, lines_printable, printable

COUNT: Final = 10
INTERVAL: Final = 0.2
"""Seconds between two round trips."""
PAYLOAD: Final = "towline " * 7
"""56 bytes, as many as ping sends."""


@dataclass(frozen=True, slots=True)
class EchoCommand:
    """The server that is asked, and where its answers are shown: a terminal is not to obey them."""

    connection: Connection
    display: Display
    to_terminal: bool = False

    async def one(self, text: str) -> Exit:
        """Send a text to the server and back. Raises what `Connection.round_trip` raises."""
        trip = await self.connection.round_trip(text)
        taken = milliseconds(trip.seconds)
        shown = lines_printable(trip.text) if self.to_terminal else trip.text
        self.display.data(f"Echo: {shown}", {"event": "echo", "text": trip.text, "round_trip_ms": taken})
        self.display.remark(f"round trip: {taken:.3f} ms")
        return Exit.DONE

    async def many(self, count: int, interval: float) -> Exit:
        """Measure so many round trips, `interval` seconds apart. Whatever ends it, those that came back are summed
        up. Raises what `Connection.round_trip` raises."""
        taken: list[float] = []
        sent = 0
        try:
            while sent < count:
                if sent:
                    await asyncio.sleep(interval)
                sent += 1
                trip = await self.connection.round_trip(PAYLOAD)
                taken.append(trip.seconds)
                self._tell(sent, trip.seconds)
        finally:
            if taken:
                self._sum_up(sent, taken)
        return Exit.DONE

    def _tell(self, number: int, seconds: float) -> None:
        line = f"{len(PAYLOAD)} bytes from {printable(self.connection.server)}: seq={number}"
        facts: Facts = {"event": "echo", "seq": number, "text": PAYLOAD, "round_trip_ms": milliseconds(seconds)}
        self.display.data(f"{line} time={milliseconds(seconds):.3f} ms", facts)

    def _sum_up(self, sent: int, taken: Sequence[float]) -> None:
        least, mean, most, deviation = map(milliseconds, spread(taken))
        lines = (
            "",
            f"--- {printable(self.connection.server)} echo statistics ---",
            f"{sent} sent, {len(taken)} came back",
            f"rtt min/avg/max/mdev = {least:.3f}/{mean:.3f}/{most:.3f}/{deviation:.3f} ms",
        )
        facts: Facts = {
            "event": "summary",
            "sent": sent,
            "came_back": len(taken),
            "min_ms": least,
            "avg_ms": mean,
            "max_ms": most,
            "mdev_ms": deviation,
        }
        self.display.data("\n".join(lines), facts)


def spread(values: Sequence[float]) -> tuple[float, float, float, float]:
    """Minimum, mean, maximum and standard deviation of the population, as ping has them."""
    return min(values), statistics.fmean(values), max(values), statistics.pstdev(values)


def milliseconds(seconds: float) -> float:
    """To the microsecond: more is noise."""
    return round(seconds * 1_000, 3)
