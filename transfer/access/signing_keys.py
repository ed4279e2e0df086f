"""The keys that tokens of an identity provider are verified with, read from the operator's files.

A key is only ever used with the one algorithm of the settings, and only when it was made for it. What a token says of
keys (`jku`, `jwk`, `x5u`, `x5c`) is not looked at; its `kid` is compared with those of a JWK Set, and nothing else.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK, get_algorithm_by_name
from jwt.algorithms import AllowedPublicKeys
from jwt.exceptions import PyJWTError
from pydantic import JsonValue

from transfer.access.jwt_settings import Algorithm, JwtSettings
from transfer.logs import logger
from transfer.protocol.errors import BadMessage
from transfer.protocol.messages import read_object

Key = AllowedPublicKeys | bytes
"""A public key; bytes are a secret, of HMAC."""

MAX_FILE_BYTES: Final = 1_048_576
LOOK_SECONDS: Final = 5.0
"""How long a JWK Set is taken to be what it was."""
MIN_SECRET_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
"""RFC 7518, section 3.2: no shorter than the hash."""

_KTY: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP", "HS": "oct"}

_log = logger("towline.jwt")


class UnusableKeys(Exception):
    """A file without a key that can be used; `str()` is a sentence for the operator, without what is in the file."""


class Keys(Protocol):
    """Where the key of a token is looked up."""

    def find(self, header: Mapping[str, JsonValue]) -> Key | None:
        """The key that the token with this header has to be signed with; None where there is none."""


def open_keys(settings: JwtSettings, clock: Callable[[], float]) -> Keys:
    """Read the file of the settings. `clock` says when a JWK Set is looked at again. Raises UnusableKeys."""
    if settings.jwks_file is not None:
        return KeySet(settings.jwks_file, settings.algorithm, clock)
    assert settings.key_file is not None  # the settings have exactly one of the two
    return OneKey(read_key(settings.key_file, settings.algorithm))


class OneKey:
    """The key of all tokens, whatever `kid` they have."""

    def __init__(self, key: Key) -> None:
        self._key = key

    def find(self, header: Mapping[str, JsonValue]) -> Key | None:
        return self._key


class KeySet:
    """A JWK Set (RFC 7517) in a file that is read again when it has changed; a broken one changes nothing."""

    def __init__(self, path: Path, algorithm: Algorithm, clock: Callable[[], float]) -> None:
        self._path = path
        self._algorithm = algorithm
        self._clock = clock
        self._version = _version(path)
        self._keys = read_key_set(path, algorithm)
        self._looked = clock()

    def find(self, header: Mapping[str, JsonValue]) -> Key | None:
        if self._clock() - self._looked >= LOOK_SECONDS:
            self._look()
        kid = header.get("kid")
        return self._keys.get(kid) if isinstance(kid, str) else None

    def _look(self) -> None:
        self._looked = self._clock()
        version = _version(self._path)
        if version == self._version:
            return
        self._version = version  # before it is read, so that what is written meanwhile is read the next time
        try:
            self._keys = read_key_set(self._path, self._algorithm)
        except UnusableKeys as unusable:
            _log.warning("jwks not taken, the keys before it stay", reason=str(unusable))
        else:
            _log.info("jwks taken", keys=len(self._keys))


def _version(path: Path) -> tuple[int, int, int] | None:
    """What changes whenever a file is written or replaced; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


# ------------------------------------------------------------------------------------------------------------ reading


def read_key(path: Path, algorithm: Algorithm) -> Key:
    """The one key in a file: a public key as PEM, or a secret. Raises UnusableKeys."""
    content = _read(path)
    try:
        if algorithm in MIN_SECRET_BYTES:
            return _usable(_without_line_end(content), algorithm)
        return _usable(_public_key(content), algorithm)
    except ValueError as unusable:
        raise UnusableKeys(f"{path} {unusable}") from None


