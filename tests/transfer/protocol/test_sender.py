from datetime import UTC, datetime

import pytest

from transfer.protocol import limits, sender
from transfer.protocol.digest import digest_bytes
from transfer.protocol.errors import (
    BadMessage,
    Busy,
    DigestMismatch,
    Exists,
    InvalidName,
    NotFound,
    ShuttingDown,
    SizeMismatch,
    StorageFailure,
    Superseded,
    TransferError,
)
from transfer.protocol.messages import (
    AckMessage,
    AuthorizedMessage,
    CancelledMessage,
    CancelMessage,
    CompleteMessage,
    EchoMessage,
    EofMessage,
    ErrorMessage,
    FileEntry,
    MissingMessage,
    ReadyMessage,
    ServerMessage,
    UploadHeader,
    VerifyingMessage,
    encode_leaves,
)
from transfer.protocol.names import Name
from transfer.protocol.ranges import Range, RangeSet
from transfer.protocol.sender import ALLOWED, Compare, Phase, SendBytes, Sender, SendMessage, Wait

NAME = Name.parse("cargo.bin")
DIGEST = digest_bytes(b"cargo")
OTHER = digest_bytes(b"other")
SIZE = 40
CHUNK, WINDOW, LEAF = 8, 20, 8
COMPLETE = CompleteMessage(
    file=FileEntry(
        name=NAME,
        size=SIZE,
        digest=DIGEST,
        content_type="text/plain",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        owner="anonymous",
        url="/files/cargo.bin",
    )
)


def ready(
    offset: int = 0, *, missing: list[tuple[int, int]] | None = None, size: int | None = SIZE, window: int = WINDOW
) -> ReadyMessage:
    return ReadyMessage(
        upload_id="u",
        lease="l",
        name=NAME,
        size=size,
        offset=offset,
        chunk_size=CHUNK,
        window=window,
        leaf_size=LEAF,
        missing=None if missing is None else tuple(Range(*span) for span in missing),
    )


def missing(*spans: tuple[int, int]) -> MissingMessage:
    return MissingMessage(ranges=tuple(Range(*span) for span in spans))


def error(kind: type[TransferError], **facts: str) -> ErrorMessage:
    return ErrorMessage.of(kind("no", **facts))


def header_of(sender: Sender) -> UploadHeader:
    """The next action, which is to send a header."""
    action = sender.next()
    assert isinstance(action, SendMessage)
    assert isinstance(action.message, UploadHeader)
    return action.message


def eof_of(sender: Sender) -> EofMessage:
    action = sender.next()
    assert isinstance(action, SendMessage)
    assert isinstance(action.message, EofMessage)
    return action.message


def waits(sender: Sender) -> bool:
    return sender.next() == Wait()


def opened(answer: ReadyMessage | None = None, *, size: int | None = SIZE) -> Sender:
    """A sender on its first connection, which has its first answer."""
    sender = Sender(UploadHeader(name=NAME, size=size))
    sender.connected()
    header_of(sender)
    sender.received(answer or ready(size=size))
    return sender


def send_all(sender: Sender) -> list[tuple[int, int]]:
    """Send what the sender wants to, acknowledging each piece; returns which bytes."""
    sent = []
    while isinstance(action := sender.next(), SendBytes):
        sent.append((action.offset, action.offset + action.size))
        sender.sent(action.size)
        sender.received(AckMessage(offset=action.offset + action.size))
    return list(RangeSet.of(*sent))


def finishing() -> Sender:
    """A sender that has sent `eof`."""
    sender = opened(ready(SIZE))
    sender.source_ended(SIZE, DIGEST)
    eof_of(sender)
    return sender


def fill_range(sender: Sender, span: tuple[int, int], *, rewrite: bool) -> None:
    """The next thing is to send this range; do it."""
    header = header_of(sender)
    assert (header.range, header.rewrite) == (Range(*span), rewrite)
    assert (header.upload_id, header.lease) == ("u", "l")
    assert sender.in_range
    sender.received(ready(span[0]))
    assert send_all_of_range(sender, span) == [span]


