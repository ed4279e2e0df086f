"""What can be a token: the one reading of untrusted text as one, on both sides. No sentence here shows any of it."""

from typing import Final

from pydantic import SecretStr

from transfer.protocol import limits

VISIBLE: Final = frozenset(map(chr, range(0x21, 0x7F)))
"""What a token is made of: it stands in a header (RFC 9110, section 5.6.2; RFC 6750 has fewer characters)."""
VISITOR: Final = r"^[0-9A-Za-z_-]{16,64}$"
"""How a visitor of a request link is known again: text of their own making, which nobody else can guess."""


def parse_token(text: str) -> SecretStr:
    """The token that this text is. Raises ValueError, with a sentence that does not show it."""
    if not text:
        raise ValueError("it is empty")
    if len(text) > limits.MAX_TOKEN_BYTES:
        raise ValueError(f"it has {len(text)} characters, more than {limits.MAX_TOKEN_BYTES}")
    if not VISIBLE.issuperset(text):
        raise ValueError("it has white space, a control character or one that is not ASCII within")
    return SecretStr(text)