def read_key_set(path: Path, algorithm: Algorithm) -> dict[str, Key]:
    """The keys of a JWK Set that are for this algorithm, by their `kid`. Raises UnusableKeys."""
    keys: dict[str, Key] = {}
    members = _members(path)
    if any(isinstance(jwk, dict) and "d" in jwk for jwk in members):
        raise UnusableKeys(f"{path} holds a private key; the issuer keeps those, and publishes a set without them")
    for kid, jwk in _fitting(members, algorithm):
        if kid in keys:
            raise UnusableKeys(f"{path} has two keys for {algorithm} with the kid {kid!r}")
        with suppress(ValueError):
            keys[kid] = _usable(_decoded(jwk, algorithm), algorithm)
    if not keys:
        raise UnusableKeys(f"{path} has no key with a kid that is for signatures with {algorithm}")
    return keys


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as unreadable:
        raise UnusableKeys(f"{path} cannot be read: {unreadable.strerror}") from None
    if len(content) > MAX_FILE_BYTES:
        raise UnusableKeys(f"{path} has more than {MAX_FILE_BYTES:,} bytes")
    return content


def _without_line_end(secret: bytes) -> bytes:
    """Editors put a line end behind a text; of random bytes the last one may be the same by chance, and stays."""
    text = secret.removesuffix(b"\n").removesuffix(b"\r")
    return text if text.isascii() and text.decode("ascii").isprintable() else secret


def _public_key(content: bytes) -> PublicKeyTypes:
    if b"PRIVATE KEY-----" in content:
        raise ValueError("holds a private key; the issuer keeps that, and its public key is needed here")
    try:
        return load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("is no public key in PEM (-----BEGIN PUBLIC KEY-----)") from None


def _members(path: Path) -> list[JsonValue]:
    try:
        members: JsonValue = read_object(_read(path).decode()).get("keys")
    except (BadMessage, UnicodeDecodeError):
        raise UnusableKeys(f"{path} is no JWK Set: not JSON with an object in it") from None
    if not isinstance(members, list):
        raise UnusableKeys(f"{path} is no JWK Set: it has no list of keys")
    return members


def _fitting(members: list[JsonValue], algorithm: Algorithm) -> Iterator[tuple[str, dict[str, JsonValue]]]:
    """Those that say nothing against being used so (RFC 7517, section 4), and their `kid`."""
    for jwk in members:
        if isinstance(jwk, dict) and _is_meant_for(jwk, algorithm):
            kid = jwk.get("kid")
            if isinstance(kid, str) and kid:
                yield kid, jwk


def _is_meant_for(jwk: Mapping[str, JsonValue], algorithm: Algorithm) -> bool:
    operations = jwk.get("key_ops", ["verify"])
    return (
        jwk.get("kty") == _KTY[algorithm[:2]]
        and jwk.get("alg", algorithm) == algorithm
        and jwk.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
    )


def _decoded(jwk: dict[str, JsonValue], algorithm: Algorithm) -> Key:
    """The key in a JWK. Raises ValueError."""
    try:
        key: Key = PyJWK(jwk, algorithm).key
    except (PyJWTError, UnsupportedAlgorithm, ValueError, OverflowError):
        raise ValueError("is no key") from None
    return key


def _usable(key: PublicKeyTypes | bytes, algorithm: Algorithm) -> Key:
    """The key, if it is of the algorithm's kind, curve and strength. Raises ValueError."""
    minimum = MIN_SECRET_BYTES.get(algorithm, 0)
    if isinstance(key, bytes) and len(key) < minimum:
        raise ValueError(f"has {len(key)} bytes, and a secret of {algorithm} needs {minimum} (RFC 7518, section 3.2)")
    implementation = get_algorithm_by_name(algorithm)
    try:
        prepared: Key = implementation.prepare_key(key)
    except (PyJWTError, TypeError, ValueError):
        raise ValueError(f"has a key of another kind than {algorithm} needs") from None
    if implementation.check_key_length(prepared) is not None:
        raise ValueError(f"has a key that is too short for {algorithm}: 2,048 bits are the least")
    return prepared
