"""An event as it is told to all who see as much of it."""

from dataclasses import dataclass
from functools import cached_property

from fastapi.sse import format_sse_event


@dataclass(frozen=True)
class Line:
    """What is sent of it. Each way of writing it is made once, however many read it."""

    event_id: str
    text: str
    """Its JSON."""

    @cached_property
    def block(self) -> bytes:
        """As a server-sent event (WHATWG HTML, section 9.2)."""
        return format_sse_event(id=self.event_id, data_str=self.text)
