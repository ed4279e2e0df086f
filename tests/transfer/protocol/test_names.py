import copy
import pickle
import sys
import time
import unicodedata

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from transfer.protocol.names import MAX_NAME_BYTES, MAX_SEGMENT_BYTES, InvalidName, Name

SEGMENT_255 = "x" * 255
NAME_1024 = "/".join([*[SEGMENT_255] * 3, "x" * 254, "y"])
TOO_LONG = "name longer than 1,024 bytes"
SPACE = "segment with leading or trailing space"
FORMAT = "bidirectional, zero-width or other format control"

ACCEPTED = [
    "a",
    "cat.jpg",
    "photos/2026/cat.jpg",
    ".bashrc",
    "..a",
    "...a/b",
    "a..b",
    "a b",
    "a: b",
    "-rf",
    "~",
    "*?<>|\"'",
    "%2e%2e%2f",
    "a.tar.gz",
    "x\u0338/\u0338y",
    "Ærøskøbing",
    "İstanbul ılık.txt",
    "Straße/ΐ/ŉ",
    "фото/кошка.jpg",
    "Ελληνικά/ς",
    "հայերեն",
    "ქართული",
    "עברית.txt",
    "العربية/ملف.pdf",
    "हिन्दी/क्षत्रिय",
    "தமிழ்",
    "ไทย",
    "བོད་ཡིག",
    "ខ្មែរ",
    "አማርኛ",
    "ᏣᎳᎩ",
    "中文/文件.txt",
    "日本語/ファイル",
    "한국어/파일",
    "全角　空白",
    "❤️.png",
    "👍🏽",
    "🇩🇪",
    "𒀀",
    "\ue000",
    "\U0010ffff",
    "console",
    "con-1",
    "xcon",
    "com",
    "com10",
    "lpt⁴",
    "nul_",
    "a.con",
    "auxiliary/prnt",
    "$conin",
    "conın$",
    SEGMENT_255,
    "é" * 127 + "x",
    "𒀀" * 63,
    NAME_1024,
]

DEVICES = [
    *("CON", "con", "Con", "PRN", "AUX", "NUL", "nul", "CONIN$", "conout$"),
    *(port + digit for port in ("COM", "lpt") for digit in "0123456789¹²³"),
    *("con.txt", "NUL.tar.gz", "CON .txt", "aux  .", "con:", "nul:x", "com1 :x.y", "a/lpt1", "prn/a", "nul.\u0301"),
]

REFUSED = [
    ("", "empty name"),
    (".", "segment '.'"),
    ("..", "segment '..'"),
    ("a/./b", "segment '.'"),
    ("../a", "segment '..'"),
    ("a/..", "segment '..'"),
    ("/", "leading slash"),
    ("/a", "leading slash"),
    ("//a", "leading slash"),
    ("a/", "empty segment"),
    ("a//b", "empty segment"),
    ("\\", "backslash"),
    ("a\\b", "backslash"),
    ("..\\a", "backslash"),
    *((f"a{c}b", "control character") for c in "\0\x01\t\n\r\x1b\x1f\x7f\x80\x85\x9f"),
    *((f"a{c}b", "lone surrogate") for c in "\ud800\udbff\udc00\udc80\udfff"),
    ("\ud83d\ude00", "lone surrogate"),
    *((f"a{c}b", FORMAT) for c in "\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e"),
    *((f"a{c}b", FORMAT) for c in "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"),
    *((f"a{c}b", FORMAT) for c in "\U000e0001\U000e0041\ufff9\U0001d173"),
    ("a\u2028b", "line separator"),
    ("a\u2029b", "paragraph separator"),
    *((text, SPACE) for text in (" ", " a", "a ", "a/ b", "a /b", ". ", " .")),
    *((f"a{c}", SPACE) for c in "\u00a0\u1680\u2000\u2002\u2009\u202f\u205f\u3000"),
    *((f"{c}a", SPACE) for c in "\u00a0\u1680\u2000\u2002\u2009\u202f\u205f\u3000"),
    *((text, "segment with trailing dot") for text in ("a.", "...", "a./b", "a/b..", "con.")),
    *((text, "windows device name") for text in DEVICES if not text.endswith(".")),
    ("\u212aon/con", "windows device name"),
    (SEGMENT_255 + "x", "segment longer than 255 bytes"),
    ("é" * 128, "segment longer than 255 bytes"),
    ("a/" + "𒀀" * 64, "segment longer than 255 bytes"),
    (NAME_1024 + "y", TOO_LONG),
    ("a/" * 512 + "b", TOO_LONG),
    ("ab/" * 100_000, TOO_LONG),
    ("é/" * 400, TOO_LONG),
]