def send_all_of_range(sender: Sender, span: tuple[int, int]) -> list[tuple[int, int]]:
    """Like `send_all`, but what comes after the range is left for the next question."""
    sent = []
    while sender.position < span[1]:
        action = sender.next()
        assert isinstance(action, SendBytes)
        sent.append((action.offset, action.offset + action.size))
        sender.sent(action.size)
        assert sender.position == action.offset + action.size
        if sender.position == span[1]:
            assert waits(sender), "the ack of its end ends a range"
        sender.received(AckMessage(offset=sender.position))
    return list(RangeSet.of(*sent))


# ------------------------------------------------------------------------------------------------------------- opening


def test_a_connection_begins_with_the_header() -> None:
    sender = Sender(UploadHeader(name=NAME, size=SIZE))
    sender.connected()
    assert header_of(sender) == UploadHeader(name=NAME, size=SIZE)
    assert sender.phase is Phase.OPENING
    assert waits(sender)


def test_the_next_connection_continues_the_upload_as_its_holder() -> None:
    sender = opened()
    sender.sent(8)
    sender.connected()
    assert header_of(sender) == UploadHeader(name=NAME, size=SIZE, upload_id="u", lease="l")
    sender.received(ready(4))
    assert sender.next() == SendBytes(4, 8), "from what is durable on"


def test_an_upload_that_was_completed_meanwhile_is_complete() -> None:
    sender = finishing()
    sender.connected()
    assert header_of(sender).upload_id == "u"
    sender.received(COMPLETE)
    assert (sender.phase, sender.complete) == (Phase.OVER, COMPLETE)


@pytest.mark.parametrize("kind", [Exists, InvalidName, Superseded, Busy, NotFound])
def test_a_refused_header_is_the_end(kind: type[TransferError]) -> None:
    sender = Sender(UploadHeader(name=NAME))
    sender.connected()
    header_of(sender)
    with pytest.raises(kind):
        sender.received(error(kind))
    assert sender.phase is Phase.OVER


def test_after_an_error_that_can_be_retried_the_next_connection_goes_on() -> None:
    sender = opened()
    with pytest.raises(StorageFailure):
        sender.received(error(StorageFailure))
    sender.connected()
    assert header_of(sender).upload_id == "u"


# ------------------------------------------------------------------------------------------------------------- sending


def test_bytes_go_out_within_the_window_and_acks_open_it() -> None:
    sender = opened()
    for offset in (0, 8):
        assert sender.next() == SendBytes(offset, 8)
        sender.sent(8)
    assert waits(sender), "24 bytes would be in flight, the window has 20"
    sender.received(AckMessage(offset=3))
    assert waits(sender)
    sender.received(AckMessage(offset=4))
    assert sender.next() == SendBytes(16, 8)


def test_a_source_may_give_less_than_was_asked_for() -> None:
    sender = opened()
    sender.next()
    sender.sent(3)
    assert sender.next() == SendBytes(3, 8)


def test_one_chunk_may_always_be_in_flight() -> None:
    sender = opened(ready(window=1))
    assert sender.next() == SendBytes(0, 8)
    sender.sent(8)
    assert waits(sender)
    sender.received(AckMessage(offset=8))
    assert sender.next() == SendBytes(8, 8)


def test_an_ack_may_carry_a_new_window() -> None:
    sender = opened()
    sender.next()
    sender.sent(8)
    sender.received(AckMessage(offset=0, window=15))
    assert waits(sender)
    sender.received(AckMessage(offset=0))
    assert waits(sender), "it stays"
    sender.received(AckMessage(offset=0, window=16))
    assert sender.next() == SendBytes(8, 8)


def test_acks_do_not_go_back() -> None:
    sender = opened()
    sender.next()
    sender.sent(8)
    sender.received(AckMessage(offset=8))
    sender.received(AckMessage(offset=2))
    assert sender.acked == 8


