"""Prefixes: the part of all names that somebody may touch. Untrusted text becomes a prefix here, once.

A prefix is empty, which is every name, or a name with a `/` behind it: `photos/` holds `photos/cat.jpg`, and neither
`photos` itself nor `photos2/cat.jpg`. A name is within it when it begins so, in exactly this spelling:
`name.value.startswith(prefix)`. Names are unique whatever their case, but `Photos/a` is not within `photos/`: a prefix
that nobody has spelled out grants nothing, and whoever has `photos/` is refused there, not led to another's file.
"""

from typing import Final

from transfer.protocol.names import InvalidName, Name

EVERYTHING: Final = ""


def parse_prefix(text: str) -> str:
    """Make untrusted text a prefix, in Unicode's normal form C. Raises InvalidName."""
    if text == EVERYTHING:
        return EVERYTHING
    if not text.endswith("/"):
        raise InvalidName(text, "prefix without a slash at its end")
    return f"{Name.parse(text[:-1])}/"
