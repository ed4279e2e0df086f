"""Buffers of chunks stay with the process."""

import ctypes
import subprocess
import sys
from typing import Final

import pytest

from tests.server import CHECKOUT
from transfer.protocol.allocator import keep_freed_memory

FAULTS_OF_A_HUNDRED_WINDOWS: Final = """
import resource
from transfer.protocol.allocator import keep_freed_memory
keep_freed_memory()

def window():
    return [bytearray(1 << 20) for _ in range(16)]

window()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    window()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="the threshold is glibc's")
def test_the_buffers_of_chunks_are_taken_from_the_system_once() -> None:
    """And not a hundred times their 4,096 pages. Of a single buffer glibc learns by itself to keep it."""
    command = [sys.executable, "-c", FAULTS_OF_A_HUNDRED_WINDOWS]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=True, text=True)
    assert int(done.stdout) < 40_000


def test_another_libc_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_mallopt(_: None) -> object:
        return object()

    keep_freed_memory()
    monkeypatch.setattr(ctypes, "CDLL", without_mallopt)
    keep_freed_memory()
