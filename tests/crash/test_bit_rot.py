"""Bits that flip on the disk while nobody looks: what comes back with the next connection, and what `verify` names.

Flips go straight into objects, beside everything that is recorded of them.
"""

import asyncio
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import client
from storage.local import LocalStore
from storage.store import UploadRequest
from storage.verification import Damage, Verification, Verified
from tests.crash.load import Load
from tests.crash.plan import Plan
from tests.end_to_end.scene import MIB, Recorder, content
from tests.server import http_client, running
from transfer.access.principal import ANONYMOUS
from transfer.protocol.digest import digest_bytes
from transfer.protocol.limits import SMALL_FILE_BYTES
from transfer.protocol.names import Name
from transfer.protocol.ranges import Range, RangeSet
from transfer.settings import Settings

LEAF = MIB
AT_ONCE = 12
"""Uploads in one store."""
MOST_FLIPS = 8
"""In one object."""


def flip(path: Path, offset: int, bit: int) -> None:
    mode = path.stat().st_mode
    path.chmod(0o600)
    with path.open("r+b") as stream:
        stream.seek(offset)
        (byte,) = stream.read(1)
        stream.seek(offset)
        stream.write(bytes([byte ^ 1 << bit]))
    path.chmod(mode)


def flips_left(count: int, chance: random.Random) -> Iterator[int]:
    """Numbers of flips for one object after another, `count` together."""
    while count > 0:
        some = min(count, chance.randint(1, MOST_FLIPS))
        yield some
        count -= some


