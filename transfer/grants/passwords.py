"""Passwords of share links: kept as argon2id hashes, and asked for by HTTP Basic (RFC 7617), whatever the user name.

A hash takes 64 MiB and a tenth of a second by design, so few are computed at a time, and in threads.
"""

import asyncio
import base64
import binascii
import unicodedata
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

AT_A_TIME: Final = 2
MAX_CHARACTERS: Final = 1_024


class Passwords:
    """Makes and compares hashes, with the parameters of RFC 9106, section 4, for where memory is scarce."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turns = asyncio.Semaphore(AT_A_TIME)

    async def hashed(self, password: str) -> str:
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password)

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
