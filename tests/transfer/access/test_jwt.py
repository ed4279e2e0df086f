"""Tokens of an identity provider: honest ones become a principal, forged ones a sentence that says nothing of them."""

import json
import logging
import re
import tomllib
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fences import blocks
from tests.test_documents import OPERATIONS
from tests.transfer.access.forged_tokens import FORGERIES, told
from tests.transfer.access.identity_provider import (
    ABSENT,
    AUDIENCE,
    SUBJECT,
    Provider,
    decoded,
)
from transfer.access.jwt_settings import Algorithm, JwtSettings
from transfer.access.jwt_tokens import JwtVerifier
from transfer.access.principal import Principal, Scope
from transfer.protocol.errors import Unauthorized

ALGORITHMS: Final = get_args(Algorithm)


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Provider:
    return Provider(tmp_path_factory.mktemp("keys"))


class Honest(NamedTuple):
    """A token to accept, the settings under which it is, and what is not as in the plainest one."""

    make: Callable[[Provider], str]
    settings: Mapping[str, object] = {}
    subject: str = SUBJECT
    scopes: frozenset[Scope] = frozenset()
    prefix: str = ""
    quota: int | None = None


def claiming(claims: Mapping[str, object], settings: Mapping[str, object] | None = None) -> Honest:
    return Honest(lambda issuer: issuer.token(**claims), settings or {})


def scoped(scope: object, *granted: Scope, **settings: object) -> Honest:
    return claiming({"scope": scope}, settings)._replace(scopes=frozenset(granted))


def headed(**header: object) -> Honest:
    return Honest(lambda issuer: issuer.signed(header=header))


HONEST: Final[dict[str, Honest]] = {
    "the plainest": claiming({}),
    "typ at+jwt": headed(typ="at+jwt"),
    "typ in full": headed(typ="application/at+jwt"),
    "typ in small letters": headed(typ="jwt"),
    "typ absent": headed(typ=ABSENT),
    "kid, with one key": headed(kid="../whatever"),
    "jku and x5u that nobody follows": headed(jku="https://127.0.0.1:1/", x5u="https://127.0.0.1:1/"),
    "iat absent": claiming({"iat": ABSENT}),
    "aud among others": claiming({"aud": ["account", AUDIENCE]}),
    "nbf in the past": claiming({"nbf": 1}),
    "exp in the year 9999": Honest(lambda issuer: issuer.token(exp=253_402_000_000)),
    "exp just within the leeway": Honest(lambda issuer: issuer.token(exp=issuer.now - 100), {"leeway": 300}),
    "iat and nbf just within the leeway": Honest(
        lambda issuer: issuer.token(iat=issuer.now + 200, nbf=issuer.now + 200), {"leeway": 300}
    ),
    "a life as long as is allowed": Honest(
        lambda issuer: issuer.token(exp=issuer.now + 3_600), {"max_lifetime": 3_600}
    ),
    "other claims, nested": claiming({"realm_access": {"roles": ["user"]}, "jti": "1", "x": [{"y": [1.5, None]}]}),
    "another claim for the subject": claiming({"email": "ada@example.org"}, {"subject_claim": "email"})._replace(
        subject="ada@example.org"
    ),
    "a subject in escapes": Honest(
        lambda issuer: issuer.written(
            '{"alg":"RS256"}', json.dumps(issuer.claims(sub="x")).replace('"x"', '"\\u0061da"')
        ),
        subject="ada",
    ),
    "a subject of 255 characters": claiming({"sub": "ж" * 255})._replace(subject="ж" * 255),
    "scopes in a text": scoped("openid read upload", "read", "upload"),
    "scopes in a list": scoped(["openid", "delete", "proxy"], "delete", "proxy"),
    "scopes twice": scoped("read read  read", "read"),
    "no scope that is known": scoped("openid profile READ Read"),
    "admin without a mapping": scoped("admin read", "read"),
    "admin by a mapping": scoped("root", "admin", scopes={"root": "admin"}),
    "a mapping is all that counts": scoped("read files", "upload", "delete", scopes={"files": ["upload", "delete"]}),
    "another claim for the scopes": claiming({"roles": ["read"], "scope": "delete"}, {"scope_claim": "roles"})._replace(
        scopes=frozenset(["read"])
    ),
    "a value with spaces, in a list": scoped(["read all"], "read", scopes={"read all": "read"}),
    "scopes between other spaces": scoped("read\u00a0upload\tdelete"),
    "the settings' prefix": claiming({"folder": "other/"}, {"prefix": "team/"})._replace(prefix="team/"),
    "a claim's prefix": claiming({"folder": "cafe\u0301/ada/"}, {"prefix_claim": "folder"})._replace(
        prefix="caf\u00e9/ada/"
    ),
    "a quota": claiming({"bytes": 10_000_000_000}, {"quota_claim": "bytes"})._replace(quota=10_000_000_000),
    "a quota of nothing": claiming({"bytes": 0}, {"quota_claim": "bytes"})._replace(quota=0),
}


