"""Tokens that have to be refused: how each is made, and the sentence of the check that it runs into.

Most are signed by the real issuer, so that nothing but that check can refuse them.
"""

import base64
import json
import string
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.transfer.access.identity_provider import (
    ABSENT,
    AUDIENCE,
    ISSUER,
    Provider,
    decoded,
    encoded,
    jwk_of,
    public_pem,
)

FORM: Final = "the token is not three parts in base64url with dots between them"
LONG: Final = "the token is longer than 8,192 characters"
ALGORITHM: Final = "the token is signed with another algorithm than the one that is taken"
HEADER: Final = "the token has a header that is not understood here"
TYPE: Final = r"the token is of another type than JWT and at\+jwt"
KEY: Final = "the token is signed with a key that is not known here"
SIGNATURE: Final = "the token's signature is wrong"
UNREADABLE: Final = "the token cannot be read"
EXPIRED: Final = "the token has expired"
EARLY: Final = "the token is not valid yet"
AUDIENCES: Final = "the token is for another audience"
ISSUERS: Final = "the token is from another issuer"
SUBJECTS: Final = "the token's claim sub is no subject that can be used here"
NO_SUBJECT: Final = "the token has no text in its claim sub"
SCOPES: Final = "the token's claim scope is neither a text nor a list of texts"
PREFIX: Final = "the token's claim folder is no prefix of names with a slash at its end"
NO_PREFIX: Final = "the token has no text in its claim folder"
QUOTA: Final = "the token's claim bytes is no number of bytes"
STRICT_HEADER: Final = "the token's header is not strict JSON with one object in it"
STRICT_PAYLOAD: Final = "the token's payload is not strict JSON with one object in it"

_ALPHABET: Final = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
_ORDER_OF_P256: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class Forgery(NamedTuple):
    """A token to refuse, and the settings under which it is."""

    make: Callable[[Provider], str]
    sentence: str
    """A regular expression."""
    settings: Mapping[str, object] = {}
    jwks: bool = False
    """Whether keys are found by `kid`, in a set with the key `first`."""


def no_time(name: str) -> str:
    return f"the token's claim {name} is no time in whole seconds"


def unsigned(alg: object, signature: str) -> Forgery:
    return Forgery(lambda issuer: f"{issuer.signed(header={'alg': alg}).rpartition('.')[0]}.{signature}", ALGORITHM)


def with_claims(sentence: str, **claims: object) -> Forgery:
    return Forgery(lambda issuer: issuer.token(**claims), sentence)


def in_seconds(sentence: str, **seconds: int) -> Forgery:
    """Claims that are moments, counted from now."""
    return Forgery(lambda issuer: issuer.token(**{name: issuer.now + s for name, s in seconds.items()}), sentence)


def with_header(sentence: str, **header: object) -> Forgery:
    return Forgery(lambda issuer: issuer.signed(header=header), sentence)


def with_kid(kid: object, sentence: str = KEY) -> Forgery:
    return Forgery(lambda issuer: issuer.signed(header={"kid": kid}), sentence, jwks=True)


def with_prefix(value: object, sentence: str = PREFIX) -> Forgery:
    return Forgery(lambda issuer: issuer.token(folder=value), sentence, {"prefix_claim": "folder"})


def with_quota(value: object) -> Forgery:
    return Forgery(lambda issuer: issuer.token(bytes=value), QUOTA, {"quota_claim": "bytes"})


def with_payload(payload: str | bytes, sentence: str) -> Forgery:
    return Forgery(lambda issuer: issuer.written('{"alg":"RS256"}', payload), sentence)


def edited(old: str, new: str, sentence: str) -> Forgery:
    """The payload's JSON with `old` in it replaced by `new`; signed after that."""

    def make(issuer: Provider) -> str:
        payload = json.dumps(issuer.claims())
        assert old in payload
        return issuer.written('{"alg":"RS256"}', payload.replace(old, new))

    return Forgery(make, sentence)