@dataclass(slots=True)
class Unfinished:
    """An upload that was interrupted: what its client has, and what of it the server had made durable."""

    name: str
    whole: bytes
    durable: RangeSet
    object: Path
    damaged: set[int] = field(default_factory=set)
    """Leaves in which a bit has flipped."""

    def flip(self, chance: random.Random) -> None:
        offset = anywhere(self.durable, chance)
        flip(self.object, offset, chance.randrange(8))
        self.damaged.add(offset // LEAF)

    @property
    def provable(self) -> set[int]:
        """Damaged leaves that have a checksum: those that are whole, and the tail. Of others a wrong digest shows that
        something is wrong, and the client what."""
        size = self.durable.furthest
        return {leaf for leaf in self.damaged if self.durable.covers(leaf * LEAF, min((leaf + 1) * LEAF, size))}

    @property
    def most_resumed(self) -> int:
        """The last leaf is read before the upload goes on: where it is damaged nothing goes on behind it."""
        last = (self.durable.furthest - 1) // LEAF
        return min(self.durable.leading, last * LEAF) if last in self.provable else self.durable.leading

    @property
    def most_sent(self) -> int:
        """What was missing, and the damaged leaves."""
        return len(self.whole) - self.durable.total + len(self.damaged) * LEAF


def damaged_contents(data: Path) -> list[Verified]:
    with Verification(data) as verification:
        return [content for content in verification.contents() if content.damage is not None]


def leaves_of(damage: Damage | None) -> Iterator[int]:
    """The single leaves in what was found damaged."""
    for span in damage.ranges if damage else ():
        yield from range(span.start // LEAF, -(-span.end // LEAF))


def anywhere(ranges: RangeSet, chance: random.Random) -> int:
    at = chance.randrange(ranges.total)
    for piece in ranges:
        if at < piece.size:
            return piece.start + at
        at -= piece.size
    raise AssertionError("beyond the ranges")


def some_ranges(size: int, chance: random.Random) -> list[Range]:
    """What an interrupted upload has: its beginning and, when several connections sent it, ranges further on."""
    cuts = sorted(chance.sample(range(1, size), chance.choice([1, 1, 3, 5])))
    return [Range(start, end) for start, end in zip([0, *cuts[1::2]], cuts[::2], strict=True)]


async def interrupted(store: LocalStore, data: Path, name: str, chance: random.Random) -> Unfinished:
    """Write parts of a content, piece by piece, and leave it. It is of a file that a client would resume: a small one
    is sent whole."""
    whole = content(chance.randint(SMALL_FILE_BYTES + 1, 8 * LEAF), chance.randrange(1 << 32))
    request, before = UploadRequest(name=Name(name), size=len(whole), owner=ANONYMOUS.subject), objects(data)
    async with store.begin(request) as writer:
        for piece in some_ranges(len(whole), chance):
            for start in range(piece.start, piece.end, MIB):
                await writer.write(start, [whole[start : min(start + MIB, piece.end)]])
        durable = await writer.sync()
    (path,) = objects(data) - before
    return Unfinished(name, whole, durable, path)


def objects(data: Path) -> set[Path]:
    return set((data / "objects").glob("?/*"))


async def test_damage_below_the_offset_is_sent_again_and_never_published(plan: Plan, tmp_path: Path) -> None:
    cases = list(enumerate(flips_left(plan.count(200, 1_000), plan.chance("resumed"))))
    for first in range(0, len(cases), AT_ONCE):
        await resume_damaged(plan, tmp_path / str(first), cases[first : first + AT_ONCE])
        shutil.rmtree(tmp_path / str(first))


async def resume_damaged(plan: Plan, folder: Path, cases: list[tuple[int, int]]) -> None:
    """For each case, a number and how many flips, an upload that is interrupted, damaged and resumed."""
    data, uploads = folder / "data", list[Unfinished]()
    async with LocalStore(data, min_free_bytes=0) as store:
        for case, flips in cases:
            chance = plan.chance("resumed", case)
            uploads.append(await interrupted(store, data, f"{case}.bin", chance))
            for _ in range(flips):
                uploads[-1].flip(chance)
            plan.report("bit rot", flips_in_uploads=flips, uploads_resumed=1)
    found = {str(content.name): set(leaves_of(content.damage)) for content in damaged_contents(data)}
    assert found == {upload.name: upload.provable for upload in uploads if upload.provable}
    async with running(Settings(data=data, min_free_bytes=0)) as url, http_client(url) as http:
        for upload in uploads:
            await resume(url, folder, upload)
            assert (await http.get(f"/files/{upload.name}")).content == upload.whole, upload.name
            plan.report("bit rot", leaves_without_a_checksum=len(upload.damaged - upload.provable))


async def resume(url: str, folder: Path, upload: Unfinished) -> None:
    source, heard = folder / upload.name, Recorder()
    source.write_bytes(upload.whole)
    await client.upload(url, source, on_event=heard)
    assert heard.complete.sent_bytes <= upload.most_sent, upload.name
    assert heard.offsets[0] <= upload.most_resumed, upload.name


@dataclass(slots=True)
class Published:
    """A file in the store, and where its content lies."""

    name: str
    size: int
    object: Path


async def published(data: Path, chance: random.Random) -> list[Published]:
    """Files that came in one go and files that came in pieces."""
    found: list[Published] = []
    async with LocalStore(data, min_free_bytes=0) as store:
        for number in range(12):
            whole = content(chance.choice([1, 4_096, LEAF, chance.randint(1, 6 * LEAF)]) + number, number)
            request = UploadRequest(name=Name(f"{number}.bin"), size=len(whole), owner=ANONYMOUS.subject)
            if number % 2:
                file = (await store.put(request, whole, digest_bytes(whole))).file
            else:
                async with store.begin(request) as writer:
                    await writer.write(0, [whole])
                    file = (await writer.finish(digest_bytes(whole))).file
            found.append(Published(f"{number}.bin", len(whole), data / "objects" / file.file_id[0] / file.file_id))
    return found


async def test_every_flip_in_a_published_file_is_found_by_verify(plan: Plan, tmp_path: Path) -> None:
    files = await published(tmp_path / "data", plan.chance("published"))
    assert damaged_contents(tmp_path / "data") == []
    flips = plan.count(200, 1_000)
    for case, count in enumerate(flips_left(flips, plan.chance("found"))):
        chance = plan.chance("found", case)
        flipped = {file.name: chance.randrange(file.size) for file in chance.sample(files, count)}
        bits = {name: chance.randrange(8) for name in flipped}
        rotten = [file for file in files if file.name in flipped]
        for file in rotten:
            flip(file.object, flipped[file.name], bits[file.name])
        found = {
            str(content.name): content.damage.ranges
            for content in damaged_contents(tmp_path / "data")
            if content.damage
        }
        assert found.keys() == flipped.keys(), case
        for name, offset in flipped.items():
            assert any(span.start <= offset < span.end for span in found[name]), (case, name)
            assert sum(span.size for span in found[name]) <= LEAF or int(name[:-4]) % 2, (case, name)
        for file in rotten:
            flip(file.object, flipped[file.name], bits[file.name])
        plan.report("bit rot", flips_in_files=count, found_by_verify=len(found))


async def test_verify_calls_nothing_damaged_that_moves_on_while_it_reads(plan: Plan, tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with running(Settings(data=data, min_free_bytes=0)) as url:
        load = Load(url, tmp_path, plan.chance("moving"))
        async with load.running():
            for _ in range(plan.count(15, 60)):
                assert await asyncio.to_thread(damaged_contents, data) == []
                plan.report("bit rot", verified_under_load=1)
    assert load.kept
