"""Who wants to know how far long work on a store is."""

from typing import Protocol


class Progress(Protocol):
    """Called from the thread that does the work; must not block."""

    def begin(self, what: str, size: int) -> None:
        """`size` bytes are to be worked off from now on."""
        ...

    def advance(self, size: int) -> None:
        """So many more of them are done."""
        ...


class Silent:
    """For those who do not want to know."""

    def begin(self, what: str, size: int) -> None:
        pass

    def advance(self, size: int) -> None:
        pass
