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
    """What is there of the last leaf, read from the disk itself and checked, and cut to `size`."""
    durable, leaves, tail = state.durable, dict(state.leaves), state.tail
    furthest = durable.furthest if size is None else min(durable.furthest, size)
    start = furthest - furthest % leaf_size
    end = min(durable.furthest, start + leaf_size)
    os.posix_fadvise(descriptor, start, leaf_size, os.POSIX_FADV_DONTNEED)
    hasher = LeafHasher(leaf_size, start)
    recorded = leaves.get(start // leaf_size) if end == start + leaf_size else tail.checksum
    if start < furthest and durable.covers(start, end):
        cut, found = b"", LeafHasher(leaf_size, start)
        for piece in read_range(descriptor, start, end):
            list(hasher.update(piece[: max(0, furthest - hasher.position)]))
            cut = next((checksum for _, checksum in found.update(piece)), cut)
        known = recorded is not None and (end == start + leaf_size or tail.length == end - start)
        if known and (cut or found.tail.checksum) != recorded:
            logger.error("the last leaf, at %d, is not as recorded", start)
            durable, hasher = durable.remove(start, end), LeafHasher(leaf_size, start)
    durable = durable.intersection(RangeSet.of((0, furthest)))
    leaves = {index: checksum for index, checksum in leaves.items() if (index + 1) * leaf_size <= furthest}
    return ObjectState(durable, leaves, hasher.tail), hasher


def cut_and_seal(descriptor: int, state: ObjectState) -> None:
    """Cut what is not durable off, and write the last block again: a sync that failed before may have lost it."""
    furthest = state.durable.furthest
    os.ftruncate(descriptor, furthest)
    if furthest:
        last = furthest - 1 - (furthest - 1) % 4096
        os.pwrite(descriptor, os.pread(descriptor, furthest - last, last), last)
    os.fdatasync(descriptor)
