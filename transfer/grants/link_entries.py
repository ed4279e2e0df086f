"""How share and request links look to who made them: everything but the secret, and the password."""

from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from storage.grants import Grant
from storage.store import StoredFile
from transfer.access.principal import Principal
from transfer.grants.handing_out import State, state_of
from transfer.protocol.messages import NameField, TimeField

SHARE_PATH: Final = "/s/"
REQUEST_PATH: Final = "/r/"


class ShareEntry(BaseModel):
    """A share link. `name` is what its content is called now; it is left out where that content is gone, or nothing
    that the caller may see."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    id: str
    subject: str
    name: NameField | None
    created: TimeField
    expires: TimeField | None
    downloads: int | None
    begun: int
    password: bool
    state: Literal["in force", "expired", "revoked", "used up", "gone"]


class NewShare(ShareEntry):
    """A share link that was just made; `url` is its path on this server, with the secret that nobody shows again."""

    url: str


class ShareListing(BaseModel):
    """Share links, the newest first."""

    shares: list[ShareEntry]


def share_entry(link: Grant, file: StoredFile | None, caller: Principal, now: datetime) -> ShareEntry:
    """The entry of a link whose content is `file` now."""
    seen = file is not None and caller.reaches(file.name)
    return ShareEntry(
        id=link.grant_id,
        subject=link.subject,
        name=file.name if file is not None and seen else None,
        created=link.created,
        expires=link.expires,
        downloads=link.downloads,
        begun=link.begun,
        password=link.password_hash is not None,
        state=_share_state(link, file, now),
    )


def _share_state(
    link: Grant, file: StoredFile | None, now: datetime
) -> Literal["in force", "expired", "revoked", "used up", "gone"]:
    if (state := state_of(link, now)) != "in force":
        return state
    if file is None:
        return "gone"
    return "used up" if link.downloads is not None and link.begun >= link.downloads else "in force"


class RequestEntry(BaseModel):
    """A request link; `used` of its `size` bytes came through it, or are promised to what is on its way."""

    model_config = ConfigDict(frozen=True)

    id: str
    subject: str
    prefix: str
    created: TimeField
    expires: TimeField | None
    size: int | None
    used: int
    state: State


class NewRequest(RequestEntry):
    """A request link that was just made; `url` is its path on this server, with the secret that nobody shows again."""

    url: str


class RequestListing(BaseModel):
    """Request links, the newest first."""

    requests: list[RequestEntry]


def request_entry(link: Grant, used: int, now: datetime) -> RequestEntry:
    return RequestEntry(
        id=link.grant_id,
        subject=link.subject,
        prefix=link.prefix,
        created=link.created,
        expires=link.expires,
        size=link.quota,
        used=used,
        state=state_of(link, now),
    )