EDGY = "a.b /\\:()2é\u0301\u0323\u0345ßİıſK𒀀\u200d\u202e\u2028\ud800\0" + "\u3000\u037e\u1f82\u1fef"
texts = st.one_of(st.text(alphabet=st.characters(exclude_categories=())), st.text(alphabet=EDGY), st.text("conau1.: "))


def parsed(text: str) -> Name:
    """The name, or an end to the example."""
    try:
        return Name.parse(text)
    except InvalidName:
        assume(False)
        raise


PIECES = ["x", "é", "ク", "𒀀", ".", " (2)", " (10)", "x/", ".jpg", "e\u0323", "/"]
long_texts = st.lists(st.builds(str.__mul__, st.sampled_from(PIECES), st.integers(1, 255)), max_size=6).map("".join)
deep_texts = st.builds(str.__add__, st.integers(480, 511).map("d/".__mul__), st.one_of(texts, long_texts))
tight_texts = st.builds(
    lambda beginning, end, size: beginning + "y" * (size - len((beginning + end).encode())) + end,
    st.sampled_from(["x", "x (2).", "𒀀 (3).", ".", "é", "x.", "photos/", "e\u0323 (10)"]),
    st.sampled_from(["", ".jpg", " (2)", " (2).jpg", ".b (10)", "ク.jpg"]),
    st.integers(245, 255),
)
names = st.one_of(texts, long_texts, deep_texts, tight_texts).map(parsed)


@pytest.mark.parametrize("text", ACCEPTED)
def test_a_name_that_breaks_no_rule_is_kept_in_its_normal_form(text: str) -> None:
    assert Name.parse(text).value == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(("text", "rule"), REFUSED)
def test_a_name_that_breaks_a_rule_is_refused_and_the_rule_is_named(text: str, rule: str) -> None:
    with pytest.raises(InvalidName) as refusal:
        Name.parse(text)
    assert refusal.value.rule == rule
    assert refusal.value.text == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("text", [text for text, _ in REFUSED])
def test_the_constructor_refuses_what_parse_refuses(text: str) -> None:
    with pytest.raises(InvalidName):
        Name(text)


def test_the_constructor_does_not_rewrite() -> None:
    assert Name("caf\u00e9") == Name.parse("cafe\u0301")
    with pytest.raises(InvalidName, match="not in unicode normal form c: 'cafe\\\\u0301'"):
        Name("cafe\u0301")


def test_rules_are_checked_on_the_normal_form() -> None:
    assert Name.parse("e\u0301" * 127).value == "é" * 127, "381 bytes before"
    assert Name.parse("\u1f82" * 85) == Name.parse("\u03b1\u0313\u0300\u0345" * 85), "765 bytes before"
    with pytest.raises(InvalidName, match="segment longer than 255 bytes"):
        Name.parse("\U0001d15e" * 63)  # 252 bytes before, two characters each after
    assert Name.parse("a\u037e").value == "a;"


def test_the_longest_name_has_1024_bytes_and_the_longest_segment_255() -> None:
    assert len(Name.parse(NAME_1024).value) == MAX_NAME_BYTES
    assert len(Name.parse(SEGMENT_255).value) == MAX_SEGMENT_BYTES


def test_a_name_of_1024_bytes_is_accepted_from_its_longest_spelling() -> None:
    segment = "\u1f82" * 84 + "xx"  # 254 bytes
    name = Name.parse("/".join([*[segment] * 4, "abcd"]))
    assert len(name.value.encode()) == MAX_NAME_BYTES
    assert Name.parse(unicodedata.normalize("NFD", name.value)) == name


def test_a_flood_of_combining_marks_is_refused_without_being_normalized() -> None:
    flood = "a" + "\u0301\u0323" * 2_000_000
    started = time.process_time()
    for make in (Name.parse, Name):
        with pytest.raises(InvalidName, match=TOO_LONG):
            make(flood)
    assert time.process_time() - started < 1, "normalizing it would take hours"


