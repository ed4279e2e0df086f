"""How much un-acked data each connection may have in flight, so that all windows together have one bound."""

from transfer.protocol import limits


class ReceiveBudget:
    """Windows for the connections that upload: at most `window` each, at most `total` together, and one chunk for
    each whatever happens. A connection that joins gets what is free; the others shrink to a fair share with their
    next acks, and it grows with its own."""

    def __init__(
        self, total: int = limits.RECEIVE_BUDGET, window: int = limits.WINDOW, chunk_size: int = limits.CHUNK_SIZE
    ) -> None:
        self.chunk_size = chunk_size
        self._total = total
        self._window = window
        self._granted: dict[object, int] = {}

    def grant(self, holder: object) -> int:
        """The holder's window from now on, in bytes; the first call joins."""
        self._granted.setdefault(holder, 0)
        others = sum(self._granted.values()) - self._granted[holder]
        fair = self._total // len(self._granted)
        window = max(self.chunk_size, min(self._window, fair, self._total - others))
        self._granted[holder] = window
        return window

    def granted(self, holder: object) -> int:
        """The holder's window; joins when it has none."""
        return self._granted.get(holder) or self.grant(holder)

    def leave(self, holder: object) -> None:
        self._granted.pop(holder, None)
