"""`[jwt]`: whose JSON Web Tokens are taken, and what their claims grant.

Nothing in this table is secret: keys are in files, which `transfer.access.signing_keys` reads.
"""

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from transfer.access.principal import SCOPES, Scope
from transfer.protocol.prefixes import EVERYTHING, parse_prefix

Algorithm = Literal[
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "HS256",
    "HS384",
    "HS512",
]
MAX_LEEWAY: Final = 300.0
"""Clocks that are further apart are to be set, and not put up with."""


def _as_scopes(value: object) -> object:
    """One scope may be written without brackets."""
    return [value] if isinstance(value, str) else value


def _as_path(path: Path) -> Path:
    """A key or a secret in the place of a file's name would be shown in the sentence that says it is not there."""
    if not str(path).isprintable() or "-----BEGIN" in str(path):
        raise ValueError("the path of a file is meant here, not what is in it")
    return path


ClaimName = Annotated[str, Field(min_length=1)]
KeyPath = Annotated[Path, AfterValidator(_as_path)]
GrantedScopes = Annotated[frozenset[Scope], BeforeValidator(_as_scopes)]


class JwtSettings(BaseModel):
    """Which tokens are taken: from one issuer, for one audience, signed with one algorithm."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str = Field(min_length=1, description="the claim `iss`, character by character")
    audience: str = Field(min_length=1, description="what the claim `aud` has to be, or to have among others")
    algorithm: Algorithm = Field(
        description="the only one that is taken: `RS256`, `PS256`, `ES256`, `HS256`, each also with 384 and 512, or"
        " `EdDSA`"
    )
    key_file: KeyPath | None = Field(
        default=None, description="a PEM file with the public key; for `HS…` a file with the secret and nothing else"
    )
    jwks_file: KeyPath | None = Field(
        default=None, description="instead of `key_file`: a JWK Set, whose keys are told apart by `kid`"
    )
    leeway: float = Field(
        default=30.0, ge=0, le=MAX_LEEWAY, description="how many seconds the issuer's clock may be off"
    )
    max_lifetime: float | None = Field(
        default=None, gt=0, description="how many seconds may lie between a token's `iat` and `exp`"
    )
    subject_claim: ClaimName = Field(default="sub", description="the claim that says who it is")
    scope_claim: ClaimName = Field(
        default="scope", description="the claim with what is granted: a text with spaces in it, or a list"
    )
    scopes: dict[str, GrantedScopes] = Field(
        default={scope: frozenset([scope]) for scope in sorted(SCOPES - {"admin"})},
        description="what each of its values grants, one scope or several; other values grant nothing",
    )
    prefix: Annotated[str, AfterValidator(parse_prefix)] = Field(
        default=EVERYTHING, description="what the names begin with that bearers may touch, such as `team/`"
    )
    prefix_claim: ClaimName | None = Field(
        default=None, description="instead of `prefix`: the claim that says it; a token without is refused"
    )
    quota_claim: ClaimName | None = Field(
        default=None, description="the claim with the subject's quota in bytes; a token without is refused"
    )

    @model_validator(mode="after")
    def _one_source_of_each(self) -> Self:
        if (self.key_file is None) == (self.jwks_file is None):
            raise ValueError("exactly one of key_file and jwks_file is needed")
        if self.prefix and self.prefix_claim is not None:
            raise ValueError("prefix and prefix_claim cannot both be set")
        return self
