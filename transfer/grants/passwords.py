"""Passwords of share links: kept as argon2id hashes, and asked for by HTTP Basic (RFC 7617), whatever the user name.

A hash takes 64 MiB and a tenth of a second by design, so few are computed at a time, and in threads. Making them has a
turn of its own: who makes many links does not hold up those who come by one.
"""

import asyncio
import base64
import binascii
import unicodedata
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from transfer.protocol.errors import TooMany

AT_A_TIME: Final = 2
"""Passwords that are compared; one more may be made."""
MAX_TO_MAKE: Final = 16
"""How many may wait to be made, all callers together."""
RETRY_SECONDS: Final = 2
MAX_CHARACTERS: Final = 1_024


class Passwords:
    """Makes and compares hashes, with the parameters of RFC 9106, section 4, for where memory is scarce."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turns = asyncio.Semaphore(AT_A_TIME)
        self._making = asyncio.Lock()
        self._to_make = 0

    async def hashed(self, password: str) -> str:
        """What is kept of it. Raises TooMany."""
        if self._to_make >= MAX_TO_MAKE:
            sentence = f"{MAX_TO_MAKE} passwords are to be kept at the moment: try again in a few seconds"
            raise TooMany(sentence, retryable=True, retry_after=RETRY_SECONDS)
        self._to_make += 1
        try:
            async with self._making:
                return await asyncio.to_thread(self._hasher.hash, password)
        finally:
            self._to_make -= 1

    async def match(self, password: str, kept: str) -> bool:
        async with self._turns:
            return await asyncio.to_thread(self._verify, password, kept)

    def _verify(self, password: str, kept: str) -> bool:
        try:
            return self._hasher.verify(kept, password)
        except VerifyMismatchError:
            return False


def parse_password(text: str) -> str:
    """The password that this text is, in one of the ways to write it (RFC 8265, section 4.2). Raises ValueError, with a
    sentence that does not show it."""
    if not 0 < len(text) <= MAX_CHARACTERS:
        raise ValueError(f"a password has 1 to {MAX_CHARACTERS} characters")
    if not text.isprintable():
        raise ValueError("a password has no control characters")
    return unicodedata.normalize("NFC", text)


def password_of(authorization: str | None) -> str | None:
    """The password in an Authorization header; None where there is none to be found."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        _, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        return parse_password(password) if colon else None
    except (binascii.Error, ValueError):  # that it is not UTF-8 is one of these
        return None