def test_the_last_chunk_ends_where_the_source_does() -> None:
    sender = opened(ready(36))
    assert sender.next() == SendBytes(36, 4)


def test_no_chunk_is_larger_than_a_message_may_be() -> None:
    sender = opened(ready().model_copy(update={"chunk_size": limits.MAX_SIZE, "window": limits.MAX_SIZE}), size=None)
    assert sender.next() == SendBytes(0, limits.MAX_MESSAGE_BYTES)


def test_eof_follows_the_last_byte_once_the_digest_is_known() -> None:
    sender = opened(ready(36))
    sender.next()
    sender.sent(4)
    assert (sender.next(), sender.digest) == (Wait(), None), "it is still being computed"
    sender.source_ended(SIZE, DIGEST)
    assert sender.digest == DIGEST
    assert eof_of(sender) == EofMessage(digest=DIGEST)
    assert sender.phase is Phase.FINISHING
    assert waits(sender)


def test_an_empty_file_is_a_header_and_an_eof() -> None:
    sender = opened(size=0)
    sender.source_ended(0, DIGEST)
    assert eof_of(sender) == EofMessage(digest=DIGEST)


def test_a_stream_ends_where_its_source_says() -> None:
    sender = opened(size=None)
    assert sender.next() == SendBytes(0, 8)
    sender.sent(5)
    assert sender.next() == SendBytes(5, 8)
    sender.source_ended(5, DIGEST)
    assert eof_of(sender) == EofMessage(digest=DIGEST)
    sender.connected()
    assert header_of(sender).size == 5, "known by now"


def test_while_eof_is_worked_off_the_server_says_how_far_it_is() -> None:
    sender = finishing()
    for message in (AckMessage(offset=SIZE), VerifyingMessage(offset=8), missing((0, 8))):
        sender.received(message)
        assert waits(sender)
    sender.received(COMPLETE)
    assert sender.complete == COMPLETE


# --------------------------------------------------------------------------------------------------------------- holes


def test_holes_are_filled_first_then_the_upload_is_opened_again_at_its_end() -> None:
    sender = opened(ready(4, missing=[(4, 8), (12, 16)]))
    fill_range(sender, (4, 8), rewrite=False)
    fill_range(sender, (12, 16), rewrite=False)
    header = header_of(sender)
    assert (header.range, header.upload_id, sender.in_range) == (None, "u", False)
    sender.received(AckMessage(offset=16))  # late, of the range
    sender.received(ready(24))
    assert send_all(sender) == [(24, SIZE)]
    sender.source_ended(SIZE, DIGEST)
    assert eof_of(sender) == EofMessage(digest=DIGEST)


def test_a_range_goes_on_where_the_server_says() -> None:
    sender = opened(ready(4, missing=[(4, 24)]))
    header_of(sender)
    sender.received(ready(10))
    assert send_all_of_range(sender, (10, 24)) == [(10, 24)]


def test_the_window_holds_in_a_range_too() -> None:
    sender = opened(ready(0, missing=[(0, 32)]))
    header_of(sender)
    sender.received(ready(0, window=8))
    assert sender.next() == SendBytes(0, 8)
    sender.sent(8)
    assert waits(sender)


def test_a_hole_that_shows_while_sending_is_filled_at_once_whatever_is_in_flight() -> None:
    sender = opened(ready(16))
    sender.next()
    sender.sent(8)
    sender.received(missing((8, 16)))
    sender.received(AckMessage(offset=8))  # the server can acknowledge no more, and a window would never open again
    fill_range(sender, (8, 16), rewrite=False)
    assert header_of(sender).range is None
    sender.received(ready(24))
    assert sender.next() == SendBytes(24, 8), "what was in flight is there"


def test_a_hole_that_shows_after_everything_was_sent_is_filled_before_eof() -> None:
    sender = opened(ready(36))
    sender.next()
    sender.sent(4)
    assert waits(sender)
    sender.received(missing((0, 8)))
    fill_range(sender, (0, 8), rewrite=False)
    sender.source_ended(SIZE, DIGEST)
    assert eof_of(sender) == EofMessage(digest=DIGEST, upload_id="u", lease="l"), "the operation before was left"


