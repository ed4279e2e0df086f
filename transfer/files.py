"""Files over HTTP: list, download, rename, delete.

What is outside of the caller's prefix is not there. Names come percent-encoded in the path and are parsed here, once.
Content is always an attachment that a browser neither renders nor guesses at: nothing that somebody uploaded runs in
the server's origin.
"""

import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import Annotated, Final, Literal, cast
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from storage.errors import NameTaken, NotFound
from storage.store import Content, FilePage, FileQuery, SortKey, Store
from transfer.access.auth import address_of
from transfer.access.callers import Reader, Remover, Renamer, caller
from transfer.access.principal import Principal
from transfer.access.watch import Watch
from transfer.bodies import callers_fields, described, text_field
from transfer.downloads import DOWNLOAD_RESPONSES, download, entity_tag, is_meant
from transfer.entries import FILES_PATH, file_entry, lines_json, page_json
from transfer.pace.rates import Rates, caller_of
from transfer.problems import PROBLEM_RESPONSES, shown
from transfer.protocol import limits, names
from transfer.protocol.errors import BadMessage, InvalidName
from transfer.protocol.messages import FileEntry
from transfer.protocol.names import Name
from transfer.refusals import refusal
from transfer.streamed import StreamedResponse

NDJSON: Final = "application/x-ndjson"
MAX_QUERY_CHARACTERS: Final = names.MAX_NAME_BYTES * 4
"""Normalizing long text takes quadratic time."""

Sort = Literal["name", "-name", "size", "-size", "created", "-created", "modified", "-modified"]


class FileListing(BaseModel):
    """A page of files; `next` is the `cursor` of the one after it. `folders` are there with a `delimiter` alone."""

    folders: list[str]
    files: list[FileEntry]
    next: str | None


class NewName(BaseModel):
    """What a file is to be called."""

    name: str


def router(store: Store, watch: Watch, rates: Rates) -> APIRouter:
    """The routes of files in `store`."""
    routes = APIRouter(responses=PROBLEM_RESPONSES, dependencies=[Depends(caller)])

    async def opened(principal: Reader, name: Annotated[Name, Depends(requested_name)]) -> AsyncIterator[Content]:
        """The file's content, open until the response was sent."""
        async with AsyncExitStack() as stack:
            yield await _open(store, _seen(name, principal), stack)

    @routes.get("/files", response_model=FileListing, responses={200: {"content": {NDJSON: {}}}})
    async def list_files(
        request: Request, principal: Reader, query: Annotated[FileQuery, Depends(file_query)]
    ) -> Response:
        """List files; with `Accept: application/x-ndjson` all that match, an object a line."""
        query = replace(query, within=principal.prefix)
        page = await _page(store, query)
        if NDJSON in request.headers.get("accept", "").lower():
            headers = {"content-type": NDJSON, "vary": "accept"}
            return StreamedResponse(_lines(store, query, page), headers, partial(watch.over, principal))
        return Response(page_json(page), media_type="application/json")

    @routes.get("/files/{name:path}", response_class=Response, responses=DOWNLOAD_RESPONSES)
    async def get_file(request: Request, principal: Reader, content: Annotated[Content, Depends(opened)]) -> Response:
        """Download a file, or a range of it."""
        sharing = partial(rates.downloads.share, caller_of(principal, address_of(request)))
        return download(content, request.method, request.headers, partial(watch.over, principal), sharing)

    routes.add_api_route("/files/{name:path}", get_file, methods=["HEAD"], include_in_schema=False)

    @routes.patch("/files/{name:path}", openapi_extra=described(NewName))
    async def rename_file(
        request: Request, principal: Renamer, name: Annotated[Name, Depends(requested_name)]
    ) -> FileEntry:
        """Give a file another name: the old one vanishes, which takes the scope `delete`, and another appears, which
        takes `upload`."""
        wanted = parse_name(text_field(await callers_fields(request), "name"))
        principal.require_name(wanted)
        try:
            return file_entry(await store.rename(_seen(name, principal), wanted))
        except NameTaken as taken:
            raise refusal(taken, principal) from taken

    @routes.delete("/files/{name:path}", status_code=204)
    async def delete_file(
        principal: Remover,
        name: Annotated[Name, Depends(requested_name)],
        if_match: Annotated[str | None, Header(description="delete it only while it has this ETag")] = None,
    ) -> None:
        """Delete a file. Downloads that have begun are not cut short."""
        await store.delete(_seen(name, principal), is_meant=lambda file: is_meant(if_match, entity_tag(file)))

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
    delimiter: Annotated[
        Literal["/"] | None,
        Query(description="list one level: files without another `/` after `prefix`, and first the folders of others"),
    ] = None,
    sort: Annotated[Sort, Query(description="`-` is for descending")] = "name",
    limit: Annotated[int, Query(ge=1, le=limits.MAX_LISTING)] = limits.MAX_LISTING,
    cursor: Annotated[str | None, Query(description="the `next` of the page before")] = None,
) -> FileQuery:
    return FileQuery(
        prefix=unicodedata.normalize("NFC", prefix),
        contains=unicodedata.normalize("NFC", q),
        by_folder=delimiter is not None,
        sort=cast(SortKey, sort.removeprefix("-")),
        descending=sort.startswith("-"),
        limit=limit,
        cursor=cursor,
    )


# ----------------------------------------------------------------------------------------------------------- answers


def _seen(name: Name, principal: Principal) -> Name:
    """The name, if the caller may see what has it. Raises NotFound, as for a name that nothing has."""
    if not principal.reaches(name):
        raise NotFound(f"the file {str(name)!r}")
    return name


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
        yield lines_json(page)
        if page.next is None:
            return
        page = await store.list_files(replace(query, cursor=page.next))
