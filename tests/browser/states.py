"""The states that the pages can be in, each brought about as people bring it about."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from playwright.async_api import Page, expect

from tests.browser.test_files import keep
from tests.browser.test_live import settled
from tests.browser.test_login import log_in
from tests.browser.test_pages import payload, send, sent
from tests.end_to_end.conftest import Service
from tests.links import Link
from tests.tokens import request_link, token_for
from transfer.access.tokens import Secret

MIB: Final = 1 << 20
NAMES: Final = (
    "photos/2026/harbour.jpg",
    "music/tides.flac",
    "minutes/2026/november/of_the_meeting_about_where_the_new_crane_is_to_stand_and_about_who_is_to_pay_for_it.txt",
    "plan of the new quay.pdf",
    "logbook-2026-11.csv",
    "crane.tar.gz",
    "README.txt",
)
State = Callable[[Page, Service], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def empty(page: Page, service: Service) -> AsyncIterator[None]:
    await page.goto(service.url)
    await expect(page.locator("#nothing")).to_be_visible()
    yield


@asynccontextmanager
async def files(page: Page, service: Service) -> AsyncIterator[None]:
    for place, name in enumerate(NAMES):
        await keep(service, name, content=b"x" * 7 ** (place + 1))
    await page.goto(service.url)
    await expect(page.locator(".file")).to_have_count(4)
    yield


@asynccontextmanager
async def pages(page: Page, service: Service) -> AsyncIterator[None]:
    await keep(service, *(f"log/{number:03}.txt" for number in range(130)))
    await page.goto(f"{service.url}/?in=log/")
    await page.get_by_role("button", name="Next").click()
    await expect(page.locator("#place")).to_have_text("Page 2")
    yield


@asynccontextmanager
async def found(page: Page, service: Service) -> AsyncIterator[None]:
    async with files(page, service):
        await page.get_by_role("searchbox").fill("2026")
        await expect(page.locator(".file")).to_have_count(3)
        yield


@asynccontextmanager
async def not_found(page: Page, service: Service) -> AsyncIterator[None]:
    async with files(page, service):
        await page.get_by_role("searchbox").fill("submarine")
        await expect(page.locator("#not-found")).to_be_visible()
        yield


@asynccontextmanager
async def details(page: Page, service: Service) -> AsyncIterator[None]:
    async with files(page, service):
        await page.get_by_role("button", name="Details: plan").click()
        await expect(page.locator(".facts")).to_be_visible()
        yield


@asynccontextmanager
async def deleting(page: Page, service: Service) -> AsyncIterator[None]:
    await page.clock.install()
    async with files(page, service):
        for name in ("crane.tar.gz", "README.txt"):
            await page.get_by_role("button", name=f"Delete: {name}").click()
        await page.clock.fast_forward("00:02")
        yield


@asynccontextmanager
async def arriving(page: Page, service: Service) -> AsyncIterator[None]:
    await keep(service, "README.txt")
    await settled(page, service)
    async with service.connected() as peer:
        for name, part in (("photos/2026/launch.mp4", 3), ("photos/2026/crew.jpg", 1)):
            await peer.hold(name, 4 * MIB, bytes(part * MIB))
        await expect(page.locator("#arriving .state")).to_have_text(["3.1 MB of 4.2 MB", "1.0 MB of 4.2 MB"])
        yield


@asynccontextmanager
async def busy(page: Page, service: Service) -> AsyncIterator[None]:
    """What the README shows."""
    for place, name in enumerate(NAMES):
        await keep(service, name, content=b"x" * 7 ** (place + 1))
    async with Link("127.0.0.1", service.port) as link, service.connected() as peer:
        await page.goto(link.url)
        await expect(page.locator(".file")).to_have_count(4)
        link.hold_after(upstream=9 * MIB)
        await send(page, payload("survey of the harbour.pdf", bytes(14 * MIB)))
        await expect(page.locator("#sent .going .state")).to_contain_text(" of 14.7 MB")
        await peer.hold("photos/2026/launch.mp4", 48 * MIB, bytes(31 * MIB))
        await expect(page.locator("#arriving .state")).to_have_text(["32.5 MB of 50.3 MB"])
        yield


@asynccontextmanager
async def uploads(page: Page, service: Service) -> AsyncIterator[None]:
    await page.goto(service.url)
    await send(page, payload("plan of the new quay.pdf", bytes(MIB)), payload("NUL", b"x"))
    await sent(page)
    await expect(page.locator(".failed")).to_have_count(1)
    await expect(page.locator(".file")).to_have_count(1)
    yield


@asynccontextmanager
async def trouble(page: Page, service: Service) -> AsyncIterator[None]:
    async with files(page, service):
        await page.route("**/files?*", lambda route: route.abort())
        await page.get_by_role("button", name="Size").click()
        await expect(page.get_by_role("alert")).to_be_visible()
        yield


@asynccontextmanager
async def login(page: Page, service: Service) -> AsyncIterator[None]:
    await token_for(service.store, "ann")
    await page.goto(service.url)
    await log_in(page, Secret.new())
    await expect(page.locator("#refusal")).not_to_be_empty()
    yield


@asynccontextmanager
async def reader(page: Page, service: Service) -> AsyncIterator[None]:
    await keep(service, "team/plan.pdf", "team/README.txt")
    ann = await token_for(service.store, "ann", ["read"], prefix="team/")
    await page.goto(service.url)
    await log_in(page, ann)
    await expect(page.locator(".file")).to_have_count(2)
    await page.get_by_role("button", name="Details: plan.pdf").click()
    yield


@asynccontextmanager
async def request(page: Page, service: Service) -> AsyncIterator[None]:
    await token_for(service.store, "ann")
    link = await request_link(service.store, "ann", prefix="inbox/")
    await page.goto(f"{service.url}/r/{link.in_link}")
    await send(page, payload("bid.pdf", bytes(MIB)))
    await sent(page)
    yield


@asynccontextmanager
async def no_link(page: Page, service: Service) -> AsyncIterator[None]:
    await token_for(service.store, "ann")
    await page.goto(f"{service.url}/r/{Secret.new().in_link}")
    await expect(page.locator("#trouble")).to_be_visible()
    yield


@asynccontextmanager
async def docs(page: Page, service: Service) -> AsyncIterator[None]:
    await page.goto(f"{service.url}/docs")
    await expect(page.get_by_role("heading", name="GET /files", exact=True)).to_be_visible()
    yield


STATES: Final[dict[str, State]] = {
    state.__name__: state
    for state in (
        empty,
        files,
        pages,
        found,
        not_found,
        details,
        deleting,
        arriving,
        busy,
        uploads,
        trouble,
        login,
        reader,
        request,
        no_link,
        docs,
    )
}