def test_a_hole_in_a_range_that_was_just_sent_is_filled_too() -> None:
    sender = opened(ready(0, missing=[(0, 24)]))
    header_of(sender)
    sender.received(ready(0))
    sender.next()
    sender.sent(8)
    sender.received(missing((0, 8)))
    fill_range(sender, (0, 24), rewrite=False)
    assert header_of(sender).range is None


def test_a_hole_in_a_range_that_was_acknowledged_is_not_forgotten() -> None:
    sender = opened(ready(0, missing=[(0, 8)]))
    header_of(sender)
    sender.received(ready(0))
    sender.next()
    sender.sent(8)
    sender.received(AckMessage(offset=8))
    sender.received(missing((0, 8)))
    fill_range(sender, (0, 8), rewrite=False)


def test_a_hole_elsewhere_waits_for_the_end_of_the_range() -> None:
    sender = opened(ready(0, missing=[(0, 16)]))
    header_of(sender)
    sender.received(ready(0))
    sender.next()
    sender.sent(8)
    sender.received(missing((24, 32)))
    assert sender.next() == SendBytes(8, 8)
    sender.sent(8)
    sender.received(AckMessage(offset=16))
    fill_range(sender, (24, 32), rewrite=False)


def test_a_hole_that_is_told_late_counts() -> None:
    sender = opened(ready(0, missing=[(0, 8)]))
    header_of(sender)
    sender.received(missing((16, 24)))
    sender.received(ready(0))
    send_all_of_range(sender, (0, 8))
    fill_range(sender, (16, 24), rewrite=False)


def test_holes_that_show_after_eof_are_asked_for_anew() -> None:
    sender = finishing()
    sender.received(missing((8, 16)))
    sender.received(error(SizeMismatch))
    assert header_of(sender).range is None
    sender.received(ready(8, missing=[(8, 16)]))
    fill_range(sender, (8, 16), rewrite=False)
    assert header_of(sender).range is None
    sender.received(ready(SIZE))
    assert eof_of(sender) == EofMessage(digest=DIGEST)


def test_bytes_that_are_missing_after_ranges_are_asked_for_even_if_nobody_told_which() -> None:
    sender = opened(ready(SIZE))
    sender.source_ended(SIZE, DIGEST)
    sender.differs(RangeSet.of((0, 8)))
    fill_range(sender, (0, 8), rewrite=True)
    assert eof_of(sender).upload_id == "u"
    sender.received(error(SizeMismatch))
    assert header_of(sender).range is None
    sender.received(ready(32))
    assert send_all(sender) == [(32, SIZE)]


def test_a_size_mismatch_that_cannot_be_explained_is_the_end() -> None:
    sender = finishing()
    with pytest.raises(SizeMismatch):
        sender.received(error(SizeMismatch))
    assert sender.phase is Phase.OVER


# ------------------------------------------------------------------------------------------------------------ rewrites


def test_leaves_that_differ_are_sent_again_after_everything_was_sent_and_acknowledged() -> None:
    sender = opened(ready(32))
    sender.differs(RangeSet.of((0, 8), (16, 32)))
    assert sender.next() == SendBytes(32, 8)
    sender.sent(8)
    sender.source_ended(SIZE, DIGEST)
    assert waits(sender)
    sender.received(AckMessage(offset=40))
    fill_range(sender, (0, 8), rewrite=True)
    fill_range(sender, (16, 32), rewrite=True)
    assert eof_of(sender) == EofMessage(digest=DIGEST, upload_id="u", lease="l")


def test_leaves_that_are_found_to_differ_while_others_are_rewritten_follow() -> None:
    sender = opened(ready(SIZE))
    sender.differs(RangeSet.of((0, 8)))
    header_of(sender)
    sender.received(ready(0))
    sender.differs(RangeSet.of((8, 16)))
    send_all_of_range(sender, (0, 8))
    fill_range(sender, (8, 16), rewrite=True)
    assert waits(sender), "the digest is not known"
    sender.source_ended(SIZE, DIGEST)
    assert eof_of(sender).upload_id == "u"


