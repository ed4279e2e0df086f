"""Files over HTTP: list, download, rename, delete; and the caller's unfinished uploads.

Names come percent-encoded in the path and are parsed here, once. Content is always an attachment that a browser
neither renders nor guesses at: nothing that somebody uploaded runs in the server's origin.
"""

import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Annotated, Final, Literal, cast
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from storage.errors import NotFound
from storage.store import Content, FilePage, FileQuery, SortKey, Store, UnfinishedUpload
from transfer.downloads import download
from transfer.entries import FILES_PATH, file_entry
from transfer.principal import ANONYMOUS
from transfer.problems import PROBLEM_RESPONSES, shown
from transfer.protocol import limits, names
from transfer.protocol.errors import BadMessage, InvalidName, TooLarge
from transfer.protocol.messages import FileEntry, NameField, Size, TimeField, read_object
from transfer.protocol.names import Name
from transfer.streamed import StreamedResponse

NDJSON: Final = "application/x-ndjson"
MAX_QUERY_CHARACTERS: Final = names.MAX_NAME_BYTES * 4
"""Normalizing long text takes quadratic time."""

DOWNLOAD_RESPONSES: Final[dict[int | str, dict[str, object]]] = {
    200: {"description": "The content", "content": {"application/octet-stream": {}}},
    206: {"description": "The range of it that was asked for", "content": {"application/octet-stream": {}}},
    304: {"description": "The caller has it already"},
}

Sort = Literal["name", "-name", "size", "-size", "created", "-created", "modified", "-modified"]


class FileListing(BaseModel):
    """A page of files; `next` is the `cursor` of the one after it."""

    files: list[FileEntry]
    next: str | None


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


class NewName(BaseModel):
    """What a file is to be called."""

    name: str


def router(store: Store) -> APIRouter:
    """The routes of files and unfinished uploads in `store`."""
    routes = APIRouter(responses=PROBLEM_RESPONSES)

    async def opened(name: Annotated[Name, Depends(requested_name)]) -> AsyncIterator[Content]:
        """The file's content, open until the response was sent."""
        async with AsyncExitStack() as stack:
            yield await _open(store, name, stack)

    @routes.get("/files", response_model=FileListing, responses={200: {"content": {NDJSON: {}}}})
    async def list_files(request: Request, query: Annotated[FileQuery, Depends(file_query)]) -> FileListing | Response:
        """List files; with `Accept: application/x-ndjson` all that match, an object a line."""
        page = await _page(store, query)
        if NDJSON in request.headers.get("accept", "").lower():
            return StreamedResponse(_lines(store, query, page), {"content-type": NDJSON, "vary": "accept"})
        return FileListing(files=[file_entry(file) for file in page.files], next=page.next)

    @routes.get("/files/{name:path}", response_class=Response, responses=DOWNLOAD_RESPONSES)
    async def get_file(request: Request, content: Annotated[Content, Depends(opened)]) -> Response:
        """Download a file, or a range of it."""
        return download(content, request.method, request.headers)

    routes.add_api_route("/files/{name:path}", get_file, methods=["HEAD"], include_in_schema=False)

    @routes.patch("/files/{name:path}", openapi_extra=_body_of(NewName))
    async def rename_file(request: Request, name: Annotated[Name, Depends(requested_name)]) -> FileEntry:
        """Give a file another name."""
        fields = read_object(await _text(request))
        if not isinstance(new_name := fields.get("name"), str):
            raise BadMessage("the field name is missing, or not a string", field="name")
        return file_entry(await store.rename(name, parse_name(new_name)))

    @routes.delete("/files/{name:path}", status_code=204)
    async def delete_file(name: Annotated[Name, Depends(requested_name)]) -> None:
        """Delete a file. Downloads that have begun are not cut short."""
        await store.delete(name)

    @routes.get("/uploads")
    async def list_uploads() -> UploadListing:
        """List the caller's unfinished uploads."""
        return UploadListing(uploads=[_upload_entry(upload) for upload in await store.unfinished(ANONYMOUS.subject)])

    @routes.delete("/uploads/{upload_id}", status_code=204)
    async def cancel_upload(upload_id: str) -> None:
        """Drop an unfinished upload and its bytes."""
        await store.cancel(upload_id, ANONYMOUS.subject)

    return routes


