"""The one mapping from what a store raises to what the protocol says."""

from pydantic import JsonValue

from storage import errors as storage
from transfer.access.principal import Principal
from transfer.protocol import errors


def refusal(error: storage.StorageError, caller: Principal | None = None) -> errors.TransferError:
    """The protocol's error for a store's; of what has a name it says only what the caller may know."""
    match error:
        case storage.NotFound():
            return errors.NotFound(f"{error.what} is not here, or not yours")
        case storage.NameTaken():
            return _exists(error, caller)
        case storage.NotYours():
            return errors.Forbidden(f"{error}: replacing it needs the scope delete", scope="delete")
        case storage.Replaced():
            return errors.PreconditionFailed(f"{error}: it is not the one that If-Match names")
        case storage.Fenced():
            return errors.Superseded("another connection has taken this upload over")
        case storage.StillWriting():
            return errors.Busy("the last write of the connection that had this upload has not returned; try again")
        case storage.Incomplete() | storage.TooLong():
            return _size_mismatch(error)
        case storage.WrongDigest():
            return errors.DigestMismatch(str(error), expected=str(error.expected), actual=str(error.actual))
        case storage.TooManyUploads() | storage.TooManyLinks():
            return _too_many(error)
        case storage.QuotaExceeded():
            return _quota_exceeded(error, caller)
        case storage.NoSpace():
            return errors.InsufficientStorage(
                f"the server's disk has no room: {error}", needed=error.needed, available=error.available
            )
        case _:
            return errors.StorageFailure("the server could not write; what was acknowledged is safe, resume later")


def _size_mismatch(error: storage.Incomplete | storage.TooLong) -> errors.SizeMismatch:
    if isinstance(error, storage.Incomplete):
        missing: JsonValue = [list(hole) for hole in error.holes[:1_000]]
        return errors.SizeMismatch(str(error), expected=error.size, missing=missing)
    return errors.SizeMismatch(
        f"more bytes than announced: they reach {error.end}, the size is {error.size}", expected=error.size
    )


def _quota_exceeded(error: storage.QuotaExceeded, caller: Principal | None) -> errors.QuotaExceeded:
    if not error.disclosed:
        return errors.QuotaExceeded(f"{error}: ask them for room", needed=error.needed)
    is_visitor = caller is not None and caller.visit is not None
    remedy = "ask whoever gave you the link for room" if is_visitor else "delete files, or cancel unfinished uploads"
    return errors.QuotaExceeded(
        f"{error}: {remedy}",
        needed=error.needed,
        available=error.available,
        limit=error.limit,
    )


def _too_many(error: storage.TooManyUploads | storage.TooManyLinks) -> errors.TooMany:
    advice = "finish or cancel some, or wait until they expire"
    if isinstance(error, storage.TooManyLinks):
        advice = "revoke some; those that have ended are forgotten after a month"
    return errors.TooMany(f"{error}: {advice}", limit=error.limit)


def _exists(error: storage.NameTaken, caller: Principal | None) -> errors.Exists:
    existing, conflict = error.existing, error.conflict
    if caller is not None and caller.visit is not None:
        return errors.Exists("the name does not go together with what is there: choose another name")
    if not error.disclosed:
        return errors.Exists(f"{error}: choose another name")
    if caller is not None and existing is not None and not caller.may_read(existing.name, existing.owner):
        return errors.Exists(f"the name {str(error.name)!r} is taken: choose another name")
    if existing is None:
        if caller is not None and conflict is not None and not (caller.may("read") and caller.reaches(conflict)):
            return errors.Exists(f"the name {str(error.name)!r} does not go together with a file: choose another name")
        return errors.Exists(f"{error}: choose another name", conflict=str(conflict))
    return errors.Exists(
        f"the name {str(error.name)!r} is taken by other content: choose if_exists replace or rename",
        size=existing.size,
        digest=str(existing.digest),
    )
