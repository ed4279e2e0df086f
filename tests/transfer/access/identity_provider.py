"""An identity provider with keys of each kind, whose tokens can be made as wrong as one likes."""

import base64
import json
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt import get_algorithm_by_name

from transfer.access.jwt_settings import JwtSettings
from transfer.access.jwt_tokens import JwtVerifier

Object = dict[str, Any]
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey

ISSUER: Final = "https://login.example.org/realms/team"
AUDIENCE: Final = "towline.example.org"
SUBJECT: Final = "f81d4fae-ada.lovelace"
ABSENT: Final = object()
"""Instead of a value: the token has no such claim, or header."""


def encoded(part: bytes | str) -> str:
    part = part.encode() if isinstance(part, str) else part
    return base64.urlsafe_b64encode(part).decode().rstrip("=")


def jwk_of(key: PrivateKey, algorithm: str, **members: object) -> Object:
    jwk: Object = get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    return jwk | members


def public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class Provider:
    """Its public keys are files in `folder`; `stranger` is the RSA key of somebody else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = int(time.time())
        self.rsa, self.stranger = (rsa.generate_private_key(65_537, 2_048) for _ in range(2))
        self.p256, self.p384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
        self.p521, self.ed25519 = ec.generate_private_key(ec.SECP521R1()), Ed25519PrivateKey.generate()
        self.secret = secrets.token_bytes(64)
        curves = {"ES256": self.p256, "ES384": self.p384, "ES512": self.p521}
        of_rsa = {kind + bits: self.rsa for kind in ("RS", "PS") for bits in ("256", "384", "512")}
        self.keys: dict[str, PrivateKey | bytes] = {**of_rsa, **curves, "EdDSA": self.ed25519}
        self.keys |= dict.fromkeys(("HS256", "HS384", "HS512"), self.secret)
        for algorithm, key in self.keys.items():
            self.file(algorithm).write_bytes(key if isinstance(key, bytes) else public_pem(key))

    def file(self, name: str) -> Path:
        return self.folder / name

    def write_keys(self, *jwks: object, name: str = "jwks.json") -> Path:
        """A JWK Set with these keys, by default with that of RS256 as `first`."""
        default = [jwk_of(self.rsa, "RS256", kid="first", use="sig", alg="RS256")]
        self.file(name).write_text(json.dumps({"keys": jwks or default}))
        return self.file(name)

    def settings(self, **changes: object) -> JwtSettings:
        algorithm = str(changes.get("algorithm", "RS256"))
        keys = {} if "jwks_file" in changes else {"key_file": self.file(algorithm)}
        basis = {"issuer": ISSUER, "audience": AUDIENCE, "algorithm": algorithm}
        return JwtSettings.model_validate({**basis, **keys, **changes})

    def verifier(self, **changes: object) -> JwtVerifier:
        return JwtVerifier(self.settings(**changes))

    # ---------------------------------------------------------------------------------------------------------- tokens

    def claims(self, **changes: object) -> Object:
        """Those of an honest token, but for the changes."""
        basis = {"iss": ISSUER, "aud": AUDIENCE, "sub": SUBJECT, "iat": self.now, "exp": self.now + 600}
        return _changed(basis, changes)

    def token(self, **claims: object) -> str:
        """An honest token, but for these claims."""
        return self.signed(claims=claims)

    def signed(
        self,
        algorithm: str = "RS256",
        *,
        header: Mapping[str, object] | None = None,
        claims: Mapping[str, object] | None = None,
        key: PrivateKey | bytes | None = None,
    ) -> str:
        """A token that is signed, by default with the provider's key of this algorithm."""
        full_header = _changed({"alg": algorithm, "typ": "JWT"}, header or {})
        return self.written(json.dumps(full_header), json.dumps(self.claims(**(claims or {}))), algorithm, key)

    def written(
        self, header: str | bytes, payload: str | bytes, algorithm: str = "RS256", key: PrivateKey | bytes | None = None
    ) -> str:
        """A token with this header and this payload, to the letter, that is signed."""
        return self.sealed(f"{encoded(header)}.{encoded(payload)}", algorithm, key)

    def sealed(self, signed_part: str, algorithm: str = "RS256", key: PrivateKey | bytes | None = None) -> str:
        key = self.keys[algorithm] if key is None else key
        signature: bytes = get_algorithm_by_name(algorithm).sign(signed_part.encode(), key)
        return f"{signed_part}.{encoded(signature)}"

    def with_signature(self, change: Callable[[bytes], bytes], algorithm: str = "RS256") -> str:
        """A token whose signature was changed."""
        signed_part, _, signature = self.signed(algorithm).rpartition(".")
        return f"{signed_part}.{encoded(change(decoded(signature)))}"


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _changed(basis: Mapping[str, object], changes: Mapping[str, object]) -> Object:
    return {name: value for name, value in {**basis, **changes}.items() if value is not ABSENT}
