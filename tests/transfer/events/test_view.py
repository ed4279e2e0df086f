"""What of an event somebody sees who may see a part of it; the table of docs/security.md has the rest."""

import pytest

from storage.events import Completed, Created, Deleted, Event, Progressed, Renamed, Upload
from tests.transfer.events.test_log import a_file
from transfer.access.principal import ANONYMOUS, Principal, Scope, Visit
from transfer.events.view import Sight, message, require_a_view, sight_of
from transfer.protocol.errors import Forbidden
from transfer.protocol.events import FileEvent, UploadEvent, key_of
from transfer.protocol.names import Name

ID = "abc-1"


def alice(*scopes: Scope, prefix: str = "") -> Principal:
    return Principal(subject="alice", scopes=frozenset(scopes), prefix=prefix)


def seen(event: Event, principal: Principal) -> dict[str, object] | None:
    sight = sight_of(event, principal)
    return None if sight is Sight.NOTHING else message(event, sight, ID).model_dump(exclude_none=True, mode="json")


def test_a_file_that_leaves_a_prefix_vanishes_and_one_that_enters_it_appears() -> None:
    file = a_file(1)
    out, into = Renamed(file, before=Name.parse("mine/a")), Renamed(file, before=Name.parse("other/a"))
    within = alice("read", prefix="mine/")
    assert seen(out, within) == {"type": "file", "event": "deleted", "id": ID, "name": "mine/a"}
    entered = message(into, sight_of(into, alice("read", prefix="1")), ID)
    assert isinstance(entered, FileEvent)
    assert (entered.event, entered.name, entered.file is not None) == ("renamed", None, True)
    assert seen(into, within) is None


def test_an_upload_that_is_taken_up_beyond_a_prefix_ends_there() -> None:
    upload = Upload("1", Name.parse("other/a"), None, 5, "alice")
    event = Progressed(upload, before=Name.parse("mine/a"))
    told = message(event, sight_of(event, alice("upload", prefix="mine/")), ID)
    assert isinstance(told, UploadEvent)
    assert (told.event, str(told.name)) == ("cancelled", "mine/a")
    there = message(event, sight_of(event, alice("upload", prefix="other/")), ID)
    assert isinstance(there, UploadEvent)
    assert (there.event, str(there.name)) == ("progressed", "other/a")


@pytest.mark.parametrize(
    ("scopes", "theirs", "of_others"),
    [
        (["read"], {"completed", "deleted"}, {"completed", "deleted"}),
        (["upload"], {"created", "completed", "deleted"}, set()),
        (["admin"], {"created", "completed", "deleted"}, {"created", "completed"}),
        (["delete", "proxy"], {"completed", "deleted"}, set()),
    ],
)
def test_scopes_say_what_is_seen(scopes: list[Scope], theirs: set[str], of_others: set[str]) -> None:
    principal = alice(*scopes)
    for owner, wanted in (("alice", theirs), ("bob", of_others)):
        file = a_file(1)._replace(owner=owner)
        upload = Upload("1", file.name, 1, 0, owner)
        told = [seen(event, principal) for event in (Created(upload), Completed(file, upload), Deleted(file))]
        assert {event["event"] for event in told if event is not None} == wanted


def test_of_the_end_of_somebody_elses_upload_an_administrator_learns_no_more_than_that_unless_they_may_read() -> None:
    file = a_file(1, note="x")._replace(name=Name.parse("1 (2)"), owner="bob")
    event = Completed(file, Upload("1", Name.parse("1"), 1, 1, "bob"))
    key = key_of("1")
    end = {
        "type": "upload",
        "event": "completed",
        "id": ID,
        "key": key,
        "name": "1",
        "size": 1,
        "offset": 1,
        "owner": "bob",
    }
    assert seen(event, alice("admin")) == end
    read = seen(event, alice("admin", "read"))
    assert read is not None
    assert "file" in read


def test_that_something_was_sent_again_is_nobodys_business_but_the_senders() -> None:
    event = Completed(a_file(1), Upload("1", Name.parse("1"), 1, 1, "bob"), unchanged=True)
    assert seen(event, alice("read")) is None
    assert seen(event, Principal(subject="bob", scopes=frozenset(["upload"]))) is not None


@pytest.mark.parametrize(
    "principal",
    [
        alice("delete", "proxy"),
        Principal(subject="alice", scopes=frozenset(["upload"]), visit=Visit("link", "visitor", None)),
    ],
)
def test_who_can_see_nothing_is_refused(principal: Principal) -> None:
    with pytest.raises(Forbidden):
        require_a_view(principal)
    require_a_view(ANONYMOUS)
