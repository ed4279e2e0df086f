import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transfer.protocol import limits
from transfer.protocol.digest import ALGORITHMS, Digest
from transfer.protocol.errors import (
    ERRORS,
    BadMessage,
    Busy,
    DigestMismatch,
    InvalidName,
    TransferError,
    UnknownError,
    UnsupportedDigest,
    UnsupportedType,
)
from transfer.protocol.messages import (
    AckMessage,
    AuthMessage,
    AuthorizedMessage,
    CancelledMessage,
    CancelMessage,
    CompleteMessage,
    EchoMessage,
    EofMessage,
    ErrorMessage,
    Existing,
    FileEntry,
    Message,
    MissingMessage,
    ProxyHeader,
    ProxyReadyMessage,
    ReadyMessage,
    TextHeader,
    UploadHeader,
    VerifyingMessage,
    decode_leaves,
    encode_leaves,
    parse_client_message,
    parse_proxy_answer,
    parse_server_message,
    read_object,
)
from transfer.protocol.names import Name
from transfer.protocol.ranges import Range

HEX = "0123456789abcdef" * 4
NAME = Name.parse("photos/cat.jpg")
UPLOAD = {"type": "upload", "name": "photos/cat.jpg"}
READY = {
    "type": "ready",
    "upload_id": "u",
    "lease": "l",
    "name": "a",
    "offset": 0,
    "chunk_size": 1,
    "window": 1,
    "leaf_size": 1,
}
Parser = Callable[[str], object]
either = pytest.mark.parametrize("parse", [parse_client_message, parse_server_message, read_object])


def refused(text: str, parse: Parser = parse_client_message) -> TransferError:
    """The error, which is a sentence on one line, of ASCII but for its marks, and can be sent."""
    with pytest.raises(TransferError) as refusal:
        parse(text)
    error = refusal.value
    said = str(error)
    assert said.isprintable()
    assert said[0].islower() or said.startswith("JSON")
    assert not said.endswith(".")
    assert len(said) < 1_000
    sent = parse_server_message(ErrorMessage.of(error, error.ref).to_json())
    assert isinstance(sent, ErrorMessage)
    assert (sent.code, sent.message, sent.ref) == (error.code, said, error.ref)
    assert sent.error.facts == error.facts
    return error


def header(**fields: object) -> str:
    return json.dumps(UPLOAD | fields)


# -------------------------------------------------------------------------------------------------------- strict JSON


@either
@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        "}",
        "hello",
        "'a'",
        "{}{}",
        "{'type':'upload'}",
        '{"type":"cancel",}',
        '{"a":1 "b":2}',
        '{"a":01}',
        '{"a":+1}',
        '{"a":.5}',
        '{"a":0x1}',
        '{"a":"\t"}',
        '{"a":"\\x"}',
        '{"a":1}//',
        "\ufeff{}",
        "\0",
    ],
)
def test_what_is_not_json_is_a_bad_message_that_shows_its_beginning(text: str, parse: Parser) -> None:
    error = refused(text, parse)
    assert type(error) is BadMessage
    assert str(error).startswith("not strict JSON: ")
    assert str(error).endswith(ascii(text))


@either
@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_there_is_no_nan_and_no_infinity(constant: str, parse: Parser) -> None:
    for text in (f'{{"a":{constant}}}', f'{{"type":"cancel","a":[{{"b":{constant}}}]}}', constant):
        assert f"not strict JSON: {constant} is not JSON" in str(refused(text, parse))


@either
@pytest.mark.parametrize(
    "text", ['{"a":1,"a":1}', '{"type":"cancel","type":"cancel"}', '{"a":[{"b":{"c":1,"c":2}}]}', r'{"a":1,"\u0061":2}']
)
def test_no_key_appears_twice(text: str, parse: Parser) -> None:
    assert str(refused(text, parse)).startswith("not strict JSON: a key appears twice: ")


@either
@pytest.mark.parametrize("text", ["[]", "1", "null", "true", '"a"', '[{"type":"cancel"}]'])
def test_a_message_is_an_object(text: str, parse: Parser) -> None:
    assert str(refused(text, parse)) == f"expected a JSON object, got {text!a}"


