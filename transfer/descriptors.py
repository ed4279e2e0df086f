"""How many files this process may have open, sockets included, and so how many connections it can serve."""

import resource
from contextlib import suppress
from typing import Final

from storage.batch import MAX_BATCH

FOR_A_CONNECTION: Final = 2
"""Its socket, and the content that it writes, reads or tunnels to."""
FOR_THE_REST: Final = 64 + MAX_BATCH
"""The catalog, the log, the listener, what libraries open, and the contents of a batch of small files."""


def raise_descriptor_limit() -> None:
    """Use all that the system allows: the soft limit is low for the sake of programs that cannot go beyond 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # some systems say that there is no limit, and do not take it
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def connections_that_fit() -> int:
    """How many connections never fail for want of a descriptor; one at least."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 1 << 30
    return max(1, (soft - FOR_THE_REST) // FOR_A_CONNECTION)
