"""What others do, as it happens: a page shows it without being loaded anew."""

import asyncio
from typing import Final

import pytest
from playwright.async_api import Page, expect

from tests.browser.sites import PATIENCE
from tests.browser.test_files import keep, names
from tests.end_to_end.conftest import Service, small
from tests.end_to_end.scene import MIB, content

pytestmark = pytest.mark.asyncio(loop_scope="session")

SIZE: Final = 4 * MIB
THERE: Final = MIB


async def settled(page: Page, service: Service) -> None:
    """Load the page, and wait until it has heard where the server's stream begins, and has its list."""
    heard = asyncio.Event()
    tools = await page.context.new_cdp_session(page)
    tools.on("Network.eventSourceMessageReceived", lambda _: heard.set())
    await tools.send("Network.enable")
    await page.goto(service.url)
    async with asyncio.timeout(PATIENCE):
        await heard.wait()
    await expect(page.locator("#table, #empty").filter(visible=True)).to_have_count(1)


async def test_an_upload_of_somebody_else_is_seen_to_arrive(page: Page, service: Service) -> None:
    await settled(page, service)
    async with service.connected() as peer:
        ready = await peer.hold("photos/cat.jpg", SIZE, content(SIZE)[:THERE])
        arriving = page.locator("#arriving")
        await expect(arriving.locator("li .name")).to_have_text("photos/cat.jpg")
        await expect(arriving.locator("li .state")).to_have_text("1.0 MB of 4.2 MB")
        await expect(arriving.get_by_role("progressbar")).to_have_attribute("value", str(THERE))
        await peer.complete(content(SIZE), ready | {"offset": THERE})
    await expect(arriving).to_be_hidden()
    await expect(page.locator("#table tbody th")).to_have_text(["photos/"])
    await page.get_by_role("link", name="photos/").click()
    await expect(page.locator("#table tbody th")).to_have_text(["cat.jpg"])
    await keep(service, "photos/dog.jpg")
    await expect(page.locator("#table tbody th")).to_have_text(["dog.jpg", "cat.jpg"])


async def test_an_upload_that_somebody_cancels_is_not_arriving_any_more(page: Page, service: Service) -> None:
    await settled(page, service)
    async with service.connected() as peer:
        await peer.hold("a", SIZE, content(SIZE)[:THERE])
        await expect(page.locator("#arriving li")).to_have_count(1)
        await peer.send({"type": "cancel"})
        await peer.hear("cancelled")
    await expect(page.locator("#arriving")).to_be_hidden()


async def test_what_somebody_else_deletes_and_renames_changes_the_list_and_nothing_that_is_open(
    page: Page, service: Service
) -> None:
    await keep(service, "a", "b", "c")
    await settled(page, service)
    await page.get_by_role("button", name="Details: b").click()
    async with service.http() as http:
        assert (await http.delete("/files/a")).status_code == 204
        assert (await http.patch("/files/c", json={"name": "d"})).status_code == 200
    await expect(page.locator("#table tbody th")).to_have_text(["d", "b"])
    await expect(page.locator(".facts")).to_have_count(1)
    await expect(page.get_by_role("button", name="Details: b")).to_be_focused()


async def test_a_file_that_somebody_replaces_meanwhile_is_not_deleted(page: Page, service: Service) -> None:
    await keep(service, "a")
    await page.clock.install()
    await settled(page, service)
    await page.get_by_role("button", name="Delete: a").click()
    async with service.connected() as peer:
        await peer.send(*small("a", b"another", if_exists="replace"))
        await peer.hear("complete")
    await expect(page.locator("#notices li")).to_contain_text("a is not deleted: it was replaced meanwhile")
    await page.clock.fast_forward("00:10")
    assert await names(page) == ["a"]
    assert await service.stored("a") == b"another"


async def test_a_stream_that_was_refused_is_asked_for_again(page: Page, service: Service) -> None:
    await page.clock.install()
    await page.route("**/events", lambda route: route.fulfill(status=503))
    async with page.expect_response("**/events"):
        await page.goto(service.url)
    await page.unroute("**/events")
    await keep(service, "a")
    async with page.expect_response("**/events"):
        await page.clock.fast_forward("00:03")
    await page.clock.fast_forward("00:02")
    await expect(page.locator("#table tbody th")).to_have_text(["a"])