def nested(depth: int, opening: str, closing: str) -> str:
    """A `cancel`, `depth` levels deep with itself."""
    return '{"type":"cancel","a":' + opening * (depth - 1) + "1" + closing * (depth - 1) + "}"


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth_8_is_deep_enough(opening: str, closing: str) -> None:
    assert parse_client_message(nested(8, opening, closing)) == CancelMessage()
    for depth in (9, 10, 100, 2_000):
        error = refused(nested(depth, opening, closing))
        assert type(error) is BadMessage
        assert "nested" in str(error)
        assert error.facts["limit"] == limits.MAX_JSON_DEPTH


@either
@pytest.mark.parametrize("text", ["[" * 15_000, '{"a":' * 3_000, "[" * 7_000 + "]" * 7_000, '{"a":[' * 2_000])
def test_a_tower_of_brackets_is_a_bad_message(text: str, parse: Parser) -> None:
    assert type(refused(text, parse)) is BadMessage


@pytest.mark.parametrize("digits", [16, 19, 20, 100, 4_000, 5_000, 15_000])
@pytest.mark.parametrize("field", ["size", "ref", "offset"])
def test_huge_integers_are_a_bad_message(field: str, digits: int) -> None:
    error = refused('{"type":"upload","name":"a","%s":%s}' % (field, "9" * digits))  # noqa: UP031 - braces
    assert type(error) is BadMessage
    assert error.ref is None
    assert digits > sys.get_int_max_str_digits() or error.facts == {"field": field}


def test_huge_integers_in_fields_that_nobody_knows_are_ignored() -> None:
    assert parse_client_message('{"type":"cancel","x":%s,"y":1e999}' % ("9" * 4_000)) == CancelMessage()


LONE = r"\ud800"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"type": LONE}, UnsupportedType),
        ({"name": LONE}, InvalidName),
        ({"digest_algorithm": LONE}, UnsupportedDigest),
        ({"digest": f"{LONE}:{HEX}"}, UnsupportedDigest),
        ({"digest": f"sha256:{LONE}"}, BadMessage),
        ({"upload_id": LONE}, BadMessage),
        ({"lease": LONE}, BadMessage),
        ({"content_type": f"text/{LONE}"}, BadMessage),
        ({"modified": LONE}, BadMessage),
        ({"if_exists": LONE}, BadMessage),
        ({"metadata": {"a": LONE}}, BadMessage),
        ({"metadata": {LONE: "a"}}, BadMessage),
        ({"metadata": {LONE: 1}}, BadMessage),
        ({"range": [LONE, LONE]}, BadMessage),
        ({"type": "text", "text": LONE}, BadMessage),
    ],
)
def test_lone_surrogates_are_refused_in_every_field(fields: dict[str, object], error: type[TransferError]) -> None:
    text = json.dumps(UPLOAD | fields).replace(r"\\ud800", LONE)
    assert type(refused(text)) is error


def test_lone_surrogates_in_fields_that_nobody_knows_are_ignored() -> None:
    assert parse_client_message(rf'{{"type":"cancel","{LONE}":"{LONE}"}}') == CancelMessage()


@pytest.mark.parametrize("text", [LONE, "\ud800"])
@pytest.mark.parametrize(
    "template",
    [
        '{"type":"error","code":"%s","message":"x"}',
        '{"type":"error","code":"busy","message":"%s"}',
        '{"type":"error","code":"busy","message":"x","fact":["%s"]}',
        '{"type":"error","code":"busy","message":"x","%s":1}',
        '{"type":"echo","text":"%s"}',
    ],
)
def test_what_a_server_says_can_be_shown(template: str, text: str) -> None:
    assert "a text with a lone surrogate" in str(refused(template % text, parse_server_message))
    assert parse_server_message(template % r"\ud83d\ude00") == parse_server_message(template % "\U0001f600")


# ------------------------------------------------------------------------------------------------------------- types


@pytest.mark.parametrize("parse", [parse_client_message, parse_server_message])
@pytest.mark.parametrize("kind", ["uplaod", "", "Upload", "upload ", "join"])
def test_a_type_that_is_not_known_is_named(kind: str, parse: Parser) -> None:
    error = refused(json.dumps({"type": kind, "ref": 7}), parse)
    assert type(error) is UnsupportedType
    assert str(error) == f"type {kind!a} is not known here"


