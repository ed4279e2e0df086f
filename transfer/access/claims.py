"""What the claims of a token grant. The signature, the issuer and the audience have been looked at before.

PyJWT reads `exp`, `nbf` and `iat` with `int()`, which also takes texts, fractions and `true`: they are whole seconds
here. A claim that is set up in `[jwt]` and not in the token refuses it: an attribute that nobody has filled in does not
mean everything.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from pydantic import JsonValue

from transfer.access.jwt_settings import JwtSettings
from transfer.access.principal import Principal, Scope, parse_subject
from transfer.protocol.errors import Unauthorized
from transfer.protocol.limits import MAX_SIZE
from transfer.protocol.names import InvalidName
from transfer.protocol.prefixes import parse_prefix

_TIMES: Final = ("exp", "nbf", "iat")
_LAST_MOMENT: Final = datetime.max.replace(tzinfo=UTC).timestamp() - 86_400
"""The year 9999 is the last one that there is; a day is left for the leeway."""

Claims = Mapping[str, JsonValue]


def principal_of(claims: Claims, settings: JwtSettings) -> Principal:
    """Whom verified claims name, and what they grant. Raises Unauthorized, with a sentence that quotes none of them.

    `expires` is the moment from which on the token is refused: its `exp`, and the leeway.
    """
    times = _times(claims)
    if settings.max_lifetime is not None:
        _check_lifetime(times, settings.max_lifetime)
    return Principal(
        subject=_subject(claims, settings.subject_claim),
        scopes=_scopes(claims, settings),
        prefix=settings.prefix if settings.prefix_claim is None else _prefix(claims, settings.prefix_claim),
        quota=None if settings.quota_claim is None else _quota(claims, settings.quota_claim),
        expires=datetime.fromtimestamp(times["exp"] + settings.leeway, UTC),
    )


def _times(claims: Claims) -> dict[str, int]:
    """The registered claims that are moments, in seconds (RFC 7519, section 4.1)."""
    times: dict[str, int] = {}
    for name in _TIMES:
        if name in claims:
            value = claims[name]
            if type(value) is not int or not 0 <= value <= _LAST_MOMENT:
                raise Unauthorized(f"the token's claim {name} is no time in whole seconds")
            times[name] = value
    return times


def _check_lifetime(times: Mapping[str, int], max_lifetime: float) -> None:
    if "iat" not in times:
        raise Unauthorized("the token does not say when it was issued (iat)")
    if times["exp"] - times["iat"] > max_lifetime:
        raise Unauthorized(f"the token is valid for longer than the {max_lifetime:g} seconds that are allowed")


def _subject(claims: Claims, name: str) -> str:
    try:
        return parse_subject(_text(claims, name))
    except ValueError:
        raise Unauthorized(f"the token's claim {name} is no subject that can be used here") from None


def _prefix(claims: Claims, name: str) -> str:
    text = _text(claims, name)
    try:
        return parse_prefix(text)
    except InvalidName:
        raise Unauthorized(f"the token's claim {name} is no prefix of names with a slash at its end") from None


def _quota(claims: Claims, name: str) -> int:
    value = claims.get(name)
    if type(value) is not int or not 0 <= value <= MAX_SIZE:
        raise Unauthorized(f"the token's claim {name} is no number of bytes")
    return value


def _text(claims: Claims, name: str) -> str:
    """A claim that has to be there, and not empty."""
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise Unauthorized(f"the token has no text in its claim {name}")
    return value


def _scopes(claims: Claims, settings: JwtSettings) -> frozenset[Scope]:
    values = _values(claims.get(settings.scope_claim, ""), settings.scope_claim)
    return frozenset(scope for value in values for scope in settings.scopes.get(value, ()))


def _values(claim: JsonValue, name: str) -> Iterable[str]:
    """What a claim lists: between spaces (RFC 6749, section 3.3), and no other white space, or in a list."""
    if isinstance(claim, str):
        return claim.split(" ")
    if not isinstance(claim, list) or not all(isinstance(value, str) for value in claim):
        raise Unauthorized(f"the token's claim {name} is neither a text nor a list of texts")
    return [value for value in claim if isinstance(value, str)]
