"""The names by which an operator lets a server be called: exact ones, and all below one."""

import re
from collections.abc import Iterable
from typing import Final

_PATTERN: Final = re.compile(
    r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*|\[[0-9a-f:.]+\]", re.ASCII
)


class HostNames:
    """Names, `*.` in front of one for every name below it. Raises ValueError for what is none."""

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = list(map(parse_pattern, patterns))
        self._exact = frozenset(pattern for pattern in patterns if not pattern.startswith("*."))
        self._endings = tuple(pattern[1:] for pattern in patterns if pattern.startswith("*."))

    def __contains__(self, host: str) -> bool:
        """Whether this is one of them; small letters, IPv6 in brackets, no port."""
        return host in self._exact or any(host.endswith(ending) and host != ending for ending in self._endings)


def parse_pattern(text: str) -> str:
    """In small letters. Raises ValueError."""
    pattern = text.lower()
    if _PATTERN.fullmatch(pattern) is None:
        raise ValueError("a host is written like files.example.org, *.example.org or [::1], without scheme and port")
    return pattern
