"""What somebody uploaded runs nowhere: not where a browser is sent to it, and not in any place of any page.

Each hostile file asks a site for something when it runs. Served by a careless server it does: that is tried first, or
what comes after would prove nothing.
"""

import mimetypes
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final, NamedTuple

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, Route
from playwright.async_api import Error as BrowserError
from starlette.responses import Response

from tests.browser.hostile_files import HOSTILE_FILES, HostileFile
from tests.browser.places import PLACES, begin, load
from tests.browser.sites import Site, site
from tests.end_to_end.conftest import Service, eof, header, serving

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVERYWHERE: Final = ["navigation", *PLACES]
RUNNING: Final = sorted(set[str]().union(*(file.runs_in for file in HOSTILE_FILES)))
SELECTED: Final = ["embed", "object", "popup"]
"""Places that are slow, or where the name alone may decide against it: there only files that would run are tried."""
PAGE: Final = "<!doctype html><title>a page</title>"
TYPES_THAT_ARE_NONE: Final = [
    "text/html\r\nX: y",
    "text/html\nX: y",
    "text/html\0",
    "text",
    "/html",
    "text/",
    "t\x7f/x",
    "",
]


class Scene(NamedTuple):
    """Hostile files at a server, and whom they ask when they run."""

    service: Service
    home: Site


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    folder = tmp_path_factory.mktemp("scene")
    async with site() as home, serving(folder, {"max_connections_per_address": 4_096}) as service:
        async with service.connected() as peer:
            for file in HOSTILE_FILES:
                content = file.content(f"{home.url}/home")
                typed = {} if file.content_type is None else {"content_type": file.content_type}
                metadata = {"Service-Worker-Allowed": "/", "Content-Type": "text/html", "Refresh": "0;url=/docs"}
                fields = header(file.name, len(content), offset=0, metadata=metadata, **typed)
                await peer.send(fields, content, eof(content))
            for _ in HOSTILE_FILES:
                await peer.hear("complete")
        yield Scene(service, home)


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext, scene: Scene) -> AsyncIterator[Page]:
    """A page of nobody's yet; in the end no dialog has come up in it, and nobody has written into it."""
    page = await context.new_page()
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    scene.home.calls.clear()
    yield page
    assert dialogs == []


def tags(files: list[HostileFile]) -> list[str]:
    return [f"/home/{file.tag}" for file in files]


def named(calls: list[str]) -> list[str]:
    """The files that have asked."""
    names = {f"/home/{file.tag}": file.name for file in HOSTILE_FILES}
    return sorted({names.get(call, call) for call in calls})


def urls(base: str, files: list[HostileFile]) -> list[str]:
    return [f"{base}/{file.name}" for file in files]


async def visit(page: Page, url: str) -> None:
    """Send the browser there; what becomes a download stays where it was."""
    with suppress(BrowserError):
        await page.goto(url)


async def test_the_files_are_many_and_differ() -> None:
    assert len(HOSTILE_FILES) >= 50
    assert len({file.tag for file in HOSTILE_FILES}) == len(HOSTILE_FILES)


# ----------------------------------------------------------------------------------------------------- careless server


@pytest.mark.parametrize("place", RUNNING)
async def test_where_a_server_is_careless_they_run(place: str, page: Page, scene: Scene) -> None:
    files = [file for file in HOSTILE_FILES if place in file.runs_in]
    async with site() as careless:
        for file in files:
            said = file.content_type or mimetypes.guess_type(file.name)[0]
            careless.pages[f"/{file.name}"] = Response(
                file.content(f"{scene.home.url}/home"), headers={"content-type": str(said)}
            )
        careless.pages["/"] = Response(PAGE, media_type="text/html")
        await page.goto(careless.url)
        if place == "navigation":
            for url in urls(careless.url, files):
                await page.goto(url)
        else:
            await begin(page, place, urls(careless.url, files))
        await scene.home.until_called(*tags(files))


# ---------------------------------------------------------------------------------------------------------------- ours


@pytest.mark.parametrize("origin", ["own", "foreign"])
@pytest.mark.parametrize("place", EVERYWHERE)
async def test_they_run_nowhere(place: str, origin: str, page: Page, scene: Scene, foreign: Site) -> None:
    base = scene.service.url if origin == "own" else foreign.url
    await stand_on(page, f"{base}/a-page")
    files = [file for file in HOSTILE_FILES if place in file.runs_in or place not in SELECTED]
    targets = urls(f"{scene.service.url}/files", files)
    if place == "navigation":
        for url in targets:
            await visit(page, url)
    else:
        await load(page, place, targets)
    await everything_has_run(page, foreign, scene.home)
    assert named(scene.home.calls) == ["/last"]
    assert (page.url, await page.title()) == (f"{base}/a-page", "a page")
    assert await page.evaluate("self.pwned") is None
    assert await page.evaluate("navigator.serviceWorker.getRegistrations().then(all => all.length)") == 0


