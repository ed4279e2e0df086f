"""Measurements of Towline, one script per question; README.md says how to read them."""

import sys
from types import TracebackType


def _end_quietly(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """On Ctrl-C, also while a script is still being loaded, end with 130 instead of a traceback."""
    if issubclass(kind, KeyboardInterrupt):
        sys.exit(130)
    sys.__excepthook__(kind, error, trace)


sys.excepthook = _end_quietly
