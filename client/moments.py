"""When a file was changed last: nanoseconds on a disk here, microseconds in the protocol and at the server. No I/O."""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def moment_of(nanoseconds: int) -> datetime | None:
    """A disk's time as the protocol has it, rounded down; None for one that is beyond all dates."""
    try:
        return _EPOCH + nanoseconds // 1_000 * _MICROSECOND
    except OverflowError:
        return None


def nanoseconds_of(moment: datetime) -> int:
    """The protocol's time as a disk has it: what `moment_of` makes of that is `moment` again."""
    return (moment - _EPOCH) // _MICROSECOND * 1_000
