import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.protocol import errors
from transfer.protocol.errors import ERRORS, TooMany, TransferError, UnknownError, error_of

ROW = re.compile(r"── (?P<name>[A-Z]\w+) +(?P<code>[a-z_]+) +(?P<status>[45]\d\d)(?P<notes>.*)")
TABLE = [row.groupdict() for row in map(ROW.search, (errors.__doc__ or "").splitlines()) if row is not None]
RECONNECT_AND_RESUME = {1001, 1005, 1006, 1011, 1012, 4408}
"""Close codes after which docs/protocol.md tells clients to come back."""
texts = st.text(alphabet=st.characters(exclude_categories=()))


def subclasses() -> list[type[TransferError]]:
    return [error for error in TransferError.__subclasses__() if error.__module__ == errors.__name__]


def test_the_table_of_the_docstring_names_each_class_and_code_once() -> None:
    assert sorted(row["name"] for row in TABLE) == sorted(
        error.__name__ for error in subclasses() if error is not UnknownError
    )
    assert sorted(row["code"] for row in TABLE) == sorted(ERRORS)
    assert len({error.code for error in ERRORS.values()}) == len(TABLE) >= 19


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row["code"])
def test_the_table_of_the_docstring_is_what_the_classes_say(row: dict[str, str]) -> None:
    error, notes = ERRORS[row["code"]], row["notes"]
    closes = re.search(r"closes (\d+)", notes)
    assert error.__name__ == row["name"]
    assert error.http_status == int(row["status"])
    assert error.retryable == ("retryable" in notes)
    assert error.close_code == (None if closes is None else int(closes[1]))
    assert error.__doc__


@pytest.mark.parametrize("code", sorted(ERRORS.keys() - {"too_many"}))
def test_a_code_gives_its_class_back(code: str) -> None:
    error = error_of(code, "why", retryable=not ERRORS[code].retryable, facts={"limit": 3})
    assert type(error) is ERRORS[code]
    assert (str(error), error.message, error.facts) == ("why", "why", {"limit": 3})
    assert error.retryable == ERRORS[code].retryable, "known codes mean what they mean here"
    assert error.ref is None


@pytest.mark.parametrize("retryable", [True, False])
def test_whether_to_wait_until_there_are_fewer_stands_in_the_answer(retryable: bool) -> None:
    error = error_of("too_many", "why", retryable=retryable, facts={"limit": 3})
    assert type(error) is TooMany
    assert (str(error), error.facts, error.retryable) == ("why", {"limit": 3}, retryable)
    assert not TooMany("why").retryable


@pytest.mark.parametrize("retryable", [True, False])
def test_an_unknown_code_keeps_its_code_and_whether_to_retry(retryable: bool) -> None:
    error = error_of("moon_phase", "not tonight", retryable=retryable, facts={"phase": "full"})
    assert type(error) is UnknownError
    assert (error.code, error.retryable, error.facts) == ("moon_phase", retryable, {"phase": "full"})
    assert str(error) == "not tonight"
    assert UnknownError("other", "x", retryable=False).code == "other"
    assert not hasattr(TransferError, "code"), "codes of instances stay theirs"


@given(st.one_of(st.sampled_from(sorted(ERRORS)), texts), texts, st.dictionaries(texts, st.integers() | texts))
def test_a_peer_may_name_its_facts_as_it_likes(code: str, message: str, facts: dict[str, int | str]) -> None:
    facts = {"self": 1, "message": 2, "code": 3, **facts}
    facts.pop("retryable", None)
    error = error_of(code, message, retryable=False, facts={**facts})
    assert (error.code, error.message, error.facts) == (code, message, facts)


def test_every_error_that_closes_and_can_be_retried_closes_with_a_code_that_says_resume() -> None:
    for error in ERRORS.values():
        if error.close_code is not None and error.retryable:
            assert error.close_code in RECONNECT_AND_RESUME
