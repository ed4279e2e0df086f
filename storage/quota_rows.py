"""How much of their quotas subjects and request links have used, by the sums that the catalog keeps of them.

What grows is written first and looked at then, in one transaction: what is too much is rolled back, and of two at once
one comes second.
"""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage import schema
from storage.quota import compare_account, compare_link
from storage.store import StoredFile, UploadRequest


def usage(connection: Connection, subject: str) -> int:
    """The bytes stored and reserved of a subject."""
    return _kept(connection, "subject", subject)


def usage_via(connection: Connection, link: str) -> int:
    """The bytes that came, or are to come, through a request link."""
    return _kept(connection, "via", link)


def _kept(connection: Connection, kind: str, name: str) -> int:
    columns = schema.usage.c
    found = sa.select(columns.bytes).where(columns.kind == kind, columns.name == name)
    return connection.execute(found).scalar_one_or_none() or 0


def check(connection: Connection, request: UploadRequest, taken: int, replacing: StoredFile | None = None) -> None:
    """Whether what the catalog has now, with `taken` bytes for this request, is within its quotas, once `replacing` is
    gone. Raises QuotaExceeded."""
    if request.quota is not None:
        freed = replacing.size if replacing is not None and replacing.owner == request.account else 0
        compare_account(request, usage(connection, request.account) - freed, taken)
    if request.via is not None and request.via_quota is not None:
        freed = replacing.size if replacing is not None and replacing.via == request.via else 0
        compare_link(request, usage_via(connection, request.via) - freed, taken)
