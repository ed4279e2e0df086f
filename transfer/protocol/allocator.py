"""What both sides ask of the C library's allocator, for whose defaults a chunk is too large to be kept."""

import ctypes
from typing import Final

from transfer.protocol.limits import MIB

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def keep_freed_memory() -> None:
    """Have glibc keep the buffers of chunks, which it would give back and fault in again, page by page. For a
    program to call as it starts, not for a library: it holds for the whole process (mallopt(3))."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, TypeError, OSError):
        return  # another libc
    for threshold in (64 * MIB, 32 * MIB):  # before 2.35 the most was 32 MiB
        if mallopt(_M_MMAP_THRESHOLD, threshold):
            break
    mallopt(_M_TRIM_THRESHOLD, 256 * MIB)