def test_after_a_break_what_differs_is_found_anew() -> None:
    sender = opened(ready(SIZE))
    sender.source_ended(SIZE, DIGEST)
    sender.differs(RangeSet.of((0, 8)))
    header_of(sender)
    sender.connected()
    assert header_of(sender).range is None
    sender.received(ready(0, missing=[(0, 8)]))  # the server had begun to forget it
    fill_range(sender, (0, 8), rewrite=False)
    header_of(sender)
    sender.received(ready(SIZE))
    assert eof_of(sender).upload_id is None


# ------------------------------------------------------------------------------------------------------------- repairs


def mismatch(*leaves: bytes) -> ErrorMessage:
    return error(DigestMismatch, leaves=encode_leaves(b"".join(leaves)))


def test_when_the_digests_differ_the_leaves_are_compared_and_sent_again() -> None:
    sender = finishing()
    sender.received(mismatch(b"a" * 16, b"b" * 16))
    assert sender.next() == Compare((b"a" * 16, b"b" * 16))
    assert sender.next() == Compare((b"a" * 16, b"b" * 16)), "until the answer"
    sender.differs(RangeSet.of((8, 16)))
    fill_range(sender, (8, 16), rewrite=True)
    assert eof_of(sender) == EofMessage(digest=DIGEST, upload_id="u", lease="l")
    sender.received(COMPLETE)
    assert sender.phase is Phase.OVER


def test_leaves_that_are_none_are_a_bad_message() -> None:
    with pytest.raises(BadMessage, match="the leaves are not base64"):
        finishing().received(error(DigestMismatch, leaves="?"))


def cancelling() -> Sender:
    """A sender that starts over, and has said so."""
    sender = finishing()
    sender.received(mismatch(b"a" * 16))
    sender.start_over()
    expect_cancel(sender)
    return sender


def expect_cancel(sender: Sender) -> None:
    assert sender.phase is Phase.CANCELLING
    header = header_of(sender)
    assert (header.upload_id, header.lease, header.range) == ("u", "l", None)
    assert sender.next() == SendMessage(CancelMessage())
    assert waits(sender)


def expect_a_new_upload(sender: Sender) -> None:
    assert (sender.ready, sender.digest) == (None, None)
    assert header_of(sender) == UploadHeader(name=NAME, size=SIZE, resume=False)
    sender.received(ready())
    assert send_all(sender) == [(0, SIZE)]


def test_when_no_leaf_differs_the_upload_is_dropped_and_everything_sent_anew() -> None:
    sender = cancelling()
    for message in (ready(SIZE), AckMessage(offset=SIZE), missing((0, 8))):
        sender.received(message)
        assert waits(sender)
    sender.received(CancelledMessage())
    expect_a_new_upload(sender)


def test_everything_is_sent_anew_only_once() -> None:
    sender = cancelling()
    sender.received(CancelledMessage())
    expect_a_new_upload(sender)
    sender.source_ended(SIZE, DIGEST)
    eof_of(sender)
    sender.received(mismatch(b"a" * 16))
    with pytest.raises(DigestMismatch, match="differs again after everything was sent anew"):
        sender.start_over()


def test_an_upload_that_is_being_dropped_is_dropped_on_the_next_connection_too() -> None:
    sender = cancelling()
    sender.connected()
    expect_cancel(sender)
    with pytest.raises(StorageFailure):
        sender.received(error(StorageFailure))
    sender.connected()
    expect_cancel(sender)
    sender.received(error(NotFound))  # it had been dropped, and the answer was lost
    expect_a_new_upload(sender)


