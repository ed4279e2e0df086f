"""What a writer does with an object before it goes on with it: check the last leaf, cut, make sure.

These functions block and are meant for the disk threads.
"""

import logging
import os

from storage.objects import read_range
from storage.writer import ObjectState
from transfer.protocol.leaves import LeafHasher
from transfer.protocol.ranges import RangeSet

logger = logging.getLogger("towline.storage")


def examine(descriptor: int, state: ObjectState, leaf_size: int, size: int | None) -> tuple[ObjectState, LeafHasher]:
    """The last leaf that is kept is read from the disk itself and checked; everything is cut to `size`. Returns what
    is there, and a hasher that stands at its end."""
    durable = _there(descriptor, state.durable, leaf_size)
    furthest = durable.furthest if size is None else min(durable.furthest, size)
    start = max(0, furthest - 1) // leaf_size * leaf_size
    end = min(durable.furthest, start + leaf_size)
    kept = LeafHasher(leaf_size, start)
    if durable.covers(start, end):
        os.posix_fadvise(descriptor, start, leaf_size, os.POSIX_FADV_DONTNEED)
        found = _read(descriptor, end, LeafHasher(leaf_size, start), kept, furthest)
        if found is None or _recorded(state, start, end, leaf_size) not in (None, found):
            logger.error("the last leaf, at %d, is not as recorded", start)
            durable, kept = durable.remove(start, end), LeafHasher(leaf_size, start)
    durable = durable.intersection(RangeSet.of((0, furthest)))
    leaves = {
        index: checksum
        for index, checksum in state.leaves.items()
        if durable.covers(index * leaf_size, (index + 1) * leaf_size)
    }
    return ObjectState(durable, leaves, kept.tail), kept


def _there(descriptor: int, durable: RangeSet, leaf_size: int) -> RangeSet:
    """What can be there at all: of an object that somebody made shorter, the leaves that are whole."""
    length = os.fstat(descriptor).st_size
    if length >= durable.furthest:
        return durable
    logger.error("an object has %d bytes, %d were durable", length, durable.furthest)
    return durable.remove(length - length % leaf_size, durable.furthest)


def _read(descriptor: int, end: int, found: LeafHasher, kept: LeafHasher, furthest: int) -> bytes | None:
    """The checksum of what lies between the position of `found` and `end`, at most a leaf; None where the disk does not
    give it. `kept` is fed with what lies below `furthest`."""
    full = None
    try:
        for piece in read_range(descriptor, found.position, end):
            for _ in kept.update(piece[: max(0, furthest - kept.position)]):
                pass
            full = next((checksum for _, checksum in found.update(piece)), full)
    except OSError as unreadable:
        logger.error("an object cannot be read below %d: %s", end, unreadable)
        return None
    return full or found.tail.checksum


def _recorded(state: ObjectState, start: int, end: int, leaf_size: int) -> bytes | None:
    """The checksum of `[start, end)`, a full leaf or the tail; None where none was recorded, as for a tail that did
    not come in order."""
    if end == start + leaf_size:
        return state.leaves.get(start // leaf_size)
    return state.tail.checksum if state.tail.length == end - start else None


def cut_and_seal(descriptor: int, state: ObjectState) -> None:
    """Cut what is not durable off, and write the last block again: a sync that failed before may have lost it."""
    furthest = state.durable.furthest
    os.ftruncate(descriptor, furthest)
    if furthest:
        last = furthest - 1 - (furthest - 1) % 4096
        os.pwrite(descriptor, os.pread(descriptor, furthest - last, last), last)
    os.fdatasync(descriptor)