async def stand_on(page: Page, url: str) -> None:
    """A page without a policy of its own, as if the server had made it, so that only what it loads protects it."""

    async def made(route: Route) -> None:
        await route.fulfill(body=PAGE, content_type="text/html")

    await page.route(url, made)
    await page.goto(url)


async def everything_has_run(page: Page, foreign: Site, home: Site) -> None:
    """Something that was begun last, and does run, has asked."""
    foreign.pages["/last"] = Response(
        f"<script>fetch('{home.url}/last', {{mode: 'no-cors'}})</script>", media_type="text/html"
    )
    await begin(page, "iframe", [f"{foreign.url}/last"])
    await home.until_called("/last")


async def test_what_a_page_of_the_servers_own_origin_fetches_is_no_document(page: Page, scene: Scene) -> None:
    """A blob of it, opened as a page, would be one of the server's origin: it goes by the type that was sent."""
    await stand_on(page, f"{scene.service.url}/a-page")
    found = await page.evaluate(
        "urls => Promise.all(urls.map(async url => (await (await fetch(url)).blob()).type))",
        urls(f"{scene.service.url}/files", HOSTILE_FILES),
    )
    assert {kind.partition(";")[0] for kind in found} <= {
        "application/octet-stream",
        "application/json",
        "image/gif",
        "image/jpeg",
        "image/png",
        "text/plain",
    }


async def test_every_download_has_the_same_guard_whoever_asks(scene: Scene) -> None:
    guard = {
        "content-security-policy": "sandbox; default-src 'none'",
        "cross-origin-resource-policy": "same-origin",
        "x-content-type-options": "nosniff",
    }
    async with scene.service.http() as http:
        for file in HOSTILE_FILES:
            for method, headers in (("GET", {}), ("HEAD", {}), ("GET", {"range": "bytes=0-1"})):
                answer = await http.request(method, f"/files/{file.name}", headers=headers)
                assert answer.status_code in (200, 206)
                assert guard.items() <= dict(answer.headers).items()
                assert answer.headers["content-disposition"].startswith("attachment; ")
                assert not {"service-worker-allowed", "refresh", "location", "link"} & set(answer.headers)
        listed = (await http.get("/files")).json()["files"]
    stored = {file["name"]: file["content_type"] for file in listed}
    assert {file.name: stored[file.name] for file in HOSTILE_FILES if file.content_type is not None} == {
        file.name: file.content_type for file in HOSTILE_FILES if file.content_type is not None
    }


async def test_a_type_that_could_split_a_header_is_refused(service: Service, subtests: pytest.Subtests) -> None:
    async with service.connected() as peer:
        for kind in TYPES_THAT_ARE_NONE:
            with subtests.test(ascii(kind)):
                await peer.send(header("a", 1, offset=0, content_type=kind), b"a", eof(b"a"))
                assert (await peer.refused("bad_message"))["field"] == "content_type"


# ------------------------------------------------------------------------------------- text that is sent back to people

REFLECTING: Final = {
    "a name that is not there": "/files/{}",
    "a name that is refused": "/files/..%2F{}",
    "a path that is not there": "/{}",
    "a prefix": "/files?prefix={}",
    "a cursor": "/files?cursor={}",
    "a sort": "/files?sort={}",
    "an id": "/uploads/{}",
}


@pytest.mark.parametrize("way", REFLECTING)
async def test_text_that_is_quoted_in_an_answer_does_not_run(way: str, page: Page, scene: Scene, foreign: Site) -> None:
    script = "<script>alert(1)<%2Fscript><img src=x onerror=alert(1)>"
    await page.goto(scene.service.url + REFLECTING[way].format(script))
    assert await page.locator("img, script").count() == 0
    await everything_has_run(page, foreign, scene.home)


async def test_names_and_metadata_in_a_listing_do_not_run(
    context: BrowserContext, service: Service, home: Site, foreign: Site
) -> None:
    script = f"<script>fetch('{home.url}/listed')</script>"
    async with service.connected() as peer:
        name = f"<img src=x onerror=fetch('{home.url.removeprefix('http:')[2:]}')>"
        await peer.send(header(name, 1, offset=0, metadata={script: script}), b"a", eof(b"a"))
        await peer.hear("complete")
    page = await context.new_page()
    for accept in ("text/html", "application/x-ndjson"):
        await page.set_extra_http_headers({"accept": accept})
        await visit(page, f"{service.url}/files")
        assert await page.locator("script").count() == 0
    await page.set_extra_http_headers({})
    await everything_has_run(page, foreign, home)
    assert home.calls == ["/last"]
