"""Colours, where they are wanted: as https://no-color.org and https://force-color.org have it."""

import os
from collections.abc import Mapping
from typing import Final, Literal, TextIO

Colour = Literal["bold", "red", "green", "yellow", "cyan"]
_CODES: Final[Mapping[Colour, int]] = {"bold": 1, "red": 31, "green": 32, "yellow": 33, "cyan": 36}
"""ECMA-48, section 8.3.117."""


def is_painted(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a stream gets colours: NO_COLOR says no, FORCE_COLOR yes; else what is a terminal does."""
    if environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR"):
        return True
    return stream.isatty() and environment.get("TERM") != "dumb"


def paint(text: str, colour: Colour, *, painted: bool) -> str:
    """The text in a colour, where it is `painted` at all."""
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if painted else text
