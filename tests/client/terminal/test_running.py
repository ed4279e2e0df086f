"""What every command runs on, seen in a process of its own: both are of a whole process."""

import ctypes
import subprocess
import sys
from typing import Final

import pytest

from tests.server import CHECKOUT

COMMAND: Final = """
import asyncio, resource
from client.terminal.display import choose_display
from client.terminal.outcome import Exit
from client.terminal.running import run

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def window():
    return [bytearray(1 << 20) for _ in range(16)]

async def work(display):
    window()
    before = faults()
    for _ in range(100):
        window()
    print(type(asyncio.get_running_loop()).__module__, faults() - before)
    return Exit.DONE

try:
    run(choose_display(as_json=False, quiet=True), work)
except BaseException as ended:
    print(type(ended).__name__, getattr(ended, "exit_code", None))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="the threshold is glibc's")
def test_a_command_runs_on_uvloop_and_keeps_the_buffers_of_chunks() -> None:
    """Those it takes from the system once, and not a hundred times their 4,096 pages."""
    done = subprocess.run([sys.executable, "-c", COMMAND], cwd=CHECKOUT, capture_output=True, check=True, text=True)
    loop, faults, ended, code = done.stdout.split()
    assert (loop, ended, code) == ("uvloop", "Exit", "0")
    assert int(faults) < 40_000


TWICE: Final = """
import asyncio
from client.terminal.display import choose_display
from client.terminal.outcome import Exit
from client.terminal.running import run

async def work(display):
    tell = asyncio.get_running_loop().call_exception_handler
    for fault in (KeyboardInterrupt(), ValueError("a real one")):
        tell({"message": type(fault).__name__, "exception": fault})
    return Exit.DONE

run(choose_display(as_json=False, quiet=True), work)
"""


def test_a_second_ctrl_c_in_the_midst_of_something_is_told_as_no_fault_of_it() -> None:
    done = subprocess.run([sys.executable, "-c", TWICE], cwd=CHECKOUT, capture_output=True, text=True)
    assert "a real one" in done.stderr
    assert "KeyboardInterrupt" not in done.stderr
