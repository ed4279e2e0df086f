"""What a store refuses becomes the protocol's error, with the facts that the client may have and no others."""

import pytest

from storage.errors import NameTaken, NotYours, QuotaExceeded
from storage.store import Store, StoredFile
from tests.storage.conformance.asking import put
from transfer.protocol import errors
from transfer.protocol.names import Name
from transfer.refusals import refusal

NAME = Name.parse("photos/cat.jpg")


@pytest.fixture
async def file() -> StoredFile:
    from storage.memory import MemoryStore

    store: Store = MemoryStore()
    return (await put(store, str(NAME), b"content")).file


def test_a_name_that_is_taken_says_by_what(file: StoredFile) -> None:
    found = refusal(NameTaken(NAME, file))
    assert isinstance(found, errors.Exists)
    assert found.facts == {"size": 7, "digest": str(file.digest)}
    assert refusal(NameTaken(NAME, None, Name.parse("photos"))).facts == {"conflict": "photos"}


def test_what_may_not_be_known_is_in_no_fact_and_no_sentence(file: StoredFile) -> None:
    taken = refusal(NameTaken(NAME, file, disclosed=False))
    below = refusal(NameTaken(NAME, None, Name.parse("photos/cat.jpg/secret"), disclosed=False))
    for found in (taken, below):
        assert isinstance(found, errors.Exists)
        assert found.facts == {}
        assert str(found) == "the name 'photos/cat.jpg' is taken: choose another name"


def test_somebody_elses_file_needs_the_scope_delete() -> None:
    found = refusal(NotYours(NAME))
    assert isinstance(found, errors.Forbidden)
    assert found.facts == {"scope": "delete"}
    assert str(found) == "the file 'photos/cat.jpg' is somebody else's: replacing it needs the scope delete"


def test_a_quota_says_what_is_left_of_it() -> None:
    found = refusal(QuotaExceeded(needed=7, available=3, limit=10))
    assert isinstance(found, errors.QuotaExceeded)
    assert (found.http_status, found.retryable) == (507, False)
    assert found.facts == {"needed": 7, "available": 3, "limit": 10}
    assert str(found).startswith("7 bytes do not fit into the quota of 10: 3 are left")


def test_the_figures_of_somebody_elses_quota_are_not_told() -> None:
    found = refusal(QuotaExceeded(needed=7, available=3, limit=10, disclosed=False))
    assert isinstance(found, errors.QuotaExceeded)
    assert found.facts == {"needed": 7}
    assert str(found) == "7 bytes do not fit into the quota of whoever made the link: ask them for room"
