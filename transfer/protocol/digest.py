"""Digests: `algorithm:hex` of a whole content, and the hashers that make them.

The spelling is OCI's (image-spec, descriptor, "Digests"): lower-case hexadecimal after the algorithm's name.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final, Protocol, Self

from blake3 import blake3

DEFAULT_ALGORITHM: Final = "sha256"
ALGORITHMS: Final = ("sha256", "blake3")
_HEX = re.compile(r"[0-9a-f]{64}")


class UnsupportedAlgorithm(ValueError):
    """A digest algorithm that is not known here."""

    def __init__(self, algorithm: str) -> None:
        super().__init__(algorithm)
        self.algorithm = algorithm

    def __str__(self) -> str:
        return f"digest algorithm {self.algorithm[:64]!r} is not one of {', '.join(ALGORITHMS)}"


class InvalidDigest(ValueError):
    """Text that is not `algorithm:hex`."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"{self.text[:100]!r} is not a digest: expected algorithm:hex with 64 lower-case hexadecimal digits"


class Hasher(Protocol):
    """What hashlib and blake3 have in common."""

    def update(self, data: "bytes | bytearray | memoryview", /) -> object: ...
    def copy(self) -> "Hasher": ...
    def hexdigest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Digest:
    """The digest of a whole content."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `algorithm:hex`. Raises InvalidDigest, or UnsupportedAlgorithm when only the algorithm is strange."""
        algorithm, colon, hexadecimal = text.partition(":")
        if not colon:
            raise InvalidDigest(text)
        check_algorithm(algorithm)
        if not _HEX.fullmatch(hexadecimal):
            raise InvalidDigest(text)
        return cls(algorithm, hexadecimal)

    @classmethod
    def kept(cls, text: str) -> Self:
        """Read a digest again that this program kept, without looking whether it is one."""
        algorithm, _, hexadecimal = text.partition(":")
        return cls(algorithm, hexadecimal)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


def check_algorithm(algorithm: str) -> str:
    """Return `algorithm`; raises UnsupportedAlgorithm when it is not known here."""
    if algorithm not in ALGORITHMS:
        raise UnsupportedAlgorithm(algorithm)
    return algorithm


def new_hasher(algorithm: str) -> Hasher:
    """A fresh hasher. Its state cannot be saved, so a resume hashes the beginning again."""
    check_algorithm(algorithm)
    return blake3() if algorithm == "blake3" else hashlib.sha256()


def digest_of(hasher: Hasher, algorithm: str) -> Digest:
    return Digest(algorithm, hasher.hexdigest())


def digest_bytes(content: "bytes | bytearray | memoryview", algorithm: str = DEFAULT_ALGORITHM) -> Digest:
    """The digest of content that is in memory."""
    hasher = new_hasher(algorithm)
    hasher.update(content)
    return digest_of(hasher, algorithm)