def test_each_side_knows_only_its_own_messages() -> None:
    for kind in ("ready", "ack", "missing", "verifying", "complete", "cancelled", "echo", "authorized", "error"):
        assert type(refused(json.dumps({"type": kind}))) is UnsupportedType
    for kind in ("upload", "eof", "cancel", "text", "auth"):
        assert type(refused(json.dumps({"type": kind}), parse_server_message)) is UnsupportedType


@pytest.mark.parametrize("kind", [None, True, 1, 1.5, [], ["upload"], {}, {"type": "upload"}])
@pytest.mark.parametrize("parse", [parse_client_message, parse_server_message])
def test_a_type_is_a_string(kind: object, parse: Parser) -> None:
    error = refused(json.dumps({"type": kind}), parse)
    assert type(error) is BadMessage
    assert str(error) == f"the type is not a string: {kind!a}"
    assert error.facts == {"field": "type"}


@pytest.mark.parametrize("parse", [parse_client_message, parse_server_message])
def test_a_message_has_a_type(parse: Parser) -> None:
    assert str(refused("{}", parse)) == "a message without a type: add the field type"


# ------------------------------------------------------------------------------------------------------------ fields


@pytest.mark.parametrize(
    "value", [True, False, 1.0, 1.5, 1e300, -1, -(2**53), 2**53, 2**64, "1", "", [], [1], {}, {"a": 1}]
)
@pytest.mark.parametrize("field", ["size", "ref"])
def test_a_size_is_an_integer_from_0_to_2_to_the_53_minus_1(field: str, value: object) -> None:
    error = refused(header(**{field: value}))
    assert type(error) is BadMessage
    assert error.facts == {"field": field}
    assert str(error).startswith(f"the field {field} is wrong: ")
    assert str(error).endswith(f", got {value!a}")


@pytest.mark.parametrize("size", [0, 1, 2**53 - 1, None])
def test_a_size_may_be_as_large_as_every_json_parser_can_read(size: int | None) -> None:
    assert parse_client_message(header(size=size, ref=size)) == UploadHeader(name=NAME, size=size, ref=size)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 1),
        ("name", None),
        ("name", ["a"]),
        ("upload_id", ""),
        ("upload_id", "x" * 129),
        ("upload_id", 1),
        ("lease", True),
        ("resume", 1),
        ("resume", "true"),
        ("resume", None),
        ("if_exists", "overwrite"),
        ("if_exists", None),
        ("digest_algorithm", 256),
        ("digest", "sha256"),
        ("digest", f"sha256:{HEX.upper()}"),
        ("digest", {"sha256": "0" * 64}),
        ("modified", 0),
        ("modified", "yesterday"),
        ("modified", "2026-01-01"),
        ("modified", "2026-01-01T00:00:00"),
        ("modified", "2026-02-30T00:00:00Z"),
        ("modified", "0001-01-01T00:00:00+00:01"),
        ("modified", "9999-12-31T23:59:59-00:01"),
        ("modified", "x" * 10_000),
        ("content_type", "text"),
        ("content_type", "text/"),
        ("content_type", "/plain"),
        ("content_type", "text/plain\r\nx: y"),
        ("content_type", "text/plain\n"),
        ("content_type", "tëxt/plain"),
        ("content_type", "text/" + "x" * 251),
        ("metadata", []),
        ("metadata", {"a": "x" * limits.MAX_METADATA_BYTES}),
        ("metadata", {"a": "é" * (limits.MAX_METADATA_BYTES // 2)}),
        ("offset", 1),
        ("offset", -1),
        ("offset", False),
        ("range", [0]),
        ("range", [0, 1, 2]),
        ("range", [1, 1]),
        ("range", [2, 1]),
        ("range", [-1, 1]),
        ("range", [0, 2**53]),
        ("range", [0, 1.0]),
        ("range", [False, True]),
        ("range", "01"),
        ("range", {"start": 0, "end": 1}),
        ("rewrite", 1),
    ],
)
def test_a_field_that_is_wrong_is_named_with_its_value(field: str, value: object) -> None:
    error = refused(header(**{field: value, "ref": 3}))
    assert type(error) is BadMessage
    assert (error.facts["field"], error.ref) == (field, 3)
    assert str(error).startswith(f"the field {field} is wrong: ")
    assert ascii(value)[:80] in str(error)


def test_a_field_inside_a_field_is_named_with_its_path() -> None:
    assert str(refused(header(metadata={"a": 5}))).startswith("the field metadata.a is wrong: ")
    assert "metadata.a" in str(refused(header(metadata={"a": {"b": "c"}})))


@pytest.mark.parametrize(
    ("kind", "field"), [("upload", "name"), ("text", "text"), ("ack", "offset"), ("ready", "lease"), ("error", "code")]
)
def test_a_field_that_is_missing_is_named(kind: str, field: str) -> None:
    fields = {"type": kind, **(READY if kind == "ready" else {})}
    fields.pop(field, None)
    parse: Parser = parse_client_message if kind in ("upload", "text") else parse_server_message
    error = refused(json.dumps(fields), parse)
    assert (str(error), error.facts) == (f"the field {field} is missing", {"field": field})


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"lease": "l"}, "lease without upload_id"),
        ({"range": [0, 1]}, "range without upload_id and lease"),
        ({"range": [0, 1], "upload_id": "u"}, "range without upload_id and lease"),
        ({"rewrite": True}, "rewrite without range"),
        ({"offset": 0, "upload_id": "u"}, "offset with upload_id"),
        ({"type": "eof", "upload_id": "u"}, "upload_id and lease come together"),
        ({"type": "eof", "lease": "l"}, "upload_id and lease come together"),
    ],
)
def test_fields_that_do_not_fit_together_are_named(fields: dict[str, object], problem: str) -> None:
    assert str(refused(header(**fields))) == f"fields that do not fit together: {problem}"


