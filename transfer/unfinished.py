"""The caller's unfinished uploads over HTTP: which there are, and dropping one."""

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict

from storage.store import Store, UnfinishedUpload
from transfer.access.callers import Uploader, caller
from transfer.access.visiting import told
from transfer.problems import PROBLEM_RESPONSES
from transfer.protocol.messages import NameField, Size, TimeField
from transfer.protocol.names import Name


class UploadEntry(BaseModel):
    """An unfinished upload; every byte below `offset` survives a power cut."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    upload_id: str
    name: NameField
    size: Size | None
    offset: Size
    created: TimeField
    active: TimeField
    expires: TimeField


class UploadListing(BaseModel):
    """The caller's unfinished uploads, the most recently active first."""

    uploads: list[UploadEntry]


def router(store: Store) -> APIRouter:
    """The routes of unfinished uploads in `store`."""
    routes = APIRouter(responses=PROBLEM_RESPONSES, dependencies=[Depends(caller)])

    @routes.get("/uploads")
    async def list_uploads(principal: Uploader) -> UploadListing:
        """List the caller's unfinished uploads."""
        own = await store.unfinished(principal.owner)
        seen = [upload for upload in own if principal.reaches(upload.name)]
        return UploadListing(uploads=[_entry(upload, told(upload.name, principal)) for upload in seen])

    @routes.delete("/uploads/{upload_id}", status_code=204)
    async def cancel_upload(principal: Uploader, upload_id: str) -> None:
        """Drop an unfinished upload and its bytes."""
        await store.cancel(upload_id, principal.owner, within=principal.prefix)

    return routes


def _entry(upload: UnfinishedUpload, name: Name) -> UploadEntry:
    return UploadEntry(
        upload_id=upload.upload_id,
        name=name,
        size=upload.size,
        offset=upload.offset,
        created=upload.created,
        active=upload.active,
        expires=upload.expires,
    )
