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
    durable = state.durable
    furthest = durable.furthest if size is None else min(durable.furthest, size)
    start = max(0, furthest - 1) // leaf_size * leaf_size
    end = min(durable.furthest, start + leaf_size)
    kept = LeafHasher(leaf_size, start)
    if durable.covers(start, end):
        os.posix_fadvise(descriptor, start, leaf_size, os.POSIX_FADV_DONTNEED)
        found, full = LeafHasher(leaf_size, start), b""
        for piece in read_range(descriptor, start, end):
            for _ in kept.update(piece[: max(0, furthest - kept.position)]):
                pass
            full = next((checksum for _, checksum in found.update(piece)), full)
        if _recorded(state, start, end, leaf_size) not in (None, full or found.tail.checksum):
            logger.error("the last leaf, at %d, is not as recorded", start)
            durable, kept = durable.remove(start, end), LeafHasher(leaf_size, start)
    durable = durable.intersection(RangeSet.of((0, furthest)))
    leaves = {
        index: checksum
        for index, checksum in state.leaves.items()
        if durable.covers(index * leaf_size, (index + 1) * leaf_size)
    }
    return ObjectState(durable, leaves, kept.tail), kept


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
