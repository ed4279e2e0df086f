"""JSON Web Tokens of an identity provider: a token is verified, and its claims become a principal.

What is checked, in this order: the length, the form, the header, the key, the signature, and then the claims, so that
nothing in a token is believed before its signature is. All that a bearer hears, and all that could be logged, is which
check has failed: no sentence quotes a token. Requests, frames and cookies are elsewhere.
"""

import base64
import binascii
import re
import time
from collections.abc import Callable, Mapping
from typing import Final

import jwt
from jwt import exceptions
from pydantic import JsonValue

from transfer.access.claims import principal_of
from transfer.access.jwt_settings import JwtSettings
from transfer.access.principal import Principal
from transfer.access.signing_keys import Key, UnusableKeys, open_keys
from transfer.protocol.errors import BadMessage, Unauthorized
from transfer.protocol.messages import read_object
from transfer.settings import WrongSetting

MAX_TOKEN_CHARACTERS: Final = 8_192

_FORM: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
"""RFC 7515, section 3.1, without padding. An encrypted token has five parts, an unsigned one an empty third."""
_TYPES: Final = frozenset(["jwt", "at+jwt"])
"""RFC 7519, section 5.1, and RFC 9068: other kinds of token, of a logout for example, are not for getting in."""
_UNKNOWN: Final = frozenset(["b64", "crit", "enc", "zip"])
"""Headers that change how a token is to be read."""
_SENTENCES: Final[dict[type[exceptions.PyJWTError], str]] = {
    exceptions.ExpiredSignatureError: "the token has expired",
    exceptions.ImmatureSignatureError: "the token is not valid yet",
    exceptions.InvalidAudienceError: "the token is for another audience",
    exceptions.InvalidIssuerError: "the token is from another issuer",
    exceptions.InvalidSignatureError: "the token's signature is wrong",
}


class JwtVerifier:
    """Verifies tokens as the settings say. Reads key files when it is made, and a JWK Set again when it has changed."""

    def __init__(self, settings: JwtSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` says when to look at a JWK Set again. Raises WrongSetting for a file whose keys cannot be used."""
        self._settings = settings
        try:
            self._keys = open_keys(settings, clock)
        except UnusableKeys as unusable:
            raise WrongSetting(f"jwt: {unusable}") from None

    def verify(self, token: str) -> Principal:
        """Whom the token names, and what it grants. Raises Unauthorized, with a sentence that quotes nothing of it."""
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise Unauthorized(f"the token is longer than {MAX_TOKEN_CHARACTERS:,} characters")
        form = _FORM.fullmatch(token)
        if form is None:
            raise Unauthorized("the token is not three parts in base64url with dots between them")
        header = _object_in(form[1], "header")
        self._check_header(header)
        key = self._keys.find(header)
        if key is None:
            raise Unauthorized("the token is signed with a key that is not known here")
        self._check_signature_and_registered_claims(token, key)
        return principal_of(_object_in(form[2], "payload"), self._settings)

    def _check_header(self, header: Mapping[str, JsonValue]) -> None:
        if header.get("alg") != self._settings.algorithm:
            raise Unauthorized("the token is signed with another algorithm than the one that is taken")
        if not _UNKNOWN.isdisjoint(header):
            raise Unauthorized("the token has a header that is not understood here")
        kind = header.get("typ", "JWT")
        if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in _TYPES:
            raise Unauthorized("the token is of another type than JWT and at+jwt")

    def _check_signature_and_registered_claims(self, token: str, key: Key) -> None:
        settings = self._settings
        try:
            jwt.decode(
                token,
                key,
                algorithms=[settings.algorithm],
                issuer=settings.issuer,
                audience=settings.audience,
                leeway=settings.leeway,
                options={"require": ["exp", "iss", "aud"], "verify_sub": False, "enforce_minimum_key_length": True},
            )
        except exceptions.MissingRequiredClaimError as refused:
            raise Unauthorized(f"the token has no claim {refused.claim}") from None
        except exceptions.PyJWTError as refused:
            raise Unauthorized(_SENTENCES.get(type(refused), "the token cannot be read")) from None


def _object_in(part: str, name: str) -> Mapping[str, JsonValue]:
    """The strict JSON object in a part. Raises Unauthorized."""
    try:
        return read_object(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode())
    except (binascii.Error, UnicodeDecodeError, BadMessage):
        raise Unauthorized(f"the token's {name} is not strict JSON with one object in it") from None
