"""The judge before the trial: what it must call a loss, and what is none."""

import random

import pytest

from client.progress import Ack, Ready, Resending
from tests.crash.aftermath import Aftermath, Listed, Unfinished
from tests.crash.contents import Content, common_prefix
from tests.crash.history import Change, History, Upload

CHANCE = random.Random(0)
OLD, NEW = Content.of(CHANCE, 900, 999), Content.of(CHANCE, 1000, 1999)


def listed(**contents: Content) -> Aftermath:
    """Files whose objects are named like them."""
    there = {name: bytes(content.view) for name, content in contents.items()}
    files = {name: Listed(content.size, content.digest, name) for name, content in contents.items()}
    return Aftermath(files=files, objects={name: len(there[name]) for name in there}, read=lambda name: there[name])


def unfinished(there: bytes, durable: int) -> Aftermath:
    """One upload of the id `u`."""
    uploads = {"u": Unfinished("a", durable, durable, "object")}
    return Aftermath(uploads=uploads, objects={"object": len(there)}, read=lambda _: there)


@pytest.fixture
def history() -> History:
    return History()


def settled(history: History, name: str, content: Content) -> None:
    upload = Upload({name: content})
    history.begin(upload)
    history.told(upload)


def acked(history: History, offset: int) -> Upload:
    """An upload of `NEW` as `a`, acked up to `offset`."""
    upload = Upload({"a": NEW})
    history.begin(upload)
    history.heard(upload, Ready(name="a", upload_id="u", offset=0, size=NEW.size))
    history.heard(upload, Ack(name="a", offset=offset))
    return upload


def test_what_was_promised_and_is_there_is_right(history: History) -> None:
    settled(history, "a", OLD)
    verdict = history.check(listed(a=OLD))
    assert verdict.sentences == []
    assert verdict.files_checked == 1


def test_a_file_that_was_complete_and_is_gone_is_wrong(history: History) -> None:
    settled(history, "a", OLD)
    assert history.check(listed()).wrong_files == 1


def test_a_file_that_nobody_sent_is_wrong(history: History) -> None:
    assert history.check(listed(a=OLD)).wrong_files == 1


def test_a_file_with_one_wrong_byte_is_wrong(history: History) -> None:
    settled(history, "a", OLD)
    found = listed(a=OLD)
    damaged = bytearray(OLD.view)
    damaged[500] ^= 1
    found.read = lambda _: bytes(damaged)
    verdict = history.check(found)
    assert verdict.wrong_files == 1
    assert "from 500 on" in verdict.sentences[0]


def test_a_replacement_that_was_not_answered_may_be_there_or_not(history: History) -> None:
    settled(history, "a", OLD)
    history.begin(replacement := Upload({"a": NEW}))
    assert history.check(listed(a=OLD)).sentences == []
    assert history.underway == [replacement]
    assert history.check(listed(a=NEW)).complete_unknown_to_the_client == 1
    assert history.underway == []
    assert history.check(listed(a=OLD)).wrong_files == 2  # what was seen once stays


def test_a_replacement_that_was_answered_is_there(history: History) -> None:
    settled(history, "a", OLD)
    settled(history, "a", NEW)
    assert history.check(listed(a=OLD)).wrong_files > 0


def test_half_a_rename_is_wrong(history: History) -> None:
    settled(history, "a", OLD)
    history.begin(Change({"a": None, "b": OLD}))
    assert history.check(listed(a=OLD)).sentences == []
    assert history.check(listed(a=OLD, b=OLD)).wrong_files == 1
    assert history.check(listed()).wrong_files == 1
    assert history.check(listed(b=OLD)).sentences == []


def test_acked_bytes_that_are_there_are_counted(history: History) -> None:
    acked(history, 700)
    verdict = history.check(unfinished(bytes(NEW.view[:800]), 800))
    assert verdict.sentences == []
    assert verdict.acked_bytes_checked == 700


@pytest.mark.parametrize(
    ("there", "durable", "lost"),
    [
        (bytes(NEW.view[:600]), 600, 100),
        (bytes(NEW.view[:600]), 700, 100),
        (bytes(NEW.view[:700]), 600, 100),
        (bytes(NEW.view[:300]) + bytes(400), 700, 400),
    ],
    ids=["not said to be there", "said to be there", "there, not said", "zeros"],
)
def test_acked_bytes_that_are_not_there_are_lost(history: History, there: bytes, durable: int, lost: int) -> None:
    acked(history, 700)
    assert history.check(unfinished(there, durable)).acked_bytes_lost == lost


def test_an_upload_that_is_gone_has_lost_everything(history: History) -> None:
    acked(history, 700)
    assert history.check(listed()).acked_bytes_lost == 700


def test_an_upload_that_is_complete_has_lost_nothing(history: History) -> None:
    acked(history, 700)
    assert history.check(listed(a=NEW)).sentences == []


def test_resuming_below_the_last_ack_does_not_count_as_resuming(history: History) -> None:
    upload = acked(history, 700)
    history.heard(upload, Ready(name="a", upload_id="u", offset=600, size=NEW.size))
    assert history.check(unfinished(bytes(NEW.view[:700]), 700)).uploads_that_do_not_resume == 1


def test_sending_acked_bytes_again_hides_nothing(history: History) -> None:
    upload = acked(history, 700)
    history.heard(upload, Resending(name="a", size=100))
    assert history.check(unfinished(bytes(NEW.view[:700]), 700)).uploads_that_do_not_resume == 1


def test_what_the_client_dropped_itself_is_no_loss(history: History) -> None:
    upload = acked(history, 700)
    history.rewritten(upload, 0)
    history.heard(upload, Ready(name="a", upload_id="u", offset=0, size=None))
    assert history.check(unfinished(b"", 0)).sentences == []


def test_an_object_beyond_its_durable_bytes_was_not_cut(history: History) -> None:
    acked(history, 700)
    assert len(history.check(unfinished(bytes(NEW.view[:800]), 700)).sentences) == 1


def test_what_recovery_leaves_behind_is_found(history: History) -> None:
    found = listed()
    found.objects, found.quarantined, found.failed = {"stray": 5, "short": 1}, ["strange"], {"short": "a"}
    assert len(history.check(found).sentences) == 3


def test_the_first_difference_is_found_wherever_it_is() -> None:
    whole = bytes(NEW.view)
    for place in range(0, NEW.size, 7):
        other = bytearray(whole)
        other[place] ^= 1
        assert common_prefix(whole, bytes(other)) == place
    assert common_prefix(whole, whole[:100]) == 100