def test_a_name_that_breaks_a_rule_is_an_invalid_name_that_says_which() -> None:
    error = refused(header(name="../etc/passwd", ref=1))
    assert type(error) is InvalidName
    assert (error.facts, error.ref) == ({"rule": "segment '..'"}, 1)
    assert "'../etc/passwd'" in str(error)


@pytest.mark.parametrize("fields", [{"digest": f"md5:{HEX}"}, {"digest_algorithm": "md5"}])
def test_a_digest_algorithm_that_is_not_known_is_named(fields: dict[str, object]) -> None:
    for text in (header(ref=2, **fields), json.dumps({"type": "eof", "ref": 2, "digest": f"md5:{HEX}"})):
        error = refused(text)
        assert type(error) is UnsupportedDigest
        assert (error.facts, error.ref) == ({"algorithm": "md5"}, 2)


def test_fields_that_nobody_knows_are_ignored() -> None:
    assert parse_client_message(header(colour="blue", Size=3, room={"a": []})) == UploadHeader(name=NAME)
    assert parse_server_message('{"type":"ack","offset":1,"mood":null}') == AckMessage(offset=1)


def test_a_time_is_kept_as_a_moment() -> None:
    for text in ("2026-01-02T03:04:05.678901+02:00", "2026-01-02T01:04:05.678901Z"):
        parsed = parse_client_message(header(modified=text))
        assert isinstance(parsed, UploadHeader)
        assert parsed.modified == datetime(2026, 1, 2, 1, 4, 5, 678901, UTC)
        assert '"modified":"2026-01-02T01:04:05.678901Z"' in parsed.to_json()


# ------------------------------------------------------------------------------------------------------------- tokens

SECRET = "towline_0123456789ab_" + "f" * 64


def test_a_token_stands_in_its_frame_and_in_nothing_that_is_shown() -> None:
    text = json.dumps({"type": "auth", "token": SECRET, "ref": 1})
    message = parse_client_message(text)
    assert isinstance(message, AuthMessage)
    assert message.token.get_secret_value() == SECRET
    assert json.loads(message.to_json()) == json.loads(text)
    for shown in (repr(message), str(message), f"{message.model_dump()}"):
        assert SECRET not in shown


