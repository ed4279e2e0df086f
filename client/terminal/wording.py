"""The sentences of the command line. Text that others chose is shown as it is, and never obeyed."""

import math
import unicodedata
from collections.abc import Mapping

from pydantic import JsonValue
from rich.filesize import decimal

from client.progress import (
    Complete,
    Connected,
    Connections,
    Downloaded,
    Event,
    Failed,
    Ready,
    Receiving,
    Resending,
    Waiting,
)
from client.terminal.outcome import Outcome, outcome_of

Facts = Mapping[str, JsonValue]
"""What machines read instead of a sentence."""


def printable(text: str) -> str:
    """Text without anything that a terminal would obey or could not show: that is written as escapes."""
    if text.isascii() and text.isprintable():
        return text
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "".join(
        character.encode("unicode_escape").decode() if unicodedata.category(character) in hidden else character
        for character in text
    )


def lines_printable(text: str) -> str:
    """As `printable`, but of several lines."""
    return "\n".join(printable(line) for line in text.split("\n"))


def size_words(size: int) -> str:
    """`3.1 MB`."""
    return decimal(size)


def time_words(seconds: float) -> str:
    """`0:01:23`."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def waiting_words(seconds: float, reason: str) -> str:
    return f"waiting for the network, retrying in {max(1, math.ceil(seconds))} s ({printable(reason)})"


def line_of(event: Event, *, verbose: bool = False, several: bool = False) -> str | None:
    """The line that stays on the screen for an event; None for those that only move a bar, or are for the `verbose`: of
    `several` files that is what is unchanged, and that a download begins."""
    if several and not verbose and _is_routine(event):
        return None
    name = printable(event.name)
    match event:
        case Connected() if verbose:
            return f"{name}: {_connected(event)}" if name else _connected(event)
        case Ready(offset=0) | Receiving(offset=0):
            size = "" if event.size is None else f", {size_words(event.size)}"
            return f"{name}: {'uploading' if isinstance(event, Ready) else 'downloading'}{size}"
        case Ready() | Receiving():
            size = "" if event.size is None else f" of {size_words(event.size)}"
            return f"{name}: resumed at {size_words(event.offset)}{size}"
        case Resending():
            return f"{name}: sending {size_words(event.size)} again that differ"
        case Connections() if verbose:
            noun = "connection" if event.count == 1 else "connections"
            return f"{name}: {event.count} {noun}, {printable(event.reason)}"
        case Waiting():
            return (
                f"{name}: {waiting_words(event.seconds, event.reason)}"
                if name
                else waiting_words(event.seconds, event.reason)
            )
        case Complete():
            return f"{name}: {_completed(event)}"
        case Downloaded(unchanged=True):
            return f"{name}: unchanged, {printable(str(event.path))} has this content already"
        case Downloaded():
            received = size_words(event.received_bytes)
            return f"{name}: done, {size_words(event.size)} ({received} received), {printable(str(event.path))}"
        case Failed():
            return f"{name}: {printable(outcome_of(event.error).message)}"
    return None


def _is_routine(event: Event) -> bool:
    """Whether it happens to so many of several files that lines of it would hide the others."""
    match event:
        case Receiving(offset=0) | Complete(unchanged=True) | Downloaded(unchanged=True):
            return True
    return False


def _connected(event: Connected) -> str:
    number = f"connection {event.connections}: " if event.connections > 1 else "connected: "
    trip = "" if event.round_trip is None else f"round trip {event.round_trip * 1e3:.3g} ms, "
    because = f" ({event.reason})" if event.reason else ""
    return f"{number}{trip}congestion control {event.congestion or 'unknown'}{because}"


def _completed(event: Complete) -> str:
    other_name = f" as {printable(str(event.file.name))}" if str(event.file.name) != event.name else ""
    if event.unchanged:
        return f"unchanged, the server has this content already{other_name}"
    size, sent = size_words(event.file.size), size_words(event.sent_bytes)
    return f"done, {size} ({sent} sent){other_name}"


def error_line(outcome: Outcome, name: str) -> str:
    return (
        f"towline: {printable(name)}: {printable(outcome.message)}"
        if name
        else f"towline: {printable(outcome.message)}"
    )


def count_words(count: int, noun: str) -> str:
    """`1 file`, `1,000 files`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
