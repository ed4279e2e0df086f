import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.protocol.names import MAX_NAME_BYTES, InvalidName, Name
from transfer.protocol.prefixes import EVERYTHING, parse_prefix

REFUSED = {
    "no slash at its end": "photos",
    "a slash alone": "/",
    "a slash before": "/photos/",
    "two slashes at its end": "photos//",
    "two slashes inside": "photos//2026/",
    "the folder above": "../",
    "the folder above, inside": "photos/../others/",
    "the folder itself": "./",
    "a nul": "photos\0/",
    "a nul behind": "photos/\0",
    "a line break behind": "photos/\n",
    "a backslash": "photos\\2026/",
    "a space before the slash": "photos /",
    "a dot before the slash": "photos./",
    "a device": "con/",
    "a lone surrogate": "\ud800/",
    "a direction": "\u202ephotos/",
    "another slash": "photos\u2215",
    "too long": "a/" * MAX_NAME_BYTES,
    "so long that normalizing takes its time": "\u0301" * 100_000 + "/",
}


@pytest.mark.parametrize("text", ["photos/", "photos/2026/", "a b/", "фото/", "%2e%2e/"])
def test_a_name_with_a_slash_behind_it_is_a_prefix(text: str) -> None:
    assert parse_prefix(text) == text


def test_nothing_is_the_prefix_of_every_name() -> None:
    assert parse_prefix("") == EVERYTHING
    assert Name.parse("photos/cat.jpg").value.startswith(EVERYTHING)


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_name_before_its_slash_is_no_prefix(text: str) -> None:
    with pytest.raises(InvalidName):
        parse_prefix(text)


def test_a_prefix_is_normalized_as_names_are() -> None:
    assert parse_prefix("cafe\u0301/") == "caf\u00e9/"
    assert Name.parse("cafe\u0301/menu").value.startswith(parse_prefix("cafe\u0301/"))


@pytest.mark.parametrize("name", ["Photos/a", "PHOTOS/a", "photos", "photos2/a", "photo/s", "x/photos/a", "ｐhotos/a"])
def test_names_that_only_look_alike_are_not_within_a_prefix(name: str) -> None:
    assert not Name.parse(name).value.startswith(parse_prefix("photos/"))


@given(st.text(), st.text())
def test_a_name_below_a_prefix_is_within_it_in_whatever_normal_form_it_comes(folder: str, last: str) -> None:
    try:
        prefix = parse_prefix(f"{folder}/")
        name = Name.parse(unicodedata.normalize("NFD", f"{folder}/{last}"))
    except InvalidName:
        return
    assert name.value.startswith(prefix)
