"""The secrets that are handed out: made, written, and found again by what they hash to. Pure.

A secret is `towline_<id>_<64 hexadecimal digits>`, so that whoever scans for leaked ones recognises it. The id is no
secret: it finds the row, which has only a hash. That is SHA-256, once: 256 random bits are beyond guessing, and no slow
hash makes them better.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final

PREFIX: Final = "towline_"
SECRET_BYTES: Final = 32
_ID_BYTES: Final = 6
_WRITTEN: Final = re.compile(r"(?:towline_)?([0-9a-f]{12})_([0-9a-f]{64})")
_IN_TEXT: Final = re.compile(r"towline_[0-9a-f]{12}_[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that somebody holds. Its `repr` shows only the id."""

    grant_id: str
    _digits: str

    @classmethod
    def new(cls) -> "Secret":
        return cls(secrets.token_hex(_ID_BYTES), secrets.token_hex(SECRET_BYTES))

    @classmethod
    def parse(cls, text: str) -> "Secret | None":
        """A secret as it is written, in a link without the first part; None for anything else."""
        match = _WRITTEN.fullmatch(text)
        return None if match is None else cls(*match.groups())

    def __repr__(self) -> str:
        return f"Secret({self.grant_id})"

    @property
    def text(self) -> str:
        """What is shown once, to whom it is for."""
        return PREFIX + self.in_link

    @property
    def in_link(self) -> str:
        """As it stands in the path of a link."""
        return f"{self.grant_id}_{self._digits}"

    @property
    def hash(self) -> bytes:
        """What is kept of it."""
        return hashlib.sha256(self._digits.encode()).digest()

    def hashes_to(self, kept: bytes) -> bool:
        """Compared in the same time wherever they differ."""
        return hmac.compare_digest(self.hash, kept)


def holds_secret(text: str) -> bool:
    """Whether a secret stands in a text."""
    return _IN_TEXT.search(text) is not None
