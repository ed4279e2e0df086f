import pytest

from transfer.protocol import limits
from transfer.protocol.tokens import parse_token


@pytest.mark.parametrize(
    "text", ["x", "towline_0123456789ab_" + "0f" * 32, "eyJh.eyJz.c2ln", "a+/=~-._", "!" + "~" * 7_999]
)
def test_visible_ascii_is_a_token(text: str) -> None:
    assert parse_token(text).get_secret_value() == text


@pytest.mark.parametrize(
    "text",
    ["", " ", "two words", "tab\there", "line\nbreak", "end\n", " x", "nul\0", "\x7f", "é", "\ud800", "x" * 8_001],
)
def test_what_is_no_token_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"^it (is|has) ") as refusal:
        parse_token(text)
    assert len(text) < 3 or text not in str(refusal.value)


def test_the_longest_token_fits_in_a_line_of_a_head() -> None:
    assert len("Authorization: Bearer \r\n") + limits.MAX_TOKEN_BYTES <= 8_192