@pytest.mark.parametrize(
    "text",
    [
        f'{{"type":"auth","token":"{SECRET}",}}',
        f'{{"type":"auth","token":"{SECRET}","token":"{SECRET}"}}',
        f'{{"token":"{SECRET}","type":"oauth"}}',
        f'{{"token":"{SECRET}"}}',
        f'["token","{SECRET}"]',
        f'{{"type":"auth","token":"{SECRET} "}}',
        f'{{"type":"auth","token":["{SECRET}"]}}',
        f'{{"type":"auth","token":{{"token":"{SECRET}"}}}}',
        f'{{"type":"auth","ref":-1,"token":"{SECRET}"}}',
        f'{{"type":"auth","token":"{"x" * 8_001}{SECRET}"}}',
        f'{{"type":"auth","token":"{SECRET}","pad":"{"x" * 20_000}"}}',
    ],
)
def test_a_message_with_a_token_is_refused_without_showing_it(text: str) -> None:
    said = str(refused(text))
    assert not any(part in said for part in (SECRET, SECRET[:20], "xxxx", "ffff"))


def test_what_is_no_token_is_named_by_its_field() -> None:
    error = refused('{"type":"auth","token":"two words","ref":4}')
    assert type(error) is BadMessage
    assert (error.facts, error.ref) == ({"field": "token"}, 4)
    assert str(error).endswith("it has white space, a control character or one that is not ASCII within")
    assert str(refused('{"type":"auth"}')) == "the field token is missing"


# -------------------------------------------------------------------------------------------------------------- sizes


def padded(fields: dict[str, object], size: int) -> str:
    """A frame of exactly this many bytes."""
    text = json.dumps(fields | {"pad": ""}, ensure_ascii=False)
    return text[:-2] + "é" * ((size - len(text.encode())) // 2) + "x" * ((size - len(text.encode())) % 2) + text[-2:]


@pytest.mark.parametrize("fields", [UPLOAD, {"type": "eof"}, {"type": "cancel"}, {"type": "auth"}, {}])
def test_a_header_is_at_most_16_kib(fields: dict[str, object]) -> None:
    allowed, too_long = (padded({**fields, "ref": 5}, limits.MAX_HEADER_BYTES + more) for more in (0, 1))
    if fields.get("type") in ("upload", "eof", "cancel"):
        assert isinstance(parse_client_message(allowed), Message)
    error = refused(too_long)
    assert type(error) is BadMessage
    assert str(error) == "a header of 16385 bytes is longer than 16384"
    assert error.facts == {"size": 16_385, "limit": 16_384}
    assert error.ref == 5, "or nobody could tell which of many headers was refused"


@pytest.mark.parametrize("character", ["x", "\0", '"', "é", "ク", "𒀀"])
def test_a_text_has_at_most_64_kib_however_it_is_escaped(character: str) -> None:
    count = limits.MAX_TEXT_BYTES // len(character.encode())
    text = character * count + "x" * (limits.MAX_TEXT_BYTES - count * len(character.encode()))
    everything_escaped = "".join(f"\\u{unit:04x}" for unit in memoryview(text.encode("utf-16-le")).cast("H"))
    for frame in (
        json.dumps({"type": "text", "text": text}),
        json.dumps({"type": "text", "text": text}, ensure_ascii=False),
        f'{{"type":"text","ref":{limits.MAX_SIZE},"text":"{everything_escaped}"}}',
    ):
        parsed = parse_client_message(frame)
        assert isinstance(parsed, TextHeader)
        assert parsed.text == text
    error = refused(json.dumps({"type": "text", "text": text + "x"}))
    assert error.facts == {"field": "text"}
    assert "65537 bytes, more than 65536" in str(error)


def test_a_frame_that_can_hold_no_text_of_64_kib_is_not_read() -> None:
    error = refused('{"type":"text","text":"' + "x" * 400_000)
    assert error.facts == {"size": 400_023, "limit": limits.MAX_TEXT_FRAME_BYTES}


def test_the_leaves_of_the_largest_file_fit_into_a_frame_that_clients_accept() -> None:
    leaves = encode_leaves(bytes(range(16)) * 65_536)
    size = len(leaves) + len(ready(leaves="", metadata_bytes=8_000))
    assert size <= limits.MAX_REPLY_BYTES


def ready(leaves: str, metadata_bytes: int) -> str:
    message = ReadyMessage.model_validate(READY | {"leaves": leaves, "lease": "x" * metadata_bytes})
    return message.to_json()


# --------------------------------------------------------------------------------------------------------------- refs


@pytest.mark.parametrize("ref", [0, 1, limits.MAX_SIZE])
@pytest.mark.parametrize("fields", [{"type": "x"}, {"type": "upload"}, {"type": "eof", "digest": 1}, {}])
def test_a_refusal_carries_the_ref_of_its_message(fields: dict[str, object], ref: int) -> None:
    assert refused(json.dumps({**fields, "ref": ref})).ref == ref


@pytest.mark.parametrize("ref", [None, True, False, -1, 2**53, 10**400, 1.0, "1", [1]])
def test_a_ref_that_is_none_is_not_carried(ref: object) -> None:
    assert refused(json.dumps({"type": "x", "ref": ref})).ref is None


# --------------------------------------------------------------------------------------------------------- round trips

texts = st.text(max_size=20)
sizes = st.integers(0, limits.MAX_SIZE)
positive = st.integers(1, limits.MAX_SIZE)
refs = st.none() | sizes
names = st.sampled_from(["a", "photos/2026/cat.jpg", "фото/кошка", "x" * 255]).map(Name.parse)
digests = st.builds(Digest, st.sampled_from(ALGORITHMS), st.text("0123456789abcdef", min_size=64, max_size=64))
identifiers = st.text(st.characters(codec="utf-8"), min_size=1, max_size=128)
zones = st.integers(-86_399, 86_399).map(lambda seconds: timezone(timedelta(seconds=seconds)))
times = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=st.just(UTC) | zones)  # noqa: DTZ001
ranges = st.tuples(sizes, sizes).filter(lambda pair: pair[0] != pair[1]).map(lambda pair: Range(*sorted(pair)))
metadata = st.dictionaries(texts, texts, max_size=4)
media_types = st.sampled_from(["image/jpeg", "text/plain; charset=utf-8"])

