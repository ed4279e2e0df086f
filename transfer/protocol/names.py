"""Names of files: untrusted text becomes a `Name` here, once, and nobody below checks it again.

A name is a relative path in Unicode's normal form C: at most 1,024 bytes of UTF-8, segments of 1 to 255 bytes between
`/`. NFC is the one rewrite; what breaks a rule is refused, not repaired. A name is metadata: this module knows no file
system, though it refuses what would be a trap on one.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

MAX_NAME_BYTES: Final = 1_024
MAX_SEGMENT_BYTES: Final = 255

_MAX_DECOMPOSED: Final = 4
"""No character decomposes into more (U+1F82 does into four), so NFC divides a length by four at the most."""
_SHOWN_CHARACTERS: Final = 60

_TOO_LONG: Final = f"name longer than {MAX_NAME_BYTES:,} bytes"
_REFUSED_CATEGORIES: Final = {
    "Cc": "control character",
    "Cf": "bidirectional, zero-width or other format control",
    "Cs": "lone surrogate",
    "Zl": "line separator",
    "Zp": "paragraph separator",
}
_DEVICE_NAMES: Final = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [port + digit for port in ("com", "lpt") for digit in "0123456789¹²³"]
)
"""https://learn.microsoft.com/windows/win32/fileio/naming-a-file, and the two console handles."""


class InvalidName(ValueError):
    """Text that is no name: `rule` says why, `text` is the offending text, after NFC where it came that far."""

    def __init__(self, text: str, rule: str) -> None:
        super().__init__(text, rule)
        self.text = text
        self.rule = rule

    def __str__(self) -> str:
        shown = ascii(self.text[:_SHOWN_CHARACTERS])
        if len(self.text) > _SHOWN_CHARACTERS:
            shown += f"... ({len(self.text):,} characters)"
        return f"{self.rule}: {shown}"


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """A name that keeps every rule; made by `Name.parse`. Ordered by code point, which is also the order of its bytes.

    The constructor rewrites nothing and raises InvalidName for text that is not what `parse` would have made of it, so
    that no `Name` breaks a rule, whichever way it came about; `kept` relies on that of what is read again.
    """

    value: str

    def __post_init__(self) -> None:
        rule = _broken_rule(self.value)
        if rule is not None:
            raise InvalidName(self.value, rule)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Make untrusted text a name. Raises InvalidName."""
        # Normalizing takes quadratic time: 64 Ki combining marks cost seconds, so length is looked at before.
        if len(text) > MAX_NAME_BYTES * _MAX_DECOMPOSED:
            raise InvalidName(text, _TOO_LONG)
        return cls(unicodedata.normalize("NFC", text))

    @classmethod
    def kept(cls, text: str) -> Self:
        """Read a name again that this program kept: it was parsed before, and is not looked at. Nothing else comes this
        way, least of all what somebody sent."""
        name = object.__new__(cls)
        object.__setattr__(name, "value", text)
        return name

    def __str__(self) -> str:
        return self.value

    @property
    def key(self) -> str:
        """What must be unique among names: canonical caseless matching (The Unicode Standard, 3.13, D145).

        It may be longer than a name can be, and is none.
        """
        # Decomposed first: U+0345 folds to a letter, which would then no longer be reordered among its neighbours.
        return unicodedata.normalize("NFC", unicodedata.normalize("NFD", self.value).casefold())

    @property
    def parents(self) -> tuple[str, ...]:
        """The keys of the names above this one, from the top: of `a/b/c` those of `a` and of `a/b`."""
        segments = self.key.split("/")
        return tuple("/".join(segments[:depth]) for depth in range(1, len(segments)))

    @property
    def last(self) -> str:
        """The segment after the last `/`."""
        return self.value.rpartition("/")[2]

    def numbered(self, n: int) -> Self:
        """The n-th name to try when this one is taken: `photos/cat.jpg` becomes `photos/cat (2).jpg`.

        Never this name itself, and different for every `n`. Where it would be too long the stem is cut, and where the
        extension leaves no room for a stem the extension is cut as if it were one. Raises InvalidName when the folder
        leaves no room for one character and the number, ValueError when `n` is not positive.
        """
        if n < 1:
            raise ValueError(f"number {n} is not positive")
        folder = self.value.removesuffix(self.last)
        room = min(MAX_SEGMENT_BYTES, MAX_NAME_BYTES - len(folder.encode()))
        for candidate in _numbered_segments(self.last, f" ({n})", room):
            return type(self)(folder + candidate)
        raise InvalidName(f"{self.value} ({n})", _TOO_LONG)


def _broken_rule(value: str) -> str | None:
    if not value:
        return "empty name"
    return _broken_character_rule(value) or _broken_whole_rule(value) or _broken_segment_rule(value)


def _broken_character_rule(value: str) -> str | None:
    if "\\" in value:
        return "backslash"
    if value.isprintable():  # none of those categories is, and it looks through a whole name at once
        return None
    for character in value:
        rule = _REFUSED_CATEGORIES.get(unicodedata.category(character))
        if rule is not None:
            return rule
    return None


def _broken_whole_rule(value: str) -> str | None:
    if len(value.encode()) > MAX_NAME_BYTES:
        return _TOO_LONG
    if value.startswith("/"):
        return "leading slash"
    if not unicodedata.is_normalized("NFC", value):
        return "not in unicode normal form c"
    return None


def _broken_segment_rule(value: str) -> str | None:
    for segment in value.split("/"):
        if len(segment.encode()) > MAX_SEGMENT_BYTES:
            return f"segment longer than {MAX_SEGMENT_BYTES} bytes"
        rule = _broken_rule_of_one(segment)
        if rule is not None:
            return rule
    return None


@lru_cache(maxsize=1_024)  # names of the same folders come again and again
def _broken_rule_of_one(segment: str) -> str | None:
    if not segment:
        return "empty segment"
    if segment in (".", ".."):
        return f"segment {segment!r}"
    if segment != segment.strip():
        return "segment with leading or trailing space"
    if segment.endswith("."):
        return "segment with trailing dot"
    if _is_device(segment):
        return "windows device name"
    return None


def _is_device(segment: str) -> bool:
    """Windows looks only at what stands before the first dot or colon, without its trailing spaces."""
    return segment.partition(".")[0].partition(":")[0].rstrip().casefold() in _DEVICE_NAMES


def _numbered_segments(segment: str, number: str, room: int) -> Iterator[str]:
    """Segments of at most `room` bytes with `number` before the extension or, where that cannot be, at the end."""
    for stem, extension in (_split_extension(segment), (segment, "")):
        kept = _cut(stem, room - len((number + extension).encode()))
        if kept + number + extension == segment:  # `x (2).jpg`, cut, has become itself
            kept = kept[:-1]
        if kept:
            yield kept + number + extension


def _split_extension(segment: str) -> tuple[str, str]:
    """Stem and extension, with its dot. Dots at the beginning belong to the stem: `.bashrc` has no extension."""
    stem, dot, extension = segment.rpartition(".")
    return (stem, dot + extension) if stem.strip(".") else (segment, "")


def _cut(text: str, max_bytes: int) -> str:
    """The longest beginning of `text` that has at most `max_bytes` bytes and ends between characters."""
    return text.encode()[: max(max_bytes, 0)].decode(errors="ignore")