def around(change: Callable[[str], str], sentence: str = FORM) -> Forgery:
    """An honest token as text, changed."""
    return Forgery(lambda issuer: change(issuer.token()), sentence)


def confused(secret: Callable[[Provider], bytes], pinned: str = "RS256", sentence: str = ALGORITHM) -> Forgery:
    """HS256 with a public key as the secret (CVE-2015-9235)."""
    return Forgery(lambda issuer: issuer.signed("HS256", key=secret(issuer)), sentence, {"algorithm": pinned})


def with_trailing_bits(token: str) -> str:
    """The same bytes, written in another way: the last character of the signature has bits that mean nothing."""
    assert len(token.rpartition(".")[2]) % 4 == 2  # of the 256 bytes of an RSA signature
    return token[:-1] + _ALPHABET[_ALPHABET.index(token[-1]) + 1]


def with_embedded_key(issuer: Provider, **header: object) -> str:
    return issuer.signed(header=header, key=issuer.stranger)


def as_der(raw: bytes) -> bytes:
    half = len(raw) // 2
    return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))


def signed_with_several_headers(issuer: Provider) -> str:
    return issuer.written('{"alg":"none","alg":"RS256"}', json.dumps(issuer.claims()))


def public_der(issuer: Provider) -> bytes:
    return issuer.rsa.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


ES256: Final = {"algorithm": "ES256"}

