"""Whatever a store is asked, in whatever order, and however often it dies: it is what its model is.

A Hypothesis state machine asks the real LocalStore, in a process of its own, and tests/crash/model.py the same. Three
kinds of death come between: an orderly end, SIGKILL, and a power cut, the last two also while something is being done,
and while the store opens again. What was not answered may be done or not; what was answered is.
"""

import copy
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.crash import choosing
from tests.crash.choosing import Choice
from tests.crash.forked_store import Life
from tests.crash.model import Command, Model, Opened, Refused, View, digest
from tests.crash.plan import Plan
from tests.crash.power import FILE_SYSTEMS, LoopDisk, lacking

ROW: Final = "model"
Death = Literal["stop", "kill", "cut"]
DISK_FAILED: Final = (Refused("WriteFailed"), Refused("NoSpace"), Refused("StoreRefused"))
"""The last where SQLite took pages that could not be read for damaged ones."""
CHANGES: Final = {"begin", "resume", "finish", "drop", "cancel", "put", "rename", "delete", "time_passes"}
CHANCE: Final = st.integers(0, 0xFFFF).map(random.Random)


@dataclass(slots=True)
class Place:
    """Where the stores of one run lie, and what was counted there."""

    name: str
    folder: Path
    disk: LoopDisk | None
    stores: int = 0
    counted: dict[str, int] = field(default_factory=dict)
    first_failure: BaseException | None = None
    """Hypothesis tries it once more, and a death has no moment that can be repeated exactly."""

    def new_folder(self) -> Path:
        self.stores += 1
        return self.folder / f"data-{self.stores}"

    def count(self, what: str) -> None:
        self.counted[what] = self.counted.get(what, 0) + 1


