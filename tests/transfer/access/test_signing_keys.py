"""The key files of `[jwt]`: which keys are used, which stop the start, and what happens when a set of them changes."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, get_args

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt import get_algorithm_by_name

from tests.transfer.access.forged_tokens import KEY, SIGNATURE
from tests.transfer.access.identity_provider import (
    SUBJECT,
    Provider,
    encoded,
    jwk_of,
    private_pem,
    public_pem,
)
from transfer.access.jwt_settings import Algorithm
from transfer.access.jwt_tokens import JwtVerifier
from transfer.access.signing_keys import LOOK_SECONDS, MAX_FILE_BYTES
from transfer.protocol.errors import Unauthorized
from transfer.settings import WrongSetting

ALGORITHMS: Final = get_args(Algorithm)


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Provider:
    return Provider(tmp_path_factory.mktemp("keys"))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_finds_its_key_in_a_set(algorithm: str, provider: Provider) -> None:
    key = provider.keys[algorithm]
    jwk = {"kty": "oct", "k": encoded(key), "kid": "x"} if isinstance(key, bytes) else jwk_of(key, algorithm, kid="x")
    verifier = provider.verifier(algorithm=algorithm, jwks_file=provider.write_keys(jwk, name=f"{algorithm}.json"))
    assert verifier.verify(provider.signed(algorithm, header={"kid": "x"})).subject == SUBJECT


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def renewed(tmp_path: Path, provider: Provider) -> "Renewed":
    return Renewed(tmp_path / "jwks.json", provider)


class Renewed:
    """A set of keys in a file of its own, and a verifier that has read it."""

    def __init__(self, path: Path, provider: Provider) -> None:
        self.path = path
        self.clock = Clock()
        self.old = provider.signed(header={"kid": "old"})
        self.new = provider.signed(header={"kid": "new"}, key=provider.stranger)
        self._jwks = [jwk_of(provider.rsa, "RS256", kid="old"), jwk_of(provider.stranger, "RS256", kid="new")]
        self.write(self.set_of("old"))
        settings = provider.settings(jwks_file=path)
        self.verifier = JwtVerifier(settings, clock=self.clock)

    def set_of(self, *kids: str) -> str:
        return json.dumps({"keys": [jwk for jwk in self._jwks if jwk["kid"] in kids]})

    def write(self, text: str) -> None:
        """Replace the file, as a careful writer does."""
        fresh = self.path.with_suffix(".fresh")
        fresh.write_text(text)
        os.replace(fresh, self.path)

    def takes(self, token: str) -> bool:
        try:
            self.verifier.verify(token)
        except Unauthorized as refused:
            assert str(refused) == KEY  # noqa: PT017 - what else may come is to be seen
            return False
        return True


def test_a_set_of_keys_that_has_changed_is_read_again(renewed: Renewed) -> None:
    assert (renewed.takes(renewed.old), renewed.takes(renewed.new)) == (True, False)
    renewed.write(renewed.set_of("new"))
    renewed.clock.seconds += LOOK_SECONDS
    assert (renewed.takes(renewed.old), renewed.takes(renewed.new)) == (False, True)


def test_a_set_of_keys_is_looked_at_once_in_a_few_seconds_however_many_tokens_come(renewed: Renewed) -> None:
    renewed.write(renewed.set_of("old", "new"))
    renewed.clock.seconds += LOOK_SECONDS - 0.1
    assert not renewed.takes(renewed.new)
    renewed.clock.seconds += 0.1
    assert renewed.takes(renewed.new)
    renewed.write(renewed.set_of("old"))
    assert renewed.takes(renewed.new)


@pytest.mark.parametrize("later", [-3_600, 0], ids=["an older time", "the same time"])
def test_a_file_written_in_place_is_read_again_whatever_its_time(later: int, renewed: Renewed) -> None:
    before = renewed.path.stat().st_mtime_ns
    renewed.path.write_text(renewed.set_of("old", "new"))
    os.utime(renewed.path, ns=(0, before + later * 1_000_000_000))
    renewed.clock.seconds += LOOK_SECONDS
    assert renewed.takes(renewed.new)


@pytest.mark.parametrize("broken", ["", "{", '{"keys": []}', '{"keys": [{"kty": "RSA"}]}', None])
def test_the_keys_stay_where_the_new_file_is_broken_and_one_line_says_so(
    broken: str | None, renewed: Renewed, caplog: pytest.LogCaptureFixture
) -> None:
    if broken is None:
        renewed.path.unlink()
    else:
        renewed.write(broken)
    for _ in range(3):
        renewed.clock.seconds += LOOK_SECONDS
        assert renewed.takes(renewed.old)
    (line,) = caplog.records
    assert (line.levelname, line.name) == ("WARNING", "towline.jwt")
    assert "jwks not taken" in line.getMessage()
    assert str(renewed.path) in line.getMessage()
    renewed.write(renewed.set_of("old", "new"))
    renewed.clock.seconds += LOOK_SECONDS
    assert renewed.takes(renewed.new)


UNFIT: Final[dict[str, dict[str, object]]] = {
    "for encryption": {"use": "enc"},
    "for signing only": {"key_ops": ["sign"]},
    "with operations of no kind": {"key_ops": "verify"},
    "for RS512": {"alg": "RS512"},
    "for PS256": {"alg": "PS256"},
    "with alg null": {"alg": None},
    "of another kind": {"kty": "EC"},
    "of no kind": {"kty": None},
    "a secret": {"kty": "oct", "k": encoded(b"x" * 64)},
    "with a kid that is a number": {"kid": 7},
    "with an empty kid": {"kid": ""},
    "with no kid": {"kid": None},
    "with a broken modulus": {"n": "%"},
    "with a modulus that is a number": {"n": 5},
    "with no modulus": {"n": None},
}


@pytest.mark.parametrize("members", UNFIT.values(), ids=UNFIT.keys())
def test_a_key_that_does_not_fit_the_algorithm_is_never_used(
    members: dict[str, object], provider: Provider, tmp_path: Path
) -> None:
    fitting = jwk_of(provider.stranger, "RS256", kid="other")
    unfit = jwk_of(provider.rsa, "RS256", kid="x") | members
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": ["x", None, unfit, fitting]}))
    with pytest.raises(Unauthorized, match=KEY):
        provider.verifier(jwks_file=path).verify(provider.signed(header={"kid": unfit["kid"]}))
    path.write_text(json.dumps({"keys": [unfit]}))
    with pytest.raises(WrongSetting, match="has no key with a kid that is for signatures with RS256"):
        provider.verifier(jwks_file=path)


def test_a_key_of_another_curve_is_never_used(provider: Provider, tmp_path: Path) -> None:
    path = provider.write_keys(jwk_of(provider.p384, "ES384", kid="x"), name="p384.json")
    with pytest.raises(WrongSetting, match="has no key with a kid that is for signatures with ES256"):
        provider.verifier(algorithm="ES256", jwks_file=path)


@pytest.mark.parametrize("order", [1, -1], ids=["before", "after"])
def test_a_kid_may_be_that_of_a_key_of_another_kind_too(order: int, provider: Provider) -> None:
    jwks = [jwk_of(provider.p256, "ES256", kid="x"), jwk_of(provider.rsa, "RS256", kid="x")]
    path = provider.write_keys(*jwks[::order], name="kinds.json")
    assert provider.verifier(jwks_file=path).verify(provider.signed(header={"kid": "x"})).subject == SUBJECT


def test_a_kid_chooses_among_keys_and_the_others_do_not_count(provider: Provider) -> None:
    path = provider.write_keys(
        jwk_of(provider.rsa, "RS256", kid="a"), jwk_of(provider.stranger, "RS256", kid="b"), name="two.json"
    )
    verifier = provider.verifier(jwks_file=path)
    assert verifier.verify(provider.signed(header={"kid": "b"}, key=provider.stranger)).subject == SUBJECT
    with pytest.raises(Unauthorized, match=SIGNATURE):
        verifier.verify(provider.signed(header={"kid": "a"}, key=provider.stranger))


def weak_rsa(provider: Provider) -> bytes:
    return public_pem(rsa.generate_private_key(65_537, 1_024))


def set_with(*members: dict[str, object]) -> Callable[[Provider], bytes]:
    def make(provider: Provider) -> bytes:
        keys = [jwk_of(provider.rsa, "RS256", kid="x") | each for each in members]
        return json.dumps({"keys": keys}).encode()

    return make


def set_with_private_key(provider: Provider) -> bytes:
    jwk = get_algorithm_by_name("RS256").to_jwk(provider.rsa, as_dict=True)
    return json.dumps({"keys": [{**jwk, "kid": "x"}]}).encode()


class Unusable(NamedTuple):
    """What is in a file, and what the operator reads of it."""

    sentence: str
    content: Callable[[Provider], bytes]
    algorithm: str = "RS256"
    setting: str = "key_file"


UNUSABLE: Final[dict[str, Unusable]] = {
    "empty": Unusable(r"is no public key in PEM \(", lambda _: b""),
    "no PEM": Unusable(r"is no public key in PEM \(", lambda _: b"ssh-rsa AAAA"),
    "broken PEM": Unusable(r"is no public key in PEM \(", lambda provider: public_pem(provider.rsa)[:-60]),
    "private": Unusable("holds a private key", lambda provider: private_pem(provider.rsa)),
    "public and private": Unusable(
        "holds a private key", lambda provider: public_pem(provider.rsa) + private_pem(provider.rsa)
    ),
    "of another kind": Unusable("of another kind than RS256", lambda provider: public_pem(provider.p256)),
    "of another curve": Unusable("of another kind than ES256", lambda provider: public_pem(provider.p384), "ES256"),
    "EdDSA for ES256": Unusable("of another kind than ES256", lambda provider: public_pem(provider.ed25519), "ES256"),
    "RSA for EdDSA": Unusable("of another kind than EdDSA", lambda provider: public_pem(provider.rsa), "EdDSA"),
    "too short": Unusable("too short for PS256: 2,048 bits", weak_rsa, "PS256"),
    "too large": Unusable("more than 1,048,576 bytes", lambda _: b"x" * (MAX_FILE_BYTES + 1)),
    "a short secret": Unusable("has 31 bytes, and a secret of HS256 needs 32", lambda _: b"s" * 31, "HS256"),
    "a short secret and a line end": Unusable("has 31 bytes, and", lambda _: b"s" * 31 + b"\n", "HS256"),
    "a secret too short for its hash": Unusable("secret of HS512 needs 64", lambda _: b"s" * 63, "HS512"),
    "a public key as secret": Unusable(
        "of another kind than HS256", lambda provider: public_pem(provider.rsa), "HS256"
    ),
    "a set without keys": Unusable("has no key with a kid", lambda _: b'{"keys": []}', setting="jwks_file"),
    "a set that is a list": Unusable("is no JWK Set: not JSON", lambda _: b"[]", setting="jwks_file"),
    "a set that is no JSON": Unusable("is no JWK Set: not JSON", lambda _: b"\xff", setting="jwks_file"),
    "a set with a key twice": Unusable(
        "is no JWK Set: not JSON", lambda _: b'{"keys": [], "keys": []}', setting="jwks_file"
    ),
    "one key and no set": Unusable("it has no list of keys", lambda _: b'{"kty": "RSA"}', setting="jwks_file"),
    "a kid of two keys": Unusable(
        "has two keys for RS256 with the kid 'x'", set_with({}, {"e": "Aw"}), setting="jwks_file"
    ),
    "a private key in a set": Unusable("holds a private key", set_with_private_key, setting="jwks_file"),
    "a short secret in a set": Unusable(
        "has no key with a kid",
        lambda _: json.dumps({"keys": [{"kty": "oct", "kid": "x", "k": encoded(b"s" * 31)}]}).encode(),
        "HS256",
        "jwks_file",
    ),
}


@pytest.mark.parametrize("case", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_file_without_a_usable_key_stops_the_start_with_a_sentence(
    case: Unusable, provider: Provider, tmp_path: Path
) -> None:
    path = tmp_path / "keys"
    path.write_bytes(content := case.content(provider))
    with pytest.raises(WrongSetting, match=case.sentence) as caught:
        provider.verifier(**{"algorithm": case.algorithm, case.setting: path})
    assert str(caught.value).startswith(f"jwt: {path} ")
    assert not [
        word for word in content.decode(errors="ignore").split() if len(word) > 20 and word in str(caught.value)
    ]


@pytest.mark.parametrize("setting", ["key_file", "jwks_file"])
def test_a_file_that_is_not_there_stops_the_start_with_a_sentence(
    setting: str, provider: Provider, tmp_path: Path
) -> None:
    with pytest.raises(WrongSetting, match=r"jwt: .*absent cannot be read: No such file or directory"):
        provider.verifier(**{setting: tmp_path / "absent"})
    with pytest.raises(WrongSetting, match="cannot be read: Is a directory"):
        provider.verifier(**{setting: tmp_path})


@pytest.mark.parametrize(
    ("written", "secret"),
    [
        (b"s" * 32 + b"\n", b"s" * 32),
        (b"s" * 32 + b"\r\n", b"s" * 32),
        (b"\xff" * 32 + b"\n", b"\xff" * 32 + b"\n"),
        (b"\1" * 32 + b"\n", b"\1" * 32 + b"\n"),
        (b"s" * 32 + b" ", b"s" * 32 + b" "),
    ],
    ids=["text", "text of Windows", "random bytes", "random bytes of ASCII", "space"],
)
def test_a_secret_is_the_whole_file_but_for_the_line_end_of_a_text(
    written: bytes, secret: bytes, provider: Provider, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(written)
    verifier = provider.verifier(algorithm="HS256", key_file=tmp_path / "secret")
    assert verifier.verify(provider.signed("HS256", key=secret)).subject == SUBJECT