# ---------------------------------------------------------------------------------------------------------- requests


def parse_name(text: str) -> Name:
    """Make untrusted text a name. Raises the protocol's InvalidName."""
    try:
        return Name.parse(text)
    except names.InvalidName as refused:
        raise InvalidName(str(refused), rule=refused.rule) from None


async def requested_name(request: Request, name: str) -> Name:
    """The name in the path, from the bytes that came: the framework has replaced what is not UTF-8."""
    try:
        path = unquote_to_bytes(request.scope["raw_path"]).decode()
    except UnicodeDecodeError:
        raise InvalidName("the name is not UTF-8, percent-encoded", rule="not utf-8") from None
    return parse_name(path.removeprefix(FILES_PATH))


async def file_query(
    prefix: Annotated[str, Query(max_length=MAX_QUERY_CHARACTERS, description="what names begin with")] = "",
    q: Annotated[str, Query(max_length=MAX_QUERY_CHARACTERS, description="a part of names, case ignored")] = "",
    sort: Annotated[Sort, Query(description="`-` is for descending")] = "name",
    limit: Annotated[int, Query(ge=1, le=limits.MAX_LISTING)] = limits.MAX_LISTING,
    cursor: Annotated[str | None, Query(description="the `next` of the page before")] = None,
) -> FileQuery:
    return FileQuery(
        prefix=unicodedata.normalize("NFC", prefix),
        contains=unicodedata.normalize("NFC", q),
        sort=cast(SortKey, sort.removeprefix("-")),
        descending=sort.startswith("-"),
        limit=limit,
        cursor=cursor,
    )


async def _text(request: Request) -> str:
    """The request's body. Raises TooLarge, BadMessage."""
    content = bytearray()
    try:
        async for piece in request.stream():
            content += piece
            if len(content) > limits.MAX_HEADER_BYTES:
                raise TooLarge(f"a body of more than {limits.MAX_HEADER_BYTES} bytes", limit=limits.MAX_HEADER_BYTES)
        return content.decode()
    except UnicodeDecodeError:
        raise BadMessage("the body is not UTF-8") from None
    except ClientDisconnect:
        raise BadMessage("the body was not complete") from None


def _body_of(model: type[BaseModel]) -> dict[str, object]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}


# ----------------------------------------------------------------------------------------------------------- answers


async def _open(store: Store, name: Name, stack: AsyncExitStack) -> Content:
    """Open the content that the name means. Raises NotFound."""
    missed: str | None = None
    while (file := await store.find(name)) is not None and file.file_id != missed:
        try:
            return await stack.enter_async_context(store.open(file))
        except NotFound:
            missed = file.file_id  # deleted, or replaced, since it was found: look once more
    raise NotFound(f"the file {str(name)!r}")


async def _page(store: Store, query: FileQuery) -> FilePage:
    try:
        return await store.list_files(query)
    except ValueError as refused:
        raise BadMessage(f"the field cursor is wrong: {refused}, got {shown(query.cursor)}", field="cursor") from None


async def _lines(store: Store, query: FileQuery, page: FilePage) -> AsyncGenerator[bytes, None]:
    """Everything from `page` on, a page at a time."""
    while True:
        yield b"".join(file_entry(file).model_dump_json().encode() + b"\n" for file in page.files)
        if page.next is None:
            return
        page = await store.list_files(replace(query, cursor=page.next))


def _upload_entry(upload: UnfinishedUpload) -> UploadEntry:
    return UploadEntry(
        upload_id=upload.upload_id,
        name=upload.name,
        size=upload.size,
        offset=upload.offset,
        created=upload.created,
        active=upload.active,
        expires=upload.expires,
    )
