"""Buffers of chunks stay with the process."""

import ctypes
import subprocess
import sys
from typing import Final

import pytest

from tests.server import CHECKOUT
from transfer.protocol.allocator import keep_freed_memory

FAULTS_OF_A_THOUSAND_CHUNKS: Final = """
import resource
from transfer.protocol.allocator import keep_freed_memory
keep_freed_memory()
bytearray(4 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(1_000):
    bytearray(4 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="the threshold is glibc's")
def test_the_buffer_of_a_chunk_is_taken_from_the_system_once() -> None:
    """And not a thousand times its 1,024 pages."""
    command = [sys.executable, "-c", FAULTS_OF_A_THOUSAND_CHUNKS]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=True, text=True)
    assert int(done.stdout) < 2_000


def test_another_libc_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_mallopt(_: None) -> object:
        return object()

    keep_freed_memory()
    monkeypatch.setattr(ctypes, "CDLL", without_mallopt)
    keep_freed_memory()
