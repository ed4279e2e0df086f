"""What a visitor of a request link sends and hears: names below the link's folder, written without it. Pure.

They do not learn where that folder is, whose it is, or what is in it: not even that a name was taken, since `complete`
has the name that they sent.
"""

from storage.store import StoredFile
from transfer.access.principal import Principal
from transfer.protocol import errors
from transfer.protocol.messages import FileEntry, UploadHeader
from transfer.protocol.names import InvalidName, Name


def placed(header: UploadHeader, caller: Principal) -> UploadHeader:
    """The header with the name that it means. Raises the protocol's InvalidName, which does not show the folder."""
    if caller.visit is None:
        return header
    try:
        return header.model_copy(update={"name": Name.parse(f"{caller.prefix}{header.name}")})
    except InvalidName as refused:
        sentence = f"the name {str(header.name)!r} is too long for this link: choose a shorter one"
        error = errors.InvalidName(sentence, rule=refused.rule)
        error.ref = header.ref
        raise error from None


def told(name: Name, caller: Principal) -> Name:
    """A name as the caller writes it."""
    return name if caller.visit is None else Name.parse(name.value.removeprefix(caller.prefix))


def visitors_entry(file: StoredFile, name: Name) -> FileEntry:
    """A file that a visitor has sent, under the name that they gave it: without owner, and without a place to fetch it
    from."""
    return FileEntry(
        name=name,
        size=file.size,
        digest=file.digest,
        content_type=file.content_type,
        modified=file.modified,
        created=file.created,
        metadata=file.metadata,
    )
