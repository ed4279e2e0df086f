"""What a quota allows: pure rules, for every store.

Files count with their sizes, unfinished uploads with what was promised to them or, of a stream, with what is durable.
What was promised is not asked again: only what grows is compared.
"""

from storage.errors import QuotaExceeded
from storage.store import StoredFile, UploadRequest


def is_limited(request: UploadRequest) -> bool:
    return request.quota is not None or request.via_quota is not None


def outgrows(request: UploadRequest, size: int, replaced: StoredFile | None) -> bool:
    """Whether the caller has more than before with a file of that size in place of `replaced`."""
    return replaced is None or replaced.owner != request.account or replaced.size < size


def compare_account(request: UploadRequest, used: int, taken: int) -> None:
    """Whether `used`, of the account, with the `taken` bytes of this file or upload in it, is within the quota: it is
    not a link's visitor's, who hears no figures. Raises QuotaExceeded."""
    _compare(request.quota, used, taken, disclosed=request.via is None)


def compare_link(request: UploadRequest, used: int, taken: int) -> None:
    """The same of what came through the request link."""
    _compare(request.via_quota, used, taken, disclosed=True)


def _compare(limit: int | None, used: int, taken: int, *, disclosed: bool) -> None:
    if limit is not None and used > limit:
        raise QuotaExceeded(taken, max(0, limit - (used - taken)), limit, disclosed=disclosed)
