"""Durations and sizes as people write them, such as `30d` and `50GiB`: text that somebody typed becomes one here, once.

Strict: one whole number and one unit. What could be meant otherwise is refused, with an example.
"""

import re
from datetime import timedelta
from typing import Final

from transfer.protocol import limits

_MINUTES: Final = {"m": 1, "h": 60, "d": 24 * 60, "w": 7 * 24 * 60}
_BYTES: Final[dict[str, int]] = {
    "": 1,
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("kMGT", 1)},
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)},
}
_WRITTEN: Final = re.compile(r"([0-9]{1,16})([A-Za-z]{0,3})")
_MOST: Final = timedelta(days=36_500)
_SHOWN_CHARACTERS: Final = 40


def parse_duration(text: str) -> timedelta:
    """`90m`, `12h`, `30d` or `2w`: more than nothing, and at most 36,500 days. Raises ValueError."""
    number, unit = _parts(text)
    if number is None or unit not in _MINUTES:
        raise ValueError(f"{_shown(text)} is no duration: write 90m, 12h, 30d or 2w")
    if not 0 < number * _MINUTES[unit] <= _MOST / timedelta(minutes=1):
        raise ValueError(f"{_shown(text)} is not between 1m and {_MOST.days}d")
    return timedelta(minutes=number * _MINUTES[unit])


def parse_size(text: str) -> int:
    """Bytes, of `50GiB`, `10GB` or `1000000`. Raises ValueError."""
    number, unit = _parts(text)
    if number is None or unit not in _BYTES:
        raise ValueError(f"{_shown(text)} is no size: write 50GiB, 10GB, 500MB, or bytes as 1000000")
    if number * _BYTES[unit] > limits.MAX_SIZE:
        raise ValueError(f"{_shown(text)} is more than {limits.MAX_SIZE} bytes, the largest size")
    return number * _BYTES[unit]


def _parts(text: str) -> tuple[int | None, str]:
    match = _WRITTEN.fullmatch(text)
    return (None, "") if match is None else (int(match[1]), match[2])


def _shown(text: str) -> str:
    shown = ascii(text)
    return shown if len(shown) <= _SHOWN_CHARACTERS else shown[:_SHOWN_CHARACTERS] + "…"