class Comparison:
    """A store and what it may be: a single model, but for a moment after a death."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._data = place.new_folder()
        self._now = datetime(2026, 3, 1, tzinfo=UTC)
        self._life = Life(self._data, self._now)
        self._life.opened()
        self._read: set[str] = set()
        self._history: list[str] = []
        self.model = Model(self._now)
        self.sound = True
        """Whether nothing was found so far."""

    @contextmanager
    def _step(self, what: object) -> Iterator[None]:
        self._history.append(str(what))
        try:
            yield
        except BaseException as failure:
            self.sound = False
            failure.add_note("\n".join(["what happened:", *self._history]))
            self._place.first_failure = self._place.first_failure or failure
            raise

    def do(self, command: Command) -> None:
        """Ask both, and look."""
        with self._step(command):
            self._do(command)

    def _do(self, command: Command) -> None:
        self._place.count("steps")
        expected = self.model.ask(command)
        answer = self._life.ask(command)
        assert expected == answer, f"{command}"
        self._learn(command, answer)
        self._look()

    def _learn(self, command: Command, answer: object) -> None:
        if isinstance(answer, Opened):
            self.model.learn(int(str(command.arguments[0])), answer)
        if command.name == "time_passes":
            self._now = self.model.now

    def _look(self) -> None:
        view = self._life.ask(Command("look"))
        assert self.model.look() == view
        for file in self.model.files:
            key = f"{file.number} {file.name}"
            if key not in self._read:
                assert self._life.ask(Command("read", (file.name,))) == file.content
                self._read.add(key)

    # ------------------------------------------------------------------------------------------------------ deaths

    def die(self, command: Command, chance: random.Random) -> None:
        """Orderly, or in the midst of a command, or of nothing; and come back."""
        deaths: list[Death] = ["stop", "kill", "kill"] if self._place.disk is None else ["stop", "kill", "cut", "cut"]
        death = chance.choice(deaths)
        with self._step(death):
            self._die(death, command, chance)

    def _die(self, death: Death, command: Command, chance: random.Random) -> None:
        self._place.count({"stop": "orderly ends", "kill": "kills", "cut": "power cuts"}[death])
        possible = [self.model]
        if death == "stop":
            self._life.ask(Command("stop"))
        elif chance.random() < 0.2:
            self._die_before(command, death)
        else:
            possible = self._die_during(command, death, chance)
        self._restart(death, possible, chance)

    def _die_during(self, command: Command, death: Death, chance: random.Random) -> list[Model]:
        """What was heard before the power was cut is true; ext4 calls a sync that the cut interrupts a success."""
        self._history.append(f"  during {command}")
        self._life.send(command)
        time.sleep(chance.choice((0.0, 0.003, 0.01)) * chance.random())  # the moment of the death
        heard = death == "kill" or self._life.heard()
        self._end(death)
        answer = self._life.last_answer() if heard else None
        if answer is None:
            self._place.count("unknown outcomes")
            return self.model.outcomes(command)
        expected = self.model.ask(command)
        assert expected == answer, f"{command}, as the last"
        self._learn(command, answer)
        return [self.model]

    def _die_before(self, command: Command, death: Death) -> None:
        """A disk without power takes nothing: whatever would change what is there fails."""
        if death == "cut" and self._place.disk is not None and command.name in CHANGES:
            self._place.disk.cut()
            expected = copy.deepcopy(self.model).ask(command)
            answer = self._life.ask(command)
            assert answer in (*DISK_FAILED, expected if isinstance(expected, Refused) else None), (
                f"{command} on a dead disk"
            )
            self._life.kill()
        else:
            self._end(death)

    def _end(self, death: Death) -> None:
        if death == "cut" and self._place.disk is not None:
            self._place.disk.cut()
        self._life.kill()

    def _restart(self, death: Death, possible: list[Model], chance: random.Random) -> None:
        self._life.end()
        if death == "cut" and self._place.disk is not None:
            self._place.disk.restore()
        self._now = max(model.now for model in possible) + timedelta(seconds=chance.choice((0, 0, 60, 100_000)))
        if death != "stop" and chance.random() < 0.3:
            self._die_while_opening(death, chance)
        self._life = Life(self._data, self._now)
        self._life.opened()
        self._read.clear()
        for model in possible:
            model.restarted(self._now)
        self._settle(possible)
        self._look()

    def _die_while_opening(self, death: Death, chance: random.Random) -> None:
        with Life(self._data, self._now):
            time.sleep(chance.random() * 0.015)  # the moment of the death
            if death == "cut" and self._place.disk is not None:
                self._place.disk.cut()
        if death == "cut" and self._place.disk is not None:
            self._place.disk.restore()

    def _settle(self, possible: list[Model]) -> None:
        """Find out which of the possible models it is."""
        view = self._life.ask(Command("look"))
        assert isinstance(view, View)
        for model in possible:
            model.adopt(view)
        left = [model for model in possible if model.look() == view]
        assert left, f"none of {[model.look() for model in possible]} is {view}"
        for number, upload_id in enumerate(sorted(left[0].uploads) if len(left) > 1 else [], start=1):
            request = replace(left[0].uploads[upload_id].request, if_exists="rename")  # no name is refused
            resume = Command("resume", (number, upload_id, request.owner, request, None))
            for command in (resume, Command("leave", (number,))):
                left = self._as_answered(command, left)
        remembered = {(key, known.owner) for model in left for key, known in model.completed.items()}
        for key, owner in sorted(remembered) if len(left) > 1 else []:
            left = self._as_answered(Command("find_completed", (key, owner)), left)
            if left[0].ask(Command("find_completed", (key, owner))) is None:  # its file is gone: nobody can tell
                for model in left:
                    model.completed.pop(key, None)
        left = self._as_answered(Command("remembered"), left)
        assert all(model == left[0] for model in left)
        self.model = left[0]

    def _as_answered(self, command: Command, possible: list[Model]) -> list[Model]:
        answer = self._life.ask(command)
        expected = [(model.ask(command), model) for model in possible]
        left = [model for said, model in expected if said == answer]
        assert left, f"{command}: none of {[said for said, _ in expected]} is {answer}"
        for model in left:
            if isinstance(answer, Opened):
                model.learn(int(str(command.arguments[0])), answer)
        return left

    # ----------------------------------------------------------------------------------------------------- the end

    def complete_everything(self) -> None:
        """Every upload that is left can be resumed, its holes filled, and finished."""
        for upload_id, upload in sorted(self.model.uploads.items()):
            if upload.writer is None:
                self.do(Command("resume", (1_000, upload_id, upload.request.owner, None, None)))
                if upload.writer is None:  # its name is taken
                    continue
            writer = upload.writer
            for start, end in upload.holes:
                self.do(Command("write", (writer, start, choosing.SOURCES[0][start:end])))
            self.do(Command("finish", (writer, digest(bytes(upload.content[: upload.end])))))
            if writer in self.model.writers:  # its name was taken meanwhile
                self.do(Command("leave", (writer,)))
            self._place.count("uploads completed in the end")

    def close(self) -> None:
        self._life.end()
        shutil.rmtree(self._data)


class StoreMachine(RuleBasedStateMachine):
    """What happens, in any order. No rule has a precondition: what is drawn must not depend on how a death ended."""

    place: Place

    def __init__(self) -> None:
        super().__init__()
        self._comparison = Comparison(self.place)

    def _do(self, choice: Choice, chance: random.Random) -> None:
        command = choice(self._comparison.model, chance)
        if chance.random() < 0.07:
            self._comparison.die(command, chance)
        else:
            self._comparison.do(command)

    def teardown(self) -> None:
        try:
            if self._comparison.sound:
                self._comparison.complete_everything()
        finally:
            self._comparison.close()

    @rule(chance=CHANCE)
    def begin(self, chance: random.Random) -> None:
        self._do(choosing.begin, chance)

    @rule(chance=CHANCE)
    def resume(self, chance: random.Random) -> None:
        self._do(choosing.resume, chance)

    @rule(chance=CHANCE)
    def write(self, chance: random.Random) -> None:
        self._do(choosing.write, chance)

    @rule(chance=CHANCE)
    def write_and_sync(self, chance: random.Random) -> None:
        self._do(choosing.write, chance)
        self._do(choosing.sync, chance)

    @rule(chance=CHANCE)
    def write_too_much(self, chance: random.Random) -> None:
        self._do(choosing.write_too_much, chance)

    @rule(chance=CHANCE)
    def forget(self, chance: random.Random) -> None:
        self._do(choosing.forget, chance)

    @rule(chance=CHANCE)
    def finish(self, chance: random.Random) -> None:
        self._do(choosing.finish, chance)

    @rule(chance=CHANCE)
    def leave(self, chance: random.Random) -> None:
        self._do(choosing.leave, chance)

    @rule(chance=CHANCE)
    def drop(self, chance: random.Random) -> None:
        self._do(choosing.drop, chance)

    @rule(chance=CHANCE)
    def haunt(self, chance: random.Random) -> None:
        self._do(choosing.haunt, chance)

    @rule(chance=CHANCE)
    def cancel(self, chance: random.Random) -> None:
        self._do(choosing.cancel, chance)

    @rule(chance=CHANCE)
    def put(self, chance: random.Random) -> None:
        self._do(choosing.put, chance)

    @rule(chance=CHANCE)
    def rename(self, chance: random.Random) -> None:
        self._do(choosing.rename, chance)

    @rule(chance=CHANCE)
    def delete(self, chance: random.Random) -> None:
        self._do(choosing.delete, chance)

    @rule(chance=CHANCE)
    def time_passes(self, chance: random.Random) -> None:
        self._do(choosing.time_passes, chance)

    @rule(chance=CHANCE)
    def look_up(self, chance: random.Random) -> None:
        self._do(choosing.look_up, chance)


def run(place: Place, plan: Plan, sequences: int) -> None:
    """Run it on this place, with chance of the plan's, and report."""
    machine = seed(plan.chance(ROW, place.name).getrandbits(64))(type("Machine", (StoreMachine,), {"place": place}))
    wanted = settings(
        max_examples=sequences,
        stateful_step_count=plan.count(100, 1_000),
        deadline=None,
        database=None,
        print_blob=False,
        phases=(Phase.generate,),  # a death has no moment that shrinking could repeat
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(machine, settings=wanted)
    except HypothesisException as unclear:
        raise place.first_failure or unclear from unclear
    finally:
        plan.report(ROW, **{key.replace(" ", "_"): count for key, count in place.counted.items()})


@pytest.fixture(params=["no_disk_of_its_own", *FILE_SYSTEMS])
def place(request: pytest.FixtureRequest, plan: Plan, tmp_path: Path) -> Iterator[Place]:
    if request.param not in FILE_SYSTEMS:
        yield Place(request.param, tmp_path, None)
        return
    if lack := lacking(request.param):
        plan.missing(lack)
    with LoopDisk(tmp_path, request.param) as disk:
        yield Place(request.param, disk.path, disk)


def test_a_store_is_what_its_model_is(place: Place, plan: Plan) -> None:
    run(place, plan, plan.count(17, 67))
