"""Work in a process of its own that is killed at a moment: a fork, so that nothing is imported anew."""

import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Final

CHANGES: Final = {"os.rename", "os.link", "os.remove", "os.mkdir"}
"""Audit events of Python's, raised right before the calls."""


def killed_after(seconds: float, work: Callable[[], object]) -> bool:
    """Run `work` in a fork and SIGKILL it after so long. False when it had ended by then; AssertionError when it
    failed. No thread of this process may hold anything that `work` needs."""
    pid = _forked(work)
    descriptor = os.pidfd_open(pid)
    try:
        ended, _, _ = select.select([descriptor], [], [], seconds)
        if not ended:
            os.kill(pid, signal.SIGKILL)
    finally:
        os.close(descriptor)
    return _was_killed(pid)


def killed_before_change(number: int, work: Callable[[], object]) -> bool:
    """Run `work` in a fork that is killed right before its `number`-th change of what folders hold, counted from 0:
    a rename, link, removal or new folder. False when there were not so many."""
    left = number

    def count(event: str, _: tuple[object, ...]) -> None:
        nonlocal left
        if event in CHANGES:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def watched() -> None:
        sys.addaudithook(count)  # there is no way back, but for the end of the fork
        work()

    return _was_killed(_forked(watched))


def _forked(work: Callable[[], object]) -> int:
    pid = os.fork()
    if pid == 0:
        _end_with(work)
    return pid


def _was_killed(pid: int) -> bool:
    _, status = os.waitpid(pid, 0)
    assert status in (0, signal.SIGKILL), f"it failed by itself: {os.waitstatus_to_exitcode(status)}"
    return status != 0


def time_of(work: Callable[[], object]) -> float:
    """How many seconds `work` takes in a fork, undisturbed."""
    began = time.monotonic()
    assert not killed_after(120, work), "it does not end"
    return time.monotonic() - began


def _end_with(work: Callable[[], object]) -> None:
    code = 1
    try:
        work()
        code = 0
    except BaseException:  # noqa: BLE001 - nothing may come back to the test in this process
        traceback.print_exc()
    finally:
        os._exit(code)