@pytest.mark.parametrize("answer", [CancelledMessage(), error(NotFound)])
def test_an_upload_that_is_abandoned_is_dropped_before_its_error_is_raised(answer: ServerMessage) -> None:
    sender, why = opened(), Exists("the name is taken")
    sender.abandon(why)
    expect_cancel(sender)
    sender.received(ready())
    sender.connected()
    expect_cancel(sender)
    with pytest.raises(Exists) as raised:
        sender.received(answer)
    assert raised.value is why
    assert sender.phase is Phase.OVER


def test_who_was_superseded_while_dropping_an_upload_does_not_begin_another() -> None:
    with pytest.raises(Superseded):
        cancelling().received(error(Superseded))


# ------------------------------------------------------------------------------------------- streams, known digests


def test_a_stream_that_changed_is_cut_and_goes_on_as_a_stream() -> None:
    sender = opened(ready(20, size=None), size=None)
    sender.cut(8)
    header = header_of(sender)
    assert (header.upload_id, header.size) == ("u", 8)
    sender.received(AckMessage(offset=20))  # late
    sender.received(ready(8, size=8))
    sender.received(missing((0, 8)))  # may come at any time
    header = header_of(sender)
    assert (header.upload_id, header.size) == ("u", None)
    sender.received(ready(8, size=None))
    assert sender.next() == SendBytes(8, 8)


def test_a_stream_that_is_to_be_cut_is_cut_on_the_next_connection_too() -> None:
    sender = opened(ready(20, size=None), size=None)
    sender.cut(8)
    header_of(sender)
    sender.connected()
    assert header_of(sender).size == 8
    sender.received(ready(8, size=8))
    assert header_of(sender).size is None
    sender.connected()
    assert header_of(sender).size is None, "it is done"


def test_a_server_that_does_not_cut_a_stream_is_not_asked_for_ever() -> None:
    sender = opened(ready(20, size=None), size=None)
    sender.cut(8)
    header_of(sender)
    with pytest.raises(BadMessage, match="from 8 on, and says 20"):
        sender.received(ready(20, size=8))


def test_a_digest_that_the_name_has_already_is_asked_with() -> None:
    sender = opened()
    sender.ask_with(OTHER)
    header = header_of(sender)
    assert (header.upload_id, header.digest) == ("u", OTHER)
    sender.received(COMPLETE.model_copy(update={"unchanged": True}))
    assert sender.phase is Phase.OVER


def test_a_digest_that_the_name_has_no_longer_is_not_asked_with_again() -> None:
    sender = opened()
    sender.ask_with(OTHER)
    header_of(sender)
    sender.connected()
    assert header_of(sender).digest == OTHER, "unanswered"
    sender.received(ready())
    sender.connected()
    assert header_of(sender).digest is None


# --------------------------------------------------------------------------------------------------------------- table

MESSAGES: dict[str, ServerMessage] = {
    "ready": ready(),
    "ack": AckMessage(offset=0),
    "missing": missing((0, 8)),
    "verifying": VerifyingMessage(offset=0),
    "complete": COMPLETE,
    "cancelled": CancelledMessage(),
    "error": error(ShuttingDown),
    "echo": EchoMessage(text="?"),
    "authorized": AuthorizedMessage(subject="alice"),
}
NOT_OF_AN_UPLOAD = {"echo", "authorized"}


def in_phase(phase: Phase) -> Sender:
    sender = Sender(UploadHeader(name=NAME, size=SIZE, upload_id="u", lease="l"))
    sender.phase = phase
    return sender


def documented() -> dict[tuple[str, Phase], str]:
    """The table of the docstring: what stands under each phase."""
    lines = (sender.__doc__ or "").splitlines()
    head = next(line for line in lines if line.split()[:1] == ["message"])
    phases = [Phase[word] for word in head.split()[1:]]
    columns = [head.index(phase.name) for phase in phases]
    cells = {}
    for line in lines[lines.index(head) + 2 :][: len(MESSAGES) - len(NOT_OF_AN_UPLOAD)]:
        for phase, start, end in zip(phases, columns, [*columns[1:], 200], strict=True):
            cells[line.split()[0], phase] = line[start:end].strip()
    return cells


DOCUMENTED = documented()