@pytest.mark.parametrize("honest", HONEST.values(), ids=HONEST.keys())
def test_an_honest_token_says_who_it_is_and_what_it_grants(honest: Honest, provider: Provider) -> None:
    token = honest.make(provider)
    settings = provider.settings(**honest.settings)
    assert provider.verifier(**honest.settings).verify(token) == Principal(
        subject=honest.subject,
        scopes=honest.scopes,
        prefix=honest.prefix,
        quota=honest.quota,
        expires=datetime.fromtimestamp(expiry_of(token) + settings.leeway, UTC),
    )


def test_the_example_for_operators_grants_what_they_read(provider: Provider) -> None:
    (table,) = (block for block in blocks(OPERATIONS, "toml") if "[jwt]" in block.text)
    (shown,) = (block for block in blocks(OPERATIONS, "") if '"iss"' in block.text)
    settings = tomllib.loads(table.text)["jwt"] | {"jwks_file": provider.write_keys(name="example.json")}
    claims = json.loads(shown.text)
    claims |= {"exp": provider.now + claims["exp"] - claims["iat"], "iat": provider.now}
    token = provider.written('{"alg":"RS256","kid":"first"}', json.dumps(claims))
    assert JwtVerifier(JwtSettings.model_validate(settings)).verify(token) == Principal(
        subject="ada",
        scopes=frozenset(["read", "upload", "delete"]),
        prefix="team/ada/",
        quota=10_000_000_000,
        expires=datetime.fromtimestamp(claims["exp"] + 30, UTC),
    )


def expiry_of(token: str) -> int:
    return int(json.loads(decoded(token.split(".")[1]))["exp"])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_takes_the_tokens_that_are_signed_with_it(algorithm: str, provider: Provider) -> None:
    verifier = provider.verifier(algorithm=algorithm)
    assert verifier.verify(provider.signed(algorithm)).subject == SUBJECT


# ------------------------------------------------------------------------------------------------------------- forged


def refusal(name: str, provider: Provider) -> tuple[str, Unauthorized]:
    """A forged token, and how it is refused."""
    forgery = FORGERIES[name]
    keys = {"jwks_file": provider.write_keys(name="forgeries.json")} if forgery.jwks else {}
    verifier = provider.verifier(**keys, **forgery.settings)
    token = forgery.make(provider)
    with pytest.raises(Unauthorized) as caught:
        verifier.verify(token)
    return token, caught.value


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_token_is_refused_by_its_check_in_a_sentence_without_any_part_of_it(
    name: str, provider: Provider
) -> None:
    token, refused = refusal(name, provider)
    assert re.fullmatch(FORGERIES[name].sentence, str(refused))
    assert refused.facts == {}
    shown = "".join(traceback.format_exception(refused))
    assert not [part for part in told(token) if part in shown]


def test_nothing_of_a_forged_token_is_ever_logged(
    provider: Provider, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in FORGERIES:
        refusal(name, provider)
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_each_forgery_would_be_honest_but_for_what_it_is_named_after(provider: Provider) -> None:
    assert provider.verifier().verify(provider.token()).subject == SUBJECT
    with_keys = provider.verifier(jwks_file=provider.write_keys())
    assert with_keys.verify(provider.signed(header={"kid": "first"})).subject == SUBJECT


@given(data=st.data())
def test_a_token_with_any_one_character_changed_is_refused(data: st.DataObject, provider: Provider) -> None:
    token = provider.signed("EdDSA")
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters().filter(lambda character: character != token[place]))
    with pytest.raises(Unauthorized):
        provider.verifier(algorithm="EdDSA").verify(token[:place] + other + token[place + 1 :])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
CLAIMS: Final = ["iss", "aud", "exp", "nbf", "iat", "sub", "scope", "jti", "folder", "bytes"]


@given(claim=st.sampled_from(CLAIMS), value=JSON)
def test_whatever_a_claim_holds_there_is_a_principal_or_a_refusal(
    claim: str, value: object, provider: Provider
) -> None:
    basis = {"folder": "team/", "bytes": 1}
    verifier = provider.verifier(algorithm="HS256", prefix_claim="folder", quota_claim="bytes")
    token = provider.signed("HS256", claims={**basis, claim: value})
    try:
        principal = verifier.verify(token)
    except Unauthorized:
        return
    assert principal.prefix.endswith("/")
    assert principal.quota is not None
    assert principal.subject not in ("", "anonymous")


@given(name=st.sampled_from(["alg", "typ", "kid", "jwk", "jku", "x5c", "crit", "cty"]), value=JSON)
def test_whatever_a_header_holds_there_is_a_principal_or_a_refusal(
    value: object, name: str, provider: Provider
) -> None:
    try:
        provider.verifier(algorithm="HS256").verify(provider.signed("HS256", header={name: value}))
    except Unauthorized:
        return
    assert name not in ("alg", "crit")