FORGERIES: Final[dict[str, Forgery]] = {
    # The algorithm
    "alg none, lower case, with a signature": unsigned("none", "AAAA"),
    "alg None, with a signature": unsigned("None", "AAAA"),
    "alg NONE, with a signature": unsigned("NONE", "AAAA"),
    "alg nOnE, with a signature": unsigned("nOnE", "AAAA"),
    "alg none, without a signature": unsigned("none", "")._replace(sentence=FORM),
    "alg nOnE, without a signature": unsigned("nOnE", "")._replace(sentence=FORM),
    "alg none, without a third part": around(lambda token: token.rpartition(".")[0]),
    "alg absent": with_header(ALGORITHM, alg=ABSENT),
    "alg empty": with_header(ALGORITHM, alg=""),
    "alg null": with_header(ALGORITHM, alg=None),
    "alg a list": with_header(ALGORITHM, alg=["RS256"]),
    "alg in small letters": with_header(ALGORITHM, alg="rs256"),
    "alg with a space": with_header(ALGORITHM, alg="RS256 "),
    "alg twice": Forgery(signed_with_several_headers, STRICT_HEADER),
    "HS256 with the public key in PEM as the secret": confused(lambda issuer: public_pem(issuer.rsa)),
    "HS256 with the public key in PEM, without the line end": confused(lambda issuer: public_pem(issuer.rsa).strip()),
    "HS256 with the public key in DER as the secret": confused(public_der),
    "HS256 with the public key as JWK as the secret": confused(
        lambda issuer: json.dumps(jwk_of(issuer.rsa, "RS256")).encode()
    ),
    "HS256 with the public key of ES256 as the secret": confused(lambda issuer: public_pem(issuer.p256), "ES256"),
    "RS256 said, HS256 done with the public key": Forgery(
        lambda issuer: issuer.written('{"alg":"RS256"}', json.dumps(issuer.claims()), "HS256", public_pem(issuer.rsa)),
        SIGNATURE,
    ),
    "PS256 where RS256 is pinned": Forgery(lambda issuer: issuer.signed("PS256"), ALGORITHM),
    "RS256 where PS256 is pinned": Forgery(lambda issuer: issuer.signed("RS256"), ALGORITHM, {"algorithm": "PS256"}),
    "RS256 said, PS256 done": Forgery(
        lambda issuer: issuer.written('{"alg":"RS256"}', json.dumps(issuer.claims()), "PS256"), SIGNATURE
    ),
    "RS512 where RS256 is pinned": Forgery(lambda issuer: issuer.signed("RS512"), ALGORITHM),
    "HS256 where HS512 is pinned": Forgery(lambda issuer: issuer.signed("HS256"), ALGORITHM, {"algorithm": "HS512"}),
    "ES384 where ES256 is pinned": Forgery(lambda issuer: issuer.signed("ES384"), ALGORITHM, ES256),
    "ES256 said, signed on another curve": Forgery(
        lambda issuer: issuer.written('{"alg":"ES256"}', json.dumps(issuer.claims()), "ES384"), SIGNATURE, ES256
    ),
    # The signature
    "the key of a stranger": Forgery(lambda issuer: issuer.signed(key=issuer.stranger), SIGNATURE),
    "another secret": Forgery(lambda issuer: issuer.signed("HS256", key=b"\0" * 64), SIGNATURE, {"algorithm": "HS256"}),
    "signature stripped": around(lambda token: token.rpartition(".")[0] + "."),
    "signature truncated": Forgery(lambda issuer: issuer.with_signature(lambda raw: raw[:-1]), SIGNATURE),
    "signature of one byte": Forgery(lambda issuer: issuer.with_signature(lambda _: b"\0"), SIGNATURE),
    "signature with a byte more": Forgery(lambda issuer: issuer.with_signature(lambda raw: raw + b"\0"), SIGNATURE),
    "signature with a bit turned": Forgery(
        lambda issuer: issuer.with_signature(lambda raw: bytes([raw[0] ^ 1]) + raw[1:]), SIGNATURE
    ),
    "signature of HS256 truncated": Forgery(
        lambda issuer: issuer.with_signature(lambda raw: raw[:16], "HS256"), SIGNATURE, {"algorithm": "HS256"}
    ),
    "signature of EdDSA empty of meaning": Forgery(
        lambda issuer: issuer.with_signature(lambda raw: bytes(64), "EdDSA"), SIGNATURE, {"algorithm": "EdDSA"}
    ),
    "signature of ES256 in DER": Forgery(lambda issuer: issuer.with_signature(as_der, "ES256"), SIGNATURE, ES256),
    "signature of ES256 all zero": Forgery(  # CVE-2022-21449
        lambda issuer: issuer.with_signature(lambda raw: bytes(64), "ES256"), SIGNATURE, ES256
    ),
    "signature of ES256 of the curve's order": Forgery(
        lambda issuer: issuer.with_signature(lambda raw: _ORDER_OF_P256.to_bytes(32, "big") * 2, "ES256"),
        SIGNATURE,
        ES256,
    ),
    "another payload under the same signature": Forgery(
        lambda issuer: ".".join(
            [
                issuer.token().split(".")[0],
                encoded(json.dumps(issuer.claims(sub="root"))),
                issuer.token().split(".")[2],
            ]
        ),
        SIGNATURE,
    ),
    # Keys that the token brings, and names of keys
    "jwk in the header": Forgery(
        lambda issuer: with_embedded_key(issuer, jwk=jwk_of(issuer.stranger, "RS256")), SIGNATURE
    ),
    "jwk in the header, with a set of keys": Forgery(
        lambda issuer: with_embedded_key(issuer, jwk=jwk_of(issuer.stranger, "RS256"), kid="first"),
        SIGNATURE,
        jwks=True,
    ),
    "jwk in the header, and its own kid": Forgery(
        lambda issuer: with_embedded_key(issuer, jwk=jwk_of(issuer.stranger, "RS256", kid="mine"), kid="mine"),
        KEY,
        jwks=True,
    ),
    "jku in the header": Forgery(
        lambda issuer: with_embedded_key(issuer, jku="https://evil.example.net/jwks.json"), SIGNATURE
    ),
    "x5u in the header": Forgery(
        lambda issuer: with_embedded_key(issuer, x5u="https://evil.example.net/chain.pem"), SIGNATURE
    ),
    "x5c in the header": Forgery(
        lambda issuer: with_embedded_key(issuer, x5c=[base64.b64encode(public_pem(issuer.stranger)).decode()]),
        SIGNATURE,
    ),
    "kid climbs to a file of zeros": Forgery(
        lambda issuer: issuer.signed("HS256", header={"kid": "../../../../dev/null"}, key=b""), ALGORITHM, jwks=True
    ),
    "kid is a path": with_kid("../../../../../../etc/passwd"),
    "kid is the path of the key": Forgery(
        lambda issuer: issuer.signed(header={"kid": str(issuer.file("RS256"))}), KEY, jwks=True
    ),
    "kid is SQL": with_kid("first' UNION SELECT 'secret' --"),
    "kid is a command": with_kid("first|touch /tmp/owned"),
    "kid is empty": with_kid(""),
    "kid is a list": with_kid(["first"]),
    "kid is a number": with_kid(0),
    "kid is an object": with_kid({"first": 1}),
    "kid is null": with_kid(None),
    "kid is absent": with_kid(ABSENT),
    "kid in other letters": with_kid("First"),
    "kid with a nul": with_kid("first\0"),
    "kid of no text, with one key": Forgery(lambda issuer: issuer.signed(header={"kid": ["x"]}), UNREADABLE),
    "kid twice": Forgery(
        lambda issuer: issuer.written('{"alg":"RS256","kid":"x","kid":"first"}', json.dumps(issuer.claims())),
        STRICT_HEADER,
        jwks=True,
    ),
    # Other headers
    "crit": with_header(HEADER, crit=["exp"]),
    "crit, empty": with_header(HEADER, crit=[]),
    "crit, null": with_header(HEADER, crit=None),
    "crit with b64": with_header(HEADER, crit=["b64"], b64=True),
    "b64 false": with_header(HEADER, b64=False, crit=["b64"]),
    "b64 false and not critical": with_header(HEADER, b64=False),
    "zip": with_header(HEADER, zip="DEF"),
    "enc": with_header(HEADER, enc="A128GCM"),
    "typ of a logout": with_header(TYPE, typ="logout+jwt"),
    "typ of a proof": with_header(TYPE, typ="dpop+jwt"),
    "typ JWE": with_header(TYPE, typ="JWE"),
    "typ a list": with_header(TYPE, typ=["JWT"]),
    "typ empty": with_header(TYPE, typ=""),
    "header is a list": Forgery(lambda issuer: issuer.written('["RS256"]', "{}"), STRICT_HEADER),
    "header is a text": Forgery(lambda issuer: issuer.written('"RS256"', "{}"), STRICT_HEADER),
    "header is no JSON": Forgery(lambda issuer: issuer.written("RS256", "{}"), STRICT_HEADER),
    "header is no UTF-8": Forgery(lambda issuer: issuer.written(b'{"alg":"RS256\xff"}', "{}"), STRICT_HEADER),
    "header in UTF-16": Forgery(lambda issuer: issuer.written('{"alg":"RS256"}'.encode("utf-16"), "{}"), STRICT_HEADER),
    "header with a byte order mark": Forgery(
        lambda issuer: issuer.written(b'\xef\xbb\xbf{"alg":"RS256"}', "{}"), STRICT_HEADER
    ),
    "header nested deeply": Forgery(
        lambda issuer: issuer.written('{"alg":"RS256","x":' + "[" * 2_500 + "]" * 2_500 + "}", "{}"), STRICT_HEADER
    ),
    "header with NaN": Forgery(lambda issuer: issuer.written('{"alg":"RS256","x":NaN}', "{}"), STRICT_HEADER),
    # The form
    "empty": around(lambda _: ""),
    "two dots": around(lambda _: ".."),
    "two parts": around(lambda token: ".".join(token.split(".")[:2])),
    "four parts": around(lambda token: f"{token}.{token.split('.')[2]}"),
    "five parts, as when encrypted": around(lambda token: ".".join([*token.split("."), "AAAA", "AAAA"])),
    "an empty header": around(lambda token: "." + token.partition(".")[2]),
    "an empty payload": Forgery(lambda issuer: issuer.sealed(encoded('{"alg":"RS256"}') + "."), FORM),
    "an opaque token": around(lambda _: "towline_0123456789ab_" + "f" * 64),
    "a space before": around(lambda token: f" {token}"),
    "a space behind": around(lambda token: f"{token} "),
    "a line end behind": around(lambda token: f"{token}\n"),
    "a line end inside": around(lambda token: token.replace(".", "\n.", 1)),
    "Bearer before": around(lambda token: f"Bearer {token}"),
    "a nul behind": around(lambda token: f"{token}\0"),
    "padding behind": around(lambda token: f"{token}=="),
    "padding in the header": around(lambda token: token.replace(".", "=.", 1)),
    "characters of base64, not of base64url": around(lambda token: token.partition(".")[0] + ".+/+/." + "AAAA"),
    "a percent sign": around(lambda token: token.replace(".", "%2E", 1)),
    "letters that are not ASCII": around(lambda token: "é" + token),
    "a lone surrogate": around(lambda token: "\ud800" + token),
    "full-width dots": around(lambda token: token.replace(".", "．")),
    "bits in the signature that mean nothing": around(with_trailing_bits, UNREADABLE),
    "one character too many for base64": around(lambda token: token + "AAA", UNREADABLE),
    "a header of one character": around(lambda token: "A." + token.partition(".")[2], STRICT_HEADER),
    "a mebibyte": around(lambda token: token + "A" * 1_048_576, LONG),
    "a mebibyte of dots": around(lambda _: "." * 1_048_576, LONG),
    "a payload that is too long, and signed": Forgery(lambda issuer: issuer.token(x="a" * 8_192), LONG),
    # The payload
    "payload is a list": with_payload("[]", UNREADABLE),
    "payload is a text": with_payload('"ada"', UNREADABLE),
    "payload is a number": with_payload("1", UNREADABLE),
    "payload is null": with_payload("null", UNREADABLE),
    "payload is no JSON": with_payload("sub=ada", UNREADABLE),
    "payload is no UTF-8": with_payload(b'{"sub":"\xff"}', UNREADABLE),
    "payload is compressed": with_payload(b"\x78\x9c\xab\x56\x2a\x2e\x4d\x52", UNREADABLE),
    "payload nested beyond recursion": with_payload('{"x":' + "[" * 2_500 + "]" * 2_500 + "}", "the token .*"),
    "payload nested deeper than anybody needs": edited(
        '"sub"', '"x": ' + "[" * 20 + "]" * 20 + ', "sub"', STRICT_PAYLOAD
    ),
    "sub twice": edited('"sub"', '"sub": "root", "sub"', STRICT_PAYLOAD),
    "sub twice, once in escapes": edited('"sub"', '"\\u0073ub": "root", "sub"', STRICT_PAYLOAD),
    "exp twice": edited('"exp"', '"exp": 1, "exp"', STRICT_PAYLOAD),
    "scope twice": edited('"sub"', '"scope": "read", "scope": "delete", "sub"', STRICT_PAYLOAD),
    "a key twice, deep inside": edited('"sub"', '"x": [{"a": 1, "a": 2}], "sub"', STRICT_PAYLOAD),
    "NaN somewhere": edited('"sub"', '"x": NaN, "sub"', STRICT_PAYLOAD),
    "a number of 5,000 digits": edited('"sub"', '"x": ' + "9" * 5_000 + ', "sub"', UNREADABLE),
    # Times
    "exp absent": with_claims("the token has no claim exp", exp=ABSENT),
    "exp null": with_claims("the token has no claim exp", exp=None),
    "exp an hour ago": in_seconds(EXPIRED, exp=-3_600),
    "exp just beyond the leeway": in_seconds(EXPIRED, exp=-31),
    "exp zero": with_claims(EXPIRED, exp=0),
    "exp negative": with_claims(EXPIRED, exp=-1),
    "exp true": with_claims(EXPIRED, exp=True),
    "exp a fraction": with_claims(no_time("exp"), exp=33_000_000_000.5),
    "exp a whole number as a fraction": edited(', "exp": ', ', "exp": 1e11, "x": ', no_time("exp")),
    "exp a text of digits": with_claims(no_time("exp"), exp="33000000000"),
    "exp a text": with_claims(UNREADABLE, exp="never"),
    "exp a list": with_claims(UNREADABLE, exp=[33_000_000_000]),
    "exp in milliseconds": with_claims(no_time("exp"), exp=33_000_000_000_000),
    "exp beyond every number": with_claims(no_time("exp"), exp=10**300),
    "exp NaN": with_claims(UNREADABLE, exp=float("nan")),
    "exp infinite": with_claims(UNREADABLE, exp=float("inf")),
    "exp infinite, as a number": edited(', "exp": ', ', "exp": 1e999, "x": ', UNREADABLE),
    "nbf in an hour": in_seconds(EARLY, nbf=3_600),
    "nbf a text of digits": with_claims(no_time("nbf"), nbf="1"),
    "nbf true": with_claims(no_time("nbf"), nbf=True),
    "nbf null": with_claims(UNREADABLE, nbf=None),
    "nbf negative": with_claims(no_time("nbf"), nbf=-1),
    "iat in an hour": in_seconds(EARLY, iat=3_600),
    "iat a text of digits": with_claims(no_time("iat"), iat="1"),
    "iat a fraction": with_claims(no_time("iat"), iat=1.5),
    "iat false": with_claims(no_time("iat"), iat=False),
    "a longer life than is allowed": Forgery(
        lambda issuer: issuer.token(exp=issuer.now + 3_601),
        "the token is valid for longer than the 3600 seconds that are allowed",
        {"max_lifetime": 3_600},
    ),
    "a life of unknown length": Forgery(
        lambda issuer: issuer.token(iat=ABSENT),
        r"the token does not say when it was issued \(iat\)",
        {"max_lifetime": 3_600},
    ),
    # Issuer and audience
    "iss absent": with_claims("the token has no claim iss", iss=ABSENT),
    "iss empty": with_claims(ISSUERS, iss=""),
    "iss of another": with_claims(ISSUERS, iss="https://login.example.net/realms/team"),
    "iss cut short": with_claims(ISSUERS, iss=ISSUER[:-1]),
    "iss with more behind": with_claims(ISSUERS, iss=ISSUER + "-admins"),
    "iss with a slash behind": with_claims(ISSUERS, iss=ISSUER + "/"),
    "iss in capitals": with_claims(ISSUERS, iss=ISSUER.upper()),
    "iss with a space": with_claims(ISSUERS, iss=ISSUER + " "),
    "iss a list": with_claims(ISSUERS, iss=[ISSUER]),
    "iss an object": with_claims(ISSUERS, iss={ISSUER: 1}),
    "aud absent": with_claims("the token has no claim aud", aud=ABSENT),
    "aud empty": with_claims("the token has no claim aud", aud=""),
    "aud an empty list": with_claims("the token has no claim aud", aud=[]),
    "aud of another": with_claims(AUDIENCES, aud="billing.example.org"),
    "aud of others": with_claims(AUDIENCES, aud=["billing.example.org", "account"]),
    "aud cut short": with_claims(AUDIENCES, aud=AUDIENCE[:-1]),
    "aud with more around": with_claims(AUDIENCES, aud=f"x{AUDIENCE}x"),
    "aud in capitals": with_claims(AUDIENCES, aud=AUDIENCE.upper()),
    "aud an object": with_claims(AUDIENCES, aud={AUDIENCE: True}),
    "aud a list in a list": with_claims(AUDIENCES, aud=[[AUDIENCE]]),
    "aud a list with a number": with_claims(AUDIENCES, aud=[AUDIENCE, 1]),
    "aud true": with_claims(AUDIENCES, aud=True),
    # The subject
    "sub absent": with_claims(NO_SUBJECT, sub=ABSENT),
    "sub null": with_claims(NO_SUBJECT, sub=None),
    "sub empty": with_claims(NO_SUBJECT, sub=""),
    "sub a list": with_claims(NO_SUBJECT, sub=["ada.lovelace"]),
    "sub a number": with_claims(NO_SUBJECT, sub=1_000_001),
    "sub an object": with_claims(NO_SUBJECT, sub={"name": "ada.lovelace"}),
    "sub is the anonymous one": with_claims(SUBJECTS, sub="anonymous"),
    "sub is the anonymous one, in escapes": edited('"f81d4fae', '"\\u0061nonymous", "x": "f81d4fae', SUBJECTS),
    "sub is like a visitor of a link": with_claims(SUBJECTS, sub="request:0123456789ab:7"),
    "sub with a line end": with_claims(SUBJECTS, sub="ada\nlevel=error"),
    "sub with a nul": with_claims(SUBJECTS, sub="ada\0lovelace"),
    "sub with an escape": with_claims(SUBJECTS, sub="ada\x1b[2Jlovelace"),
    "sub with a direction": with_claims(SUBJECTS, sub="ada\u202elovelace"),
    "sub with a lone surrogate": with_claims(SUBJECTS, sub="ada\ud800lovelace"),
    "sub of spaces": with_claims(SUBJECTS, sub="   "),
    "sub with a space behind": with_claims(SUBJECTS, sub="ada.lovelace "),
    "sub too long": with_claims(SUBJECTS, sub="a" * 256),
    "another claim for the subject, absent": Forgery(
        lambda issuer: issuer.token(), "the token has no text in its claim email", {"subject_claim": "email"}
    ),
    # What is granted
    "scope null": with_claims(SCOPES, scope=None),
    "scope a number": with_claims(SCOPES, scope=1),
    "scope true": with_claims(SCOPES, scope=True),
    "scope an object": with_claims(SCOPES, scope={"read": True}),
    "scope a list with a number": with_claims(SCOPES, scope=["read", 1]),
    "scope a list in a list": with_claims(SCOPES, scope=[["read"]]),
    "prefix absent": with_prefix(ABSENT, NO_PREFIX),
    "prefix null": with_prefix(None, NO_PREFIX),
    "prefix empty": with_prefix("", NO_PREFIX),
    "prefix a list": with_prefix(["team/"], NO_PREFIX),
    "prefix without a slash": with_prefix("a"),
    "prefix is a slash": with_prefix("/"),
    "prefix is the folder above": with_prefix("../"),
    "prefix climbs": with_prefix("a/../b/"),
    "prefix from the root": with_prefix("/etc/"),
    "prefix with a nul": with_prefix("team\0/"),
    "prefix with a backslash": with_prefix("team\\/"),
    "prefix with two slashes": with_prefix("team//"),
    "quota absent": with_quota(ABSENT),
    "quota null": with_quota(None),
    "quota negative": with_quota(-1),
    "quota a fraction": with_quota(1.5),
    "quota true": with_quota(True),
    "quota a text": with_quota("1000000"),
    "quota beyond every size": with_quota(2**53),
}


def told(token: str) -> set[str]:
    """What a sentence about a token must not have in it: its parts, and the texts of its header and payload."""
    texts = {part for part in token.split(".") if len(part) > 3}
    for part in token.split(".")[:2] if len(token) < 10_000 else ():
        try:
            texts |= _texts(json.loads(decoded(part)))
        except (ValueError, RecursionError):
            continue
    return texts - _SAID_ANYWAY


_SAID_ANYWAY: Final = {"RS256", "verify"}
"""Words of a traceback, too: the names of the algorithm and of a method."""


def _texts(value: object) -> set[str]:
    if isinstance(value, str):
        return {value} if len(value) > 3 else set()
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return set().union(*map(_texts, inner))