@pytest.mark.parametrize("phase", Phase, ids=lambda phase: phase.name)
@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_that_makes_no_sense_here_is_a_bad_message_and_the_others_are_not(message: str, phase: Phase) -> None:
    sender, said = in_phase(phase), MESSAGES[message]
    meaning = DOCUMENTED.get((message, phase), "")
    assert bool(meaning) == isinstance(said, ALLOWED.get(phase, ()))
    if message == "error" and meaning:
        with pytest.raises(ShuttingDown):
            sender.received(said)
    elif meaning:
        sender.received(said)
    else:
        with pytest.raises(BadMessage) as refusal:
            sender.received(said)
        assert str(refusal.value) == f"the server said {message!r} while the upload was {phase.name.lower()}"
    if meaning in ("late", "ignored", ""):
        assert (sender.phase, sender.acked) == (phase, 0)


def test_the_table_of_the_docstring_has_a_row_for_each_message() -> None:
    assert {message for message, _ in DOCUMENTED} == set(MESSAGES) - NOT_OF_AN_UPLOAD
    assert {phase for _, phase in DOCUMENTED} == set(Phase) - {Phase.OVER}


@pytest.mark.parametrize("phase", [Phase.HEADER, Phase.OPENING, Phase.CANCELLING])
def test_a_late_ack_moves_nothing(phase: Phase) -> None:
    sender = in_phase(phase)
    sender.received(AckMessage(offset=30, window=1))
    assert sender.acked == 0


# ---------------------------------------------------------------------------------------------------- one of several


def test_what_is_handed_out_is_sent_as_ranges_and_nothing_else() -> None:
    sender = Sender(UploadHeader(name=NAME, size=SIZE, upload_id="u", lease="l"))
    sender.assist()
    for span in ((8, 24), (32, 40)):
        before = sender.idle
        sender.hand_out(Range(*span))
        assert (before, sender.idle) == (True, False)
        assert header_of(sender).range == Range(*span)
        sender.received(ready(span[0]))
        assert send_all(sender) == [span]
    assert sender.idle


def test_the_next_range_may_follow_when_all_of_one_was_sent() -> None:
    """Its ack comes late."""
    sender = Sender(UploadHeader(name=NAME, size=SIZE, upload_id="u", lease="l"))
    sender.assist()
    sender.hand_out(Range(0, 8))
    header_of(sender)
    sender.received(ready(0))
    assert not sender.all_sent
    sender.sent(8)
    assert (sender.all_sent, sender.idle) == (True, False)
    sender.hand_out(Range(8, 16))
    assert header_of(sender).range == Range(8, 16)
    sender.received(AckMessage(offset=8))
    sender.received(ready(8))
    assert send_all(sender) == [(8, 16)]


def test_all_that_lies_ahead_can_be_divided_unless_something_is_to_be_mended_first() -> None:
    assert not Sender(UploadHeader(name=NAME, size=SIZE)).divisible
    assert opened(ready(8)).divisible
    assert not opened(size=None).divisible
    assert not opened(ready(8, missing=[(8, 16)])).divisible


def test_what_others_have_sent_is_finished_with_an_eof_of_its_own_after_what_differs() -> None:
    sender = opened(ready(8))
    sender.differs(RangeSet.of((0, 8)))
    sender.divided()
    fill_range(sender, (0, 8), rewrite=True)
    assert waits(sender)
    sender.source_ended(SIZE, DIGEST)
    assert eof_of(sender) == EofMessage(digest=DIGEST, upload_id="u", lease="l")


def test_what_others_have_heard_to_be_complete_is() -> None:
    sender = opened(ready(8))
    sender.divided(COMPLETE)
    assert (sender.complete, sender.phase) == (COMPLETE, Phase.OVER)


def test_after_a_break_what_others_have_sent_is_asked_for_as_a_whole() -> None:
    sender = opened(ready(8))
    sender.divided()
    sender.connected()
    header = header_of(sender)
    assert (header.range, header.upload_id, header.lease) == (None, "u", "l")
