"""What the model-based test asks next: for each thing that can be asked, one that makes sense, by chance.

Where there is nothing to ask it of, it is something else: what is drawn must not depend on how a death ended.
"""

import random
from collections.abc import Callable
from typing import Final, get_args

from storage.store import IfExists, UploadRequest
from tests.crash.model import EXPIRY, Command, Model, digest
from tests.storage.conformance.asking import ANN, BOB
from transfer.protocol.names import Name

NAMES: Final = ("a.bin", "A.bin", "b.bin", "a.bin/x", "dir/c", "dir/C", "dir", "e")
SIZES: Final = (None, None, 0, 1, 512, 4095, 4096, 4097, 9000, 12_288, 30_000, 70_000, 4096 * 65 + 100)
LENGTHS: Final = (1, 512, 904, 4096, 8192, 20_000)
SOURCES: Final = [random.Random(number).randbytes(300_000) for number in range(2)]
MAX_UPLOADS: Final = 8
MAX_STREAM: Final = 100_000
Choice = Callable[[Model, random.Random], Command]


def connected(model: Model) -> list[int]:
    return [writer for writer, upload_id in model.writers.items() if upload_id is not None]


def superseded(model: Model) -> list[int]:
    return [writer for writer, upload_id in model.writers.items() if upload_id is None]


def _request(chance: random.Random, owner: str, size: int | None) -> UploadRequest:
    if_exists: IfExists = chance.choice(get_args(IfExists))
    return UploadRequest(name=Name.parse(chance.choice(NAMES)), size=size, owner=owner, if_exists=if_exists)


def _new_writer(model: Model) -> int:
    return max(model.writers, default=0) + 1


def begin(model: Model, chance: random.Random) -> Command:
    if len(model.uploads) >= MAX_UPLOADS:
        return cancel(model, chance)
    request = _request(chance, chance.choice((ANN, BOB)), chance.choice(SIZES))
    return Command("begin", (_new_writer(model), request))


def resume(model: Model, chance: random.Random) -> Command:
    """By whoever it belongs to, mostly; somebody may be connected."""
    if not model.uploads:
        return begin(model, chance)
    upload_id = chance.choice(sorted(model.uploads))
    upload = model.uploads[upload_id]
    owner = upload.request.owner if chance.random() < 0.9 else chance.choice((ANN, BOB))
    request = None
    if chance.random() < 0.4:
        size = upload.request.size if chance.random() < 0.5 else chance.choice(SIZES)
        request = _request(chance, owner, size)
    lease = upload.lease if chance.random() < 0.4 else None
    return Command("resume", (_new_writer(model), upload_id, owner, request, lease))


def write(model: Model, chance: random.Random) -> Command:
    """Into a hole, mostly the first and from its start; a stream goes on anywhere."""
    if not connected(model):
        return resume(model, chance)
    writer = chance.choice(connected(model))
    upload = model.of(writer)
    end = upload.end if upload.request.size is not None else min(MAX_STREAM, upload.end + chance.choice(LENGTHS))
    holes = upload.holes + ([(upload.end, end)] if end > upload.end else [])
    if not holes:
        return Command("sync", (writer,))
    start, end = holes[0] if chance.random() < 0.7 else chance.choice(holes)
    if chance.random() < 0.3:
        start += chance.randrange(0, end - start, min(512, end - start))
    if chance.random() < 0.6:
        end = min(end, start + chance.choice(LENGTHS))
    return Command("write", (writer, start, chance.choice(SOURCES)[start:end]))


def write_too_much(model: Model, chance: random.Random) -> Command:
    if not connected(model):
        return resume(model, chance)
    writer = chance.choice(connected(model))
    size = model.of(writer).request.size
    return Command("sync", (writer,)) if size is None else Command("write", (writer, size, b"beyond"))


def sync(model: Model, chance: random.Random) -> Command:
    if not connected(model):
        return resume(model, chance)
    return Command("sync", (chance.choice(connected(model)),))


def forget(model: Model, chance: random.Random) -> Command:
    """Whole leaves, the last of which may be shorter."""
    if not connected(model):
        return resume(model, chance)
    writer = chance.choice(connected(model))
    upload = model.of(writer)
    leaves = -(-upload.end // upload.leaf)
    if not leaves:
        return Command("sync", (writer,))
    first = chance.randrange(leaves)
    last = chance.randrange(first, min(leaves, first + 3))
    return Command("forget", (writer, first * upload.leaf, min((last + 1) * upload.leaf, upload.end)))


def finish(model: Model, chance: random.Random) -> Command:
    """One that is whole, where there is one; with the right digest, mostly."""
    if not connected(model):
        return resume(model, chance)
    whole = [writer for writer in connected(model) if not model.of(writer).holes]
    writer = chance.choice(whole or connected(model))
    upload = model.of(writer)
    content = bytes(upload.content[: upload.end])
    return Command("finish", (writer, digest(content if chance.random() < 0.9 else content + b"?")))


def leave(model: Model, chance: random.Random) -> Command:
    if not connected(model):
        return resume(model, chance)
    return Command("leave", (chance.choice(connected(model)),))


def drop(model: Model, chance: random.Random) -> Command:
    if not connected(model):
        return resume(model, chance)
    return Command("drop", (chance.choice(connected(model)),))


def haunt(model: Model, chance: random.Random) -> Command:
    if not superseded(model):
        return resume(model, chance)
    return Command("haunt", (chance.choice(superseded(model)),))


def cancel(model: Model, chance: random.Random) -> Command:
    if not model.uploads:
        return begin(model, chance)
    upload_id = chance.choice(sorted(model.uploads))
    owner = model.uploads[upload_id].request.owner if chance.random() < 0.9 else chance.choice((ANN, BOB))
    return Command("cancel", (upload_id, owner))


def put(model: Model, chance: random.Random) -> Command:
    content = chance.choice(SOURCES)[: chance.choice((0, 1, 100, 5000))]
    said = digest(content if chance.random() < 0.9 else content + b"?")
    return Command("put", (_request(chance, chance.choice((ANN, BOB)), len(content)), content, said))


def _some_name(model: Model, chance: random.Random) -> str:
    return chance.choice([file.name for file in model.files] * 3 + list(NAMES))


def rename(model: Model, chance: random.Random) -> Command:
    return Command("rename", (_some_name(model, chance), chance.choice(NAMES)))


def delete(model: Model, chance: random.Random) -> Command:
    return Command("delete", (_some_name(model, chance),))


def time_passes(model: Model, chance: random.Random) -> Command:
    return Command("time_passes", (EXPIRY * chance.choice((0.01, 0.3, 0.6, 0.9, 1, 1.1)),))


def look_up(model: Model, chance: random.Random) -> Command:
    name, owner = _some_name(model, chance), chance.choice((ANN, BOB))
    known = [*model.uploads, *model.completed]
    if known and chance.random() < 0.5:
        return Command("find_completed", (chance.choice(sorted(known)), owner))
    return Command("find", (name,)) if chance.random() < 0.5 else Command("find_unfinished", (name, owner))