def test_the_error_shows_rule_and_text_escaped() -> None:
    with pytest.raises(InvalidName) as refusal:
        Name.parse("a\u202e\ngpj.exe")
    assert str(refusal.value) == rf"{FORMAT}: 'a\u202e\ngpj.exe'"
    assert isinstance(refusal.value, ValueError)


def test_the_error_shows_no_more_than_the_beginning_of_a_huge_text() -> None:
    with pytest.raises(InvalidName) as refusal:
        Name.parse("\U0001f600" * 1_000_000)
    assert str(refusal.value).endswith("... (1,000,000 characters)")
    assert len(str(refusal.value)) < 800


def test_names_and_their_errors_survive_copying_and_pickling() -> None:
    name, error = Name.parse("a/b"), InvalidName("a//b", "empty segment")
    assert pickle.loads(pickle.dumps(name)) == copy.copy(name) == name
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_names_sort_as_their_bytes_do() -> None:
    accepted = [Name.parse(text) for text in ACCEPTED]
    assert sorted(accepted) == sorted(accepted, key=lambda name: name.value.encode())


@given(texts)
@example("\ud800")
@example("\u0345/\u0345")
def test_any_text_is_a_name_or_an_invalid_name(text: str) -> None:
    outcome: Name | InvalidName
    try:
        outcome = Name.parse(text)
    except InvalidName as refusal:
        outcome = refusal
    assert str(outcome) == unicodedata.normalize("NFC", text) if isinstance(outcome, Name) else str(outcome).isascii()


@given(names)
def test_parsing_twice_changes_nothing(name: Name) -> None:
    assert Name.parse(name.value) == name == Name(name.value)


@given(names)
def test_a_name_that_was_kept_is_the_same_name(name: Name) -> None:
    again = Name.kept(name.value)
    assert (again, hash(again), again.key) == (name, hash(name), name.key)


@given(names, st.sampled_from(["NFC", "NFD"]))
def test_canonically_equivalent_spellings_are_one_name(name: Name, form: str) -> None:
    respelled = unicodedata.normalize("NFD", name.value) if form == "NFD" else name.value
    assert Name.parse(respelled) == name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Cat.JPG", "cat.jpg"),
        ("STRASSE", "straße"),
        ("ΣΊΣΥΦΟΣ", "Σίσυφος"),
        ("ΚΌΣΜΟΣ/Ά", "κόσμος/ά"),
        ("ПРИВЕТ", "привет"),
        ("ᏣᎳᎩ", "ꮳꮃꭹ"),
        ("ﬁle", "FILE"),
        ("\u212b", "å"),
        ("ᾴ", "ΆΙ"),
        ("ᾼ\u0301", "\u1fb4"),
        ("ǰ", "J\u030c"),
        ("ᾳ\u0323", "Α\u0323Ι"),
    ],
)
def test_names_that_differ_only_in_case_have_one_key(one: str, other: str) -> None:
    assert Name.parse(one) != Name.parse(other)
    assert Name.parse(one).key == Name.parse(other).key


@pytest.mark.parametrize(("one", "other"), [("e", "é"), ("i", "ı"), ("１", "1"), ("a/b", "a:b"), ("а", "a")])
def test_names_that_differ_in_more_than_case_have_two_keys(one: str, other: str) -> None:
    assert Name.parse(one).key != Name.parse(other).key


def folds_as_its_upper_case(character: str) -> bool:
    return character.upper().casefold() == character.casefold()


@given(st.text(st.characters(exclude_categories=["C", "Z"]).filter(folds_as_its_upper_case), min_size=1).map(parsed))
def test_the_key_does_not_see_a_change_of_case(name: Name) -> None:
    decomposed = unicodedata.normalize("NFD", name.value)
    assume(all(map(folds_as_its_upper_case, decomposed)))
    assert parsed(decomposed.upper()).key == name.key


@given(names)
def test_the_key_of_a_key_is_that_key(name: Name) -> None:
    assert parsed(name.key).key == name.key


def test_no_character_of_unicode_breaks_what_this_module_takes_for_granted() -> None:
    for character in map(chr, [*range(0xD800), *range(0xE000, sys.maxunicode + 1)]):
        decomposed = unicodedata.normalize("NFD", character)
        folded = unicodedata.normalize("NFD", decomposed.casefold())
        assert len(decomposed) <= 4, "the bound that keeps floods from being normalized"
        assert unicodedata.normalize("NFD", folded.casefold()) == folded, "keys are stable"
        assert character == "/" or "/" not in folded, "folding makes no segments"