asked = st.text(st.characters(codec="utf-8"), min_size=1, max_size=50)
tokens = st.text(st.sampled_from("az09.-_~!"), min_size=1, max_size=8)
subprotocols = st.lists(tokens, max_size=16, unique=True).map(tuple)


@st.composite
def upload_headers(draw: st.DrawFn) -> UploadHeader:
    upload_id = draw(st.none() | identifiers)
    lease = draw(st.none() | identifiers) if upload_id is not None else None
    span = draw(st.none() | ranges) if lease is not None else None
    return UploadHeader(
        ref=draw(refs),
        name=draw(names),
        size=draw(st.none() | sizes),
        upload_id=upload_id,
        lease=lease,
        resume=draw(st.booleans()),
        if_exists=draw(st.sampled_from(["error", "replace", "rename"])),
        digest_algorithm=draw(st.sampled_from(ALGORITHMS)),
        digest=draw(st.none() | digests),
        modified=draw(st.none() | times),
        content_type=draw(st.none() | media_types),
        metadata=draw(metadata),
        offset=draw(st.none() | st.just(0)) if upload_id is None else None,
        range=span,
        rewrite=draw(st.booleans()) if span is not None else False,
    )


client_messages = st.one_of(
    upload_headers(),
    st.builds(EofMessage, ref=refs, digest=st.none() | digests),
    st.builds(EofMessage, ref=refs, digest=digests, upload_id=identifiers, lease=identifiers),
    st.just(CancelMessage()),
    st.builds(TextHeader, ref=refs, text=texts),
    st.builds(ProxyHeader, ref=refs, upstream=asked, subprotocols=subprotocols),
    st.builds(ProxyHeader, ref=refs, url=asked, subprotocols=subprotocols),
    st.builds(AuthMessage, ref=refs, token=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)),
)
entries = st.builds(
    FileEntry,
    name=names,
    size=sizes,
    digest=digests,
    content_type=media_types,
    modified=st.none() | times,
    created=times,
    owner=texts,
    metadata=metadata,
    url=texts,
)
missing = st.lists(ranges, max_size=4).map(tuple)
scalars = st.booleans() | sizes | texts
facts = st.dictionaries(texts, scalars | st.lists(st.none() | scalars | st.lists(scalars, max_size=2), max_size=2))
transfer_errors = st.builds(
    lambda kind, message, facts: kind(message, **facts), st.sampled_from([*ERRORS.values()]), texts, facts
)
server_messages = st.one_of(
    st.builds(
        ReadyMessage,
        ref=refs,
        upload_id=identifiers,
        lease=identifiers,
        name=names,
        size=st.none() | sizes,
        offset=sizes,
        chunk_size=positive,
        window=positive,
        leaf_size=positive,
        leaves=st.lists(st.binary(min_size=16, max_size=16), max_size=3).map(b"".join).map(encode_leaves),
        missing=st.none() | missing,
        existing=st.none() | st.builds(Existing, size=sizes, digest=digests),
        digest_algorithms=st.just(ALGORITHMS),
    ),
    st.builds(AckMessage, ref=refs, offset=sizes, window=st.none() | positive),
    st.builds(MissingMessage, ref=refs, ranges=missing),
    st.builds(AuthorizedMessage, ref=refs, subject=texts, expires=st.none() | times),
    st.builds(VerifyingMessage, ref=refs, offset=sizes),
    st.builds(CompleteMessage, ref=refs, file=entries, unchanged=st.none() | st.booleans()),
    st.builds(CancelledMessage, ref=refs),
    st.builds(EchoMessage, ref=refs, text=texts),
    st.builds(ErrorMessage.of, transfer_errors, refs),
)
thorough = settings(max_examples=300, deadline=None)


