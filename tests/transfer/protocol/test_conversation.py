"""Sender and receiver against each other, over a network that breaks and on a server that crashes.

Hypothesis writes a tape of decisions: who does the next step, how long a frame is, when an ack goes out, and what goes
wrong in between. When the tape has ended nothing goes wrong any more, and the upload has to be completed.
"""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transfer.protocol.simulated import LEAF, Client, Policy, Session, Store, Tape, expected_bytes
from transfer.protocol.errors import TransferError

MAX_FAULTS = 12
IDLE_ROUNDS = 5
FAULTS = 240
"""Decisions from here on are faults."""


class World:
    """A client, a server and what is between them. A stream has no faults that would need it to be read again."""

    def __init__(
        self,
        source: bytes,
        tape: bytes = b"",
        policy: Policy | None = None,
        *,
        stream: bool = False,
        lies: bool = False,
    ) -> None:
        self._tape, self._policy, self._stream = Tape(tape), policy or Policy(), stream
        self.store = Store(lies=lies and not stream)
        self.client = Client(source, self._tape, stream=stream)
        self.session = Session(self.store, self._policy, self._tape)
        self.allowed_bytes: int | None = None
        """How many bytes the client of this run may send; not known before the first `ready`."""
        self._steps = [self.step, self.client_hashes, self.arrive, self.work, self.check_leaf, self.answer]

    # ------------------------------------------------------------------------------------------------------- steps

    def step(self) -> bool:
        acted = self.client.step()
        if acted:
            flying = sum(len(frame) for frame in self.client.frames if isinstance(frame, bytes))
            assert flying + self.session.held() <= self.session.granted, "the server holds no more than it granted"
        return acted

    def client_hashes(self) -> bool:
        return self.client.hash()

    def arrive(self) -> bool:
        if not self.client.frames:
            return False
        self.session.take(self.client.frames.popleft())
        return True

    def work(self) -> bool:
        self.session.now += 0.1
        return self.session.work()

    def check_leaf(self) -> bool:
        return self.session.check_leaf()

    def answer(self) -> bool:
        if not self.session.replies:
            return False
        try:
            opened = self.client.receive(self.session.replies.popleft())
        except TransferError as error:
            if not error.retryable:
                raise
            self._reconnect()
            return True
        if opened and self.allowed_bytes is None:
            self._allow_what_is_needed()
        return True

    def _allow_what_is_needed(self) -> None:
        ready, source = self.client.sender.ready, self.client.source
        assert ready is not None
        upload = self.store.uploads[ready.upload_id]
        self.allowed_bytes = expected_bytes(source, upload.durable, stream=self._stream)
        self.allowed_bytes += upload.damages * LEAF + self.store.lies * len(source)

    def _allow(self, size: int) -> None:
        if self.allowed_bytes is not None:
            self.allowed_bytes += size

    # ------------------------------------------------------------------------------------------------------ faults

    def _reconnect(self) -> None:
        """What was not acknowledged may be sent again."""
        sender = self.client.sender
        self._allow(max(0, sender.position - sender.acked))
        self.client.connected()
        self.session = Session(self.store, self._policy, self._tape)

    def break_off(self) -> None:
        """The connection breaks: some frames still arrive, on either side; the server notices or a newcomer does."""
        for _ in range(self._tape.pick(len(self.client.frames) + 1)):
            self.arrive()
        session = self.session
        for _ in range(self._tape.pick(len(session.replies) + 1)):
            if self.session is session:
                self.answer()
        if self.session is session:
            if self._tape.pick(2):
                session.gone()
            self._reconnect()

    def crash(self) -> None:
        """The machine of the server loses its power: what was on its way is lost, and what was not synced."""
        self._reconnect()

    def lose_answers(self) -> None:
        """What the client sent arrives and is worked off; what the server says to it does not."""
        while self.arrive():
            self.work()
        self.session.gone()
        self._reconnect()

    def damage(self) -> None:
        """While the server was down, its disk changed a byte."""
        self._reconnect()
        for upload in self.store.uploads.values():
            there = [position for span in upload.durable.ranges for position in range(*span)]
            if there and not self._stream:
                upload.damage(there[self._tape.pick(len(there))])
                self._allow(LEAF)

    def rot(self) -> None:
        """The disk changes a byte while the server writes to it."""
        if not self._stream:
            self.session.rot()
            self._allow(LEAF)

    def restart(self) -> None:
        """The client comes back with another source, and with nothing that it knew."""
        source = bytearray(self.client.source)
        for _ in range(self._tape.pick(3)):
            if source:
                source[self._tape.pick(len(source))] ^= 0x0F
        size = (len(source) + self._tape.pick(3) * 5 - self._tape.pick(3) * 6) % 64
        source += bytes(max(0, size - len(source)))
        if self._tape.pick(2):
            self.session.gone()
        self.client = Client(bytes(source[:size]), self._tape, stream=self._stream)
        self.session = Session(self.store, self._policy, self._tape)
        self.allowed_bytes = None

    def fail(self) -> None:
        """The next write or sync fails."""
        self.session.fails = True

    # --------------------------------------------------------------------------------------------------------- run

    def follow_the_tape(self) -> None:
        """Until it or the upload ends."""
        faults = [self.break_off, self.break_off, self.crash, self.damage, self.rot, self.restart, self.fail]
        left = MAX_FAULTS
        while not self._tape.ended and not self.client.complete:
            decision = self._tape.pick(256)
            if decision < FAULTS:
                for _ in range(1 + decision // len(self._steps) % 4):
                    self._steps[decision % len(self._steps)]()
            elif left:
                left -= 1
                faults[decision % len(faults)]()

    def go_on(self, fault: Callable[[], None] | None = None, at: int = -1) -> int:
        """Let everybody act in turn until the upload is complete, with one fault after `at` steps that did something;
        returns how many there were."""
        idle = count = 0
        while not self.client.complete:
            idle += 1
            for step in self._steps:
                if fault is not None and count == at:
                    fault()
                    fault = None
                if step():
                    idle, count = 0, count + 1
            assert idle < IDLE_ROUNDS, "everybody waits for somebody"
        return count

    def check(self) -> None:
        """What has to be true after all that."""
        assert self.store.published == self.client.source
        assert self.allowed_bytes is not None or not self.client.sent_bytes
        assert self.client.sent_bytes <= (self.allowed_bytes or 0)


contents = st.binary(max_size=40)
tapes = st.binary(min_size=100, max_size=500)
policies = st.builds(Policy, st.integers(1, 12), st.integers(1, 40), st.integers(1, 40))


@settings(max_examples=1_000, deadline=None)
@given(contents, tapes, policies, st.booleans(), st.booleans())
def test_whatever_happens_the_file_is_the_source_and_no_more_is_sent_twice_than_has_to_be(
    source: bytes, tape: bytes, policy: Policy, stream: bool, lies: bool
) -> None:
    world = World(source, tape, policy, stream=stream, lies=lies)
    world.follow_the_tape()
    world.go_on()
    world.check()


SOURCE = bytes(range(65, 65 + 45))
OTHER = bytes(range(65, 65 + 10)) + b"!" + SOURCE[11:30] + b"?" + SOURCE[31:]
"""Differs in the leaves 1 and 3."""


def beginning(scene: str) -> World:
    """A world in which something has happened before."""
    world = World(SOURCE, lies=scene == "a lie", stream=scene.startswith("stream"))
    if scene in ("new", "stream", "a lie"):
        return world
    upload = world.store.begin(None if scene.startswith("stream") else len(SOURCE))
    durable = upload.durable
    match scene:
        case "resumed":
            durable.put(0, SOURCE[:20])
        case "changed source" | "stream that changed":
            durable.put(0, OTHER[:36])
        case "all there":
            durable.put(0, SOURCE)
        case "holes":
            durable.put(0, SOURCE[:3])
            durable.put(8, SOURCE[8:16])
            durable.put(20, SOURCE[20:30])
        case "holes and a changed source":
            durable.put(0, OTHER[:3])
            durable.put(8, OTHER[8:16])
            durable.put(20, OTHER[20:])
        case "damage":
            durable.put(0, SOURCE[:30])
            upload.damage(3)
            upload.damage(17)
        case "damage at the end":
            durable.put(0, SOURCE)
            upload.damage(9)
            upload.damage(44)
        case "damage and a changed source":
            durable.put(0, OTHER)
            upload.damage(9)
            upload.damage(20)
        case "damage that nobody can see":
            durable.put(0, SOURCE[:20])
            durable.put(24, SOURCE[24:])
            upload.damage(17)
            del durable.sums[2]
        case _:
            raise AssertionError(scene)
    return world


SCENES = [
    "new",
    "resumed",
    "changed source",
    "all there",
    "holes",
    "holes and a changed source",
    "damage",
    "damage at the end",
    "damage and a changed source",
    "damage that nobody can see",
    "a lie",
    "stream",
    "stream that changed",
]


@pytest.mark.parametrize("fault", ["crash", "lose_answers", "fail", "rot"])
@pytest.mark.parametrize("scene", SCENES)
def test_a_fault_at_any_step_of_any_scene_is_got_over(scene: str, fault: str) -> None:
    world = beginning(scene)
    steps = world.go_on()
    world.check()
    for at in range(steps):
        world = beginning(scene)
        world.go_on(getattr(world, fault), at)
        world.check()


def test_without_faults_every_byte_is_sent_once() -> None:
    world = World(SOURCE)
    world.go_on()
    assert world.client.sent_bytes == len(SOURCE)


def test_an_upload_that_is_all_there_needs_no_byte_again() -> None:
    world = beginning("all there")
    world.go_on()
    assert (world.client.sent_bytes, world.store.published) == (0, SOURCE)


@pytest.mark.parametrize(
    ("scene", "sent"),
    [
        ("changed source", 9 + 8 + 8),
        ("holes", 5 + 4 + 15),
        ("damage", 15 + 8 + 8),
        ("damage at the end", 5 + 8),
        ("damage that nobody can see", 4 + 8),
        ("a lie", 2 * 45),
        ("stream that changed", 45 - 8),
    ],
)
def test_only_what_differs_or_is_not_there_is_sent(scene: str, sent: int) -> None:
    world = beginning(scene)
    world.go_on()
    assert (world.client.sent_bytes, world.store.published) == (sent, SOURCE)
