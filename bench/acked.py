"""What a sender had acknowledged, over time: neither the start of a process nor slow start is in such a rate."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from bench.processes import Failed, user_environment

CHECKOUT: Final = Path(__file__).resolve().parent.parent


class Sample(NamedTuple):
    """So many bytes were acknowledged then."""

    seconds: float
    acked_bytes: int


def rate_of(samples: Sequence[Sample], begin: float, end: float) -> float:
    """Bytes a second between two times after the first sample. Raises ValueError where there were none so long."""
    times = begin + samples[0].seconds, end + samples[0].seconds
    first, last = (_acked_at(samples, seconds) for seconds in times)
    return (last - first) / (end - begin)


def _acked_at(samples: Sequence[Sample], seconds: float) -> float:
    for before, after in pairwise(samples):
        if before.seconds <= seconds <= after.seconds and after.seconds > before.seconds:
            part = (seconds - before.seconds) / (after.seconds - before.seconds)
            return before.acked_bytes + part * (after.acked_bytes - before.acked_bytes)
    raise ValueError(f"nothing was acknowledged around second {seconds - samples[0].seconds:.1f}")


def watch(command: Sequence[str], seconds: float, read: Callable[[str], int | None]) -> list[Sample]:
    """Run a sender until so long after its first sample, and end it; `read` finds the acknowledged bytes in a line.
    Raises Failed when it has ended before."""
    samples: list[Sample] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT, env=user_environment()) as process:
        assert process.stdout is not None
        end = threading.Timer(seconds, process.kill)
        for line in process.stdout:
            if (acked := read(line)) is not None:
                samples.append(Sample(time.monotonic(), acked))
                if len(samples) == 1:
                    end.start()
        end.cancel()
    if process.returncode != -signal.SIGKILL:
        raise Failed(f"{' '.join(command)} ended by itself, with {process.returncode}")
    return samples