@thorough
@given(client_messages)
def test_a_client_s_message_is_read_as_it_was_meant(message: Message) -> None:
    assert parse_client_message(message.to_json()) == message


@thorough
@given(server_messages)
def test_a_server_s_message_is_read_as_it_was_meant(message: Message) -> None:
    assert parse_server_message(message.to_json()) == message


@given(
    st.builds(ProxyReadyMessage, ref=refs, url=asked, subprotocol=st.none() | tokens)
    | st.builds(ErrorMessage.of, transfer_errors, refs)
)
def test_what_answers_a_proxy_header_is_read_as_it_was_meant(message: Message) -> None:
    assert parse_proxy_answer(message.to_json()) == message


@pytest.mark.parametrize("text", ['{"type":"ready"}', '{"type":"ready","url":1}', '{"type":"ready","url":"\\ud800"}'])
def test_a_tunnel_that_leads_nowhere_is_a_bad_message(text: str) -> None:
    assert type(refused(text, parse_proxy_answer)) is BadMessage


def test_another_message_does_not_answer_a_proxy_header() -> None:
    assert type(refused('{"type":"ack","offset":1}', parse_proxy_answer)) is UnsupportedType


@given(st.one_of(client_messages, server_messages))
def test_what_is_not_set_is_not_sent(message: Message) -> None:
    fields = json.loads(message.to_json())
    assert "type" in fields
    assert isinstance(message, ErrorMessage) or None not in fields.values()


@thorough
@given(transfer_errors, refs)
def test_an_error_arrives_as_it_was_raised(error: TransferError, ref: int | None) -> None:
    message = parse_server_message(ErrorMessage.of(error, ref).to_json())
    assert isinstance(message, ErrorMessage)
    arrived = message.error
    assert type(arrived) is type(error)
    declared = {"ref", "type", "code", "message", "retryable"}
    assert arrived.facts == {key: fact for key, fact in error.facts.items() if key not in declared}
    assert (arrived.message, message.ref, message.retryable) == (error.message, ref, error.retryable)


def test_facts_are_fields_of_the_error() -> None:
    text = ErrorMessage.of(DigestMismatch("no", expected="a", actual="b"), 4).to_json()
    assert json.loads(text) == {
        "type": "error",
        "code": "digest_mismatch",
        "message": "no",
        "retryable": False,
        "ref": 4,
        "expected": "a",
        "actual": "b",
    }
    assert '"retryable":true' in ErrorMessage.of(Busy("wait")).to_json()


def test_an_error_of_a_newer_server_is_read() -> None:
    message = parse_server_message('{"type":"error","code":"new","message":"x","retryable":true,"self":1,"at":[2]}')
    assert isinstance(message, ErrorMessage)
    error = message.error
    assert type(error) is UnknownError
    assert (error.code, error.retryable, error.facts) == ("new", True, {"self": 1, "at": [2]})


