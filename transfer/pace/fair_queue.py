"""Who is next, where several want something of which there is not enough: whoever had least.

This is start-time fair queuing (Goyal, Vin and Cheng, SIGCOMM 1996). Among those who always want more, what they had
never differs by more than the largest amount that one of them asks for at a time, however small others' pieces are.
"""

import heapq
from collections.abc import Callable


class Flow:
    """One who asks for one thing after another: for the next when it was given the one before."""

    __slots__ = ("finish",)

    def __init__(self, finish: float) -> None:
        self.finish = finish
        """How much it had, on the clock of its queue."""


class Request:
    """That a flow wants so much. `granted` is called when it has it."""

    __slots__ = ("_order", "amount", "flow", "granted", "start", "waits")

    def __init__(self, flow: Flow, amount: float, start: float, number: int, granted: Callable[[], object]) -> None:
        self.flow = flow
        self.amount = amount
        self.start = start
        self.granted = granted
        self.waits = True
        self._order = (start, number)

    def __lt__(self, other: "Request") -> bool:
        return self._order < other._order


class FairQueue:
    """The requests of flows. One that wanted nothing for a while has a claim to `claim` of what it did not take, and no
    more: nobody loses by being held up for a moment."""

    def __init__(self, claim: float = 0.0) -> None:
        self._claim = claim
        self._waiting: list[Request] = []
        self._time = 0.0
        """The start of what was granted last: what each had of those who always wanted more."""
        self._asked = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self) -> Flow:
        """One more, who had as much as those who always wanted more."""
        return Flow(self._time)

    def ask(self, flow: Flow, amount: float, granted: Callable[[], object]) -> Request:
        """The flow wants so much. For as long as it waits it is the caller's to `withdraw`."""
        self._asked += 1
        request = Request(flow, amount, self._start_of(flow), self._asked, granted)
        heapq.heappush(self._waiting, request)
        return request

    def give(self, flow: Flow, amount: float) -> None:
        """Give the flow so much at once, while nobody waits: what `ask` and `grant` come to, at less cost."""
        self._granted(flow, self._start_of(flow), amount)

    def first(self) -> Request:
        """Whose turn it is. Raises IndexError when nobody waits."""
        return self._waiting[0]

    def grant(self) -> Request:
        """Give the first one what it wants."""
        request = heapq.heappop(self._waiting)
        request.waits = False
        self._granted(request.flow, request.start, request.amount)
        return request

    def withdraw(self, request: Request) -> None:
        """It is not wanted any more, if it still waits."""
        if request.waits:
            request.waits = False
            self._waiting.remove(request)
            heapq.heapify(self._waiting)

    def _start_of(self, flow: Flow) -> float:
        return max(self._time - self._claim, flow.finish)

    def _granted(self, flow: Flow, start: float, amount: float) -> None:
        self._time = max(self._time, start)
        flow.finish = start + amount