def test_parents_are_the_keys_of_the_names_above_from_the_top() -> None:
    assert Name.parse("A/É/c").parents == ("a", "a/é")
    assert Name.parse("a").parents == ()


@given(names)
def test_each_parent_is_the_key_of_that_beginning_of_the_name(name: Name) -> None:
    segments = name.value.split("/")
    beginnings = [Name.parse("/".join(segments[:depth])) for depth in range(1, len(segments))]
    assert name.parents == tuple(beginning.key for beginning in beginnings)


def test_last_is_the_segment_after_the_last_slash() -> None:
    assert Name.parse("photos/2026/cat.jpg").last == "cat.jpg"
    assert Name.parse("cat.jpg").last == "cat.jpg"


@pytest.mark.parametrize(
    ("text", "n", "expected"),
    [
        ("photos/cat.jpg", 2, "photos/cat (2).jpg"),
        ("cat.jpg", 1_000, "cat (1000).jpg"),
        ("cat", 3, "cat (3)"),
        ("cat (2).jpg", 2, "cat (2) (2).jpg"),
        ("a.b/c", 2, "a.b/c (2)"),
        ("a/a/a", 2, "a/a/a (2)"),
        ("a.tar.gz", 2, "a.tar (2).gz"),
        (".bashrc", 2, ".bashrc (2)"),
        ("..x", 2, "..x (2)"),
        (".config.json", 2, ".config (2).json"),
        ("x" * 251 + ".jpg", 2, "x" * 247 + " (2).jpg"),
        ("é" * 125 + ".jpg", 2, "é" * 123 + " (2).jpg"),
        ("𒀀" * 62 + ".jpg", 2, "𒀀" * 61 + " (2).jpg"),
        ("x" * 247 + " (2).jpg", 2, "x" * 246 + " (2).jpg"),
        ("x." + "y" * 253, 2, "x." + "y" * 249 + " (2)"),
        ("x (2)." + "y" * 249, 2, "x (2)." + "y" * 245 + " (2)"),
        ("abc." + "y" * 251, 2, "abc." + "y" * 247 + " (2)"),
        ("x" * 250 + ".éé", 2, "x" * 246 + " (2).éé"),
        ("é/" * 338 + "cat.jpg", 2, "é/" * 338 + "ca (2).jpg"),
        ("d/" * 500 + "x" * 20 + ".jpg", 2, "d/" * 500 + "x" * 16 + " (2).jpg"),
        ("d/" * 508 + "cat.jpg", 2, "d/" * 508 + "cat. (2)"),
    ],
)
def test_a_numbered_name_has_its_number_before_the_extension_and_is_cut_to_fit(
    text: str, n: int, expected: str
) -> None:
    assert Name.parse(text).numbered(n) == Name.parse(expected)


def test_numbering_is_refused_where_the_folder_leaves_no_room() -> None:
    assert Name.parse("d/" * 509 + "cat").numbered(2).last == "ca (2)"
    name = Name.parse("d/" * 510 + "cat")
    with pytest.raises(InvalidName) as refusal:
        name.numbered(2)
    assert refusal.value.rule == TOO_LONG
    assert refusal.value.text == f"{name} (2)"


@pytest.mark.parametrize("n", [0, -2])
def test_a_number_is_positive(n: int) -> None:
    with pytest.raises(ValueError, match=f"number {n} is not positive"):
        Name.parse("a").numbered(n)


@given(names, st.sets(st.one_of(st.integers(1, 12), st.integers(1, 10**9)), min_size=1, max_size=4))
@example(Name.parse("x (2)." + "y" * 249), {1, 2, 3, 10})
@example(Name.parse("x" * 247 + " (2).jpg"), {2, 12})
@example(Name.parse("x" + ".b (10)" + "y" * 240 + " (10)"), {9, 10})
def test_numbered_names_are_valid_in_the_same_folder_and_have_keys_of_their_own(name: Name, numbers: set[int]) -> None:
    assume(len(name.value.encode()) - len(name.last.encode()) <= MAX_NAME_BYTES - 4 - len(f" ({max(numbers)})"))
    numbered = [name.numbered(n) for n in sorted(numbers)]
    assert [Name.parse(other.value) for other in numbered] == numbered
    assert len({name.key, *(other.key for other in numbered)}) == len(numbers) + 1
    assert {other.parents for other in numbered} == {name.parents}