@pytest.mark.parametrize("field", ["chunk_size", "window", "leaf_size"])
@pytest.mark.parametrize("value", [0, -1, 2**53, 1.0, True, None])
def test_a_ready_that_nobody_could_follow_is_refused(field: str, value: object) -> None:
    error = refused(json.dumps(READY | {field: value}), parse_server_message)
    assert error.facts == {"field": field}


def test_an_ack_closes_no_window() -> None:
    assert refused('{"type":"ack","offset":1,"window":0}', parse_server_message).facts == {"field": "window"}


def test_messages_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        AckMessage(offset=1).offset = 2  # type: ignore[misc]


# ------------------------------------------------------------------------------------------------------------- leaves


@given(st.lists(st.binary(min_size=16, max_size=16)))
def test_leaves_are_read_as_they_were_written(leaves: list[bytes]) -> None:
    assert decode_leaves(encode_leaves(b"".join(leaves))) == leaves


@pytest.mark.parametrize("text", ["A", "AAAA", "é", "====", "not base64!", "A" * 22 + "\n==", "A" * 20])
def test_what_is_not_base64_of_checksums_is_a_bad_message(text: str) -> None:
    with pytest.raises(BadMessage, match="the leaves are not base64 of checksums: "):
        decode_leaves(text)


# ----------------------------------------------------------------------------------------------------- any text at all

KEYS = [
    *("type", "name", "size", "upload_id", "lease", "resume", "if_exists", "digest_algorithm", "digest", "modified"),
    *("content_type", "metadata", "offset", "range", "rewrite", "ref", "text", "ranges", "window", "chunk_size"),
    *("leaf_size", "leaves", "missing", "existing", "file", "code", "message", "retryable", "self", "unchanged"),
]
TYPES = [
    *("upload", "eof", "cancel", "text"),
    *("ready", "ack", "missing", "verifying", "complete", "cancelled", "echo", "error"),
]
wild_texts = st.text(alphabet=st.characters(exclude_categories=()), max_size=12)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(
        [*TYPES, "a", "a/b", "sha256:" + HEX, "md5:" + HEX, "2026-01-01T00:00:00Z", "error", "text/plain"]
    )
    | wild_texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | wild_texts, inner, max_size=3),
    max_leaves=6,
)
objects = st.builds(
    lambda kind, fields: {"type": kind, "name": "a", "text": "a", **fields},
    st.sampled_from(TYPES),
    st.dictionaries(st.sampled_from(KEYS) | wild_texts, values, max_size=6),
)
frames = st.one_of(
    wild_texts,
    st.text(alphabet='{}[]":,\\u0dtfnE+-. ', max_size=30),
    st.builds(json.dumps, objects | values, ensure_ascii=st.booleans()),
    st.builds(
        lambda text, at, more: text[: at % (len(text) + 1)] + more + text[at % (len(text) + 1) :],
        st.one_of(client_messages, server_messages).map(lambda message: message.to_json()),
        st.integers(0, 1_000),
        wild_texts,
    ),
)


@settings(max_examples=1_000, deadline=None)
@given(frames)
@example('{"type":"error","code":"busy","message":"x","self":1}')
@example(r'{"type":"upload","name":"a","digest":"\ud800:a","ref":-1}')
def test_any_text_at_all_is_a_message_or_a_refusal_that_can_be_sent(text: str) -> None:
    for parse in (parse_client_message, parse_server_message):
        try:
            message = parse(text)
        except TransferError:
            refused(text, parse)
        else:
            assert message.to_json()
            if isinstance(message, ErrorMessage):
                assert message.error.message == message.message


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"upload","name":"a","upload_id":"%s"',
        '{"type":"upload","name":"a","upload_id":["%s"]}',
        '{"type":"upload","name":"a","size":"%s"}',
        '{"type":"%s"}',
        '"%s"',
    ],
)
def test_no_whole_id_stands_in_an_error(text: str) -> None:
    upload_id = "0123456789abcdef" * 2  # a token has more
    with pytest.raises(TransferError) as refused:
        parse_client_message(text % upload_id)
    assert upload_id not in str(refused.value)
    assert "012345.." in str(refused.value)
