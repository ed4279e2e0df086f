"""The list of files, in a real browser: found among 100,000, folder by folder, deleted and brought back, copied."""

from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Locator, Page, Request, expect

from bench.filled import add_files, name_at
from tests.browser.test_login import log_in
from tests.browser.test_pages import payload
from tests.end_to_end.conftest import Service, small
from tests.end_to_end.scene import sha256
from tests.server import http_client, running
from tests.tokens import token_for
from transfer.app import create_app
from transfer.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="session")

MANY: Final = 100_000
PAGE: Final = 100
HOSTILE: Final = "<img src=x onerror=alert(1)>&amp;"
UNDO: Final = "00:10"
"""More than there is time for taking a deletion back."""


async def keep(service: Service, *names: str, content: bytes = b"cargo") -> None:
    """Files of these names, each newer than the one before."""
    async with service.connected() as peer:
        for name in names:
            await peer.send(*small(name, content))
            await peer.hear("complete")


def row(page: Page, name: str) -> Locator:
    """The row of a file, by the last segment of its name."""
    return page.locator(".file").filter(has=page.get_by_role("link", name=name))


async def names(page: Page) -> list[str]:
    return await page.locator("#table tbody th").all_inner_texts()


# ------------------------------------------------------------------------------------------------------- among 100,000


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def many(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A server with 100,000 files that no disk has."""
    settings = Settings(data=tmp_path_factory.mktemp("many") / "data", max_connections_per_address=4_096)
    async with running(settings, create_app(settings)) as url:
        add_files(settings.data / "catalog.db", MANY)
        yield url


async def test_of_100_000_files_there_is_one_page_at_a_time_and_its_address_leads_back_to_it(
    page: Page, many: str
) -> None:
    await page.goto(f"{many}/?all&sort=name")
    rows, place = page.locator(".file"), page.locator("#place")
    await expect(rows).to_have_count(PAGE)
    await page.get_by_role("button", name="Next").click()
    await expect(place).to_have_text("Page 2")
    await expect(rows.first.locator("th")).to_have_text(name_at(PAGE))
    await expect(rows).to_have_count(PAGE)
    await page.get_by_role("button", name="Next").click()
    await expect(rows.first.locator("th")).to_have_text(name_at(2 * PAGE))
    await page.reload()
    await expect(place).to_have_text("Page 3")
    await expect(rows.first.locator("th")).to_have_text(name_at(2 * PAGE))
    await page.go_back()
    await expect(place).to_have_text("Page 2")
    await expect(rows.first.locator("th")).to_have_text(name_at(PAGE))
    await page.get_by_role("button", name="Previous").click()
    await expect(place).to_have_text("Page 1")
    await expect(page.get_by_role("button", name="Previous")).to_be_disabled()
    await expect(rows.first.locator("th")).to_have_text(name_at(0))


async def test_100_000_files_are_sorted_and_searched_by_the_server(page: Page, many: str) -> None:
    await page.goto(f"{many}/?all")
    head, rows = page.get_by_role("columnheader", name="Size"), page.locator(".file")
    for order, sort in (("descending", "-size"), ("ascending", "size")):
        await head.get_by_role("button").click()
        await expect(head).to_have_attribute("aria-sort", order)
        async with http_client(many) as http:
            first = (await http.get("/files", params={"sort": sort, "limit": 1})).json()["files"][0]["name"]
        await expect(rows.first.locator("th")).to_have_text(first)
    await page.get_by_role("searchbox").fill("img_0042")
    await expect(page.locator("#news")).to_have_text("100 files")
    assert all(name.endswith("IMG_0042.jpg") for name in await names(page))
    assert page.url.endswith("?q=img_0042&sort=size&all=")
    await page.reload()
    await expect(rows).to_have_count(PAGE)
    await expect(page.get_by_role("searchbox")).to_have_value("img_0042")
    await page.get_by_role("searchbox").fill("nowhere")
    await expect(page.locator("#not-found")).to_contain_text("No name has “nowhere” in it.")
    await page.go_back()
    await expect(page.get_by_role("searchbox")).to_have_value("")
    await expect(rows).to_have_count(PAGE)


async def test_100_000_files_stand_in_their_folders(page: Page, many: str) -> None:
    await page.goto(many)
    await page.get_by_role("link", name="photos/").click()
    await expect(page.locator(".folder")).to_have_count(MANY // 1_000)
    await page.get_by_role("link", name="0042/").click()
    await expect(page.locator(".file")).to_have_count(PAGE)
    await expect(page.get_by_role("navigation", name="Folders")).to_have_text("Filesphotos0042")


# ----------------------------------------------------------------------------------------------------- folder by folder


async def test_a_folder_shows_what_is_in_it_and_the_way_back_leads_out(page: Page, service: Service) -> None:
    await keep(service, "photos/2026/b.jpg", "photos/2026/a.jpg", "photos/2025/c.jpg", "photos/d.jpg", "e.txt")
    await page.goto(service.url)
    await expect(page.locator("#table tbody th")).to_have_text(["photos/", "e.txt"])
    await page.get_by_role("link", name="photos/").click()
    await expect(page.locator("#table tbody th")).to_have_text(["2025/", "2026/", "d.jpg"])
    await page.get_by_role("link", name="2026/").click()
    await expect(page.locator("#table tbody th")).to_have_text(["a.jpg", "b.jpg"])
    await page.reload()
    await expect(page.locator("#table tbody th")).to_have_text(["a.jpg", "b.jpg"])
    await page.get_by_role("navigation", name="Folders").get_by_role("link", name="photos").click()
    await expect(page.locator("#table tbody th")).to_have_text(["2025/", "2026/", "d.jpg"])
    await page.go_back()
    await expect(page.locator("#table tbody th")).to_have_text(["a.jpg", "b.jpg"])
    await page.go_back()
    await page.go_back()
    await expect(page.locator("#table tbody th")).to_have_text(["photos/", "e.txt"])


async def test_two_quick_clicks_lead_to_the_next_page_once(page: Page, many: str) -> None:
    await page.goto(f"{many}/?all&sort=name")
    await expect(page.locator(".file")).to_have_count(PAGE)
    await page.evaluate("document.getElementById('next').click(); document.getElementById('next').click()")
    await expect(page.locator(".file").first.locator("th")).to_have_text(name_at(PAGE))
    await expect(page.locator("#place")).to_have_text("Page 2")
    await page.go_back()
    await expect(page.locator("#place")).to_have_text("Page 1")


async def test_a_search_looks_below_the_folder_that_is_open(page: Page, service: Service) -> None:
    await keep(service, "photos/2026/cat.jpg", "photos/2025/dog.jpg", "cat.txt")
    await page.goto(f"{service.url}/?in=photos/")
    await page.get_by_role("searchbox").fill("CAT")
    await expect(page.locator("#table tbody th")).to_have_text(["2026/cat.jpg"])
    await page.get_by_role("searchbox").fill("")
    await expect(page.locator("#table tbody th")).to_have_text(["2025/", "2026/"])
    await page.get_by_role("checkbox", name="Without folders").check()
    await expect(page.locator("#table tbody th")).to_have_text(["2025/dog.jpg", "2026/cat.jpg"])


async def test_a_folder_that_is_empty_and_an_address_that_leads_nowhere_say_so(page: Page, service: Service) -> None:
    await keep(service, "a")
    await page.goto(f"{service.url}/?in=gone/&cursor=nonsense&sort=nonsense")
    await expect(page.locator("#no-folder")).to_contain_text("Nothing is in this folder.")
    await page.locator("#no-folder").get_by_role("link").click()
    await expect(page.locator("#table tbody th")).to_have_text(["a"])


async def test_who_has_a_token_for_one_folder_begins_there(page: Page, service: Service) -> None:
    await keep(service, "team/ann/a", "team/b")
    ann = await token_for(service.store, "ann", ["read"], prefix="team/ann/")
    await page.goto(service.url)
    await log_in(page, ann)
    await expect(page.locator("#table tbody th")).to_have_text(["a"])
    await expect(page.get_by_role("navigation", name="Folders")).to_have_text("Files")
    await page.goto(f"{service.url}/?in=team/")
    await expect(page.locator("#table tbody th")).to_have_text(["a"])


# ------------------------------------------------------------------------------------- deleting, and taking it back


async def test_a_deletion_that_is_undone_never_reaches_the_server(page: Page, service: Service) -> None:
    await keep(service, "a", "b", "c")
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request))
    await page.clock.install()
    await page.goto(service.url)
    for name in ("a", "b"):
        await page.get_by_role("button", name=f"Delete: {name}").click()
    await expect(page.locator("#table tbody th")).to_have_text(["c"])
    await page.get_by_role("listitem").filter(has_text="a is deleted").get_by_role("button", name="Undo").click()
    await expect(page.locator("#table tbody th")).to_have_text(["c", "a"])
    await page.keyboard.press("Control+z")
    await expect(page.locator("#table tbody th")).to_have_text(["c", "b", "a"])
    await expect(page.locator("#news")).to_have_text("b is back")
    await page.clock.fast_forward(UNDO)
    assert "DELETE" not in [request.method for request in asked]
    assert await service.names() == ["a", "b", "c"]


async def test_a_deletion_is_sent_when_the_time_is_over(page: Page, service: Service) -> None:
    await keep(service, "a", "b")
    await page.clock.install()
    await page.goto(service.url)
    await page.get_by_role("button", name="Delete: a").click()
    await expect(page.locator("#notices li")).to_have_text("a is deletedUndo")
    assert await service.names() == ["a", "b"]
    async with page.expect_event("requestfinished", lambda request: request.method == "DELETE"):
        await page.clock.fast_forward(UNDO)
    assert await service.names() == ["b"]
    await expect(page.locator("#notices li")).to_have_count(0)
    await expect(page.locator("#table tbody th")).to_have_text(["b"])


async def test_a_deletion_is_sent_when_the_page_is_left(page: Page, service: Service) -> None:
    await keep(service, "a", "b")
    await page.goto(service.url)
    await page.get_by_role("button", name="Delete: a").click()
    await expect(page.locator(".file")).to_have_count(1)
    async with service.connected("/events") as stream:
        await page.goto("about:blank")
        while (await stream.receive()).get("event") != "deleted":
            pass
    assert await service.names() == ["b"]


async def test_what_was_replaced_before_the_deletion_came_stays(page: Page, service: Service) -> None:
    await keep(service, "a")
    await page.clock.install()
    await page.route("**/events", lambda route: route.fulfill(status=503))  # so that only the server knows
    await page.goto(service.url)
    await page.get_by_role("button", name="Delete: a").click()
    async with service.connected() as peer:
        await peer.send(*small("a", b"another", if_exists="replace"))
        await peer.hear("complete")
    await page.clock.fast_forward(UNDO)
    await expect(page.locator("#notices li")).to_have_text("a is not deleted: it was replaced meanwhile")
    assert await service.stored("a") == b"another"


@pytest.mark.parametrize("content", [b"cargo", b"another"], ids=["the same", "another"])
async def test_who_sends_a_file_of_a_name_that_is_on_its_way_out_has_it_in_its_place(
    page: Page, service: Service, content: bytes
) -> None:
    await keep(service, "a")
    await page.clock.install()
    await page.goto(service.url)
    await page.get_by_role("button", name="Delete: a").click()
    await page.locator("#pick").set_input_files(payload("A", content))
    await expect(page.locator("#sent .done .state")).to_contain_text("done,")
    await page.clock.fast_forward(UNDO)
    await expect(page.locator("#table tbody th")).to_have_text(["A"])
    assert await service.names() == ["A"]
    assert await service.stored("A") == content


async def test_a_file_that_got_another_name_says_so(page: Page, service: Service) -> None:
    await keep(service, "a.txt")
    await page.goto(service.url)
    await page.locator("#pick").set_input_files(payload("a.txt", b"another"))
    await expect(page.locator("#sent .done .state")).to_contain_text("done, as a (2).txt")
    await expect(page.locator("#news")).to_have_text("a.txt has arrived as a (2).txt")


async def test_a_deletion_that_is_refused_is_told_and_the_file_is_back(page: Page, service: Service) -> None:
    await keep(service, "a")
    await page.clock.install()
    await page.goto(service.url)
    await page.route("**/files/a", lambda route: route.abort())
    await page.get_by_role("button", name="Delete: a").click()
    await page.clock.fast_forward(UNDO)
    await expect(page.locator("#notices .trouble")).to_contain_text(
        "a was not deleted. The server could not be reached."
    )
    await expect(page.locator("#table tbody th")).to_have_text(["a"])


async def test_who_may_not_delete_is_offered_no_deletion(page: Page, service: Service) -> None:
    await keep(service, "a")
    reader = await token_for(service.store, "bob", ["read"])
    await page.goto(service.url)
    await log_in(page, reader)
    await expect(row(page, "a").get_by_role("button")).to_have_count(2)
    await expect(page.get_by_role("button", name="Delete: a")).to_have_count(0)


async def test_who_logs_out_has_deleted(page: Page, service: Service) -> None:
    await keep(service, "a", "b")
    ann = await token_for(service.store, "ann")
    await page.goto(service.url)
    await log_in(page, ann)
    await page.get_by_role("button", name="Delete: a").click()
    await page.get_by_role("button", name="Log out").click()
    await expect(page.locator("#entrance")).to_be_visible()
    await log_in(page, ann)
    await expect(page.locator("#table tbody th")).to_have_text(["b"])


# ---------------------------------------------------------------------------------------------------- link and digest


@pytest.mark.parametrize("may_copy", [True, False], ids=["over TLS or loopback", "on a plain-http LAN"])
async def test_a_link_and_a_digest_are_copied(
    context: BrowserContext, page: Page, service: Service, may_copy: bool
) -> None:
    await keep(service, "photos/50% ä#.jpg")
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    if not may_copy:
        await page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    await page.goto(f"{service.url}/?all")
    await page.get_by_role("button", name="Copy link").click()
    await expect(page.locator("#news")).to_have_text("The link is copied")
    assert await pasted(page) == f"{service.url}/files/photos/50%25%20%C3%A4%23.jpg"
    await page.get_by_role("button", name="Details").click()
    await expect(page.locator(".facts code")).to_have_text(sha256(b"cargo"))
    await expect(page.get_by_role("button", name="Details")).to_have_attribute("aria-expanded", "true")
    await page.get_by_role("button", name="Copy the digest").click()
    await expect(page.locator("#news")).to_have_text("The digest is copied")
    assert await pasted(page) == sha256(b"cargo")
    await page.get_by_role("button", name="Details").click()
    await expect(page.locator(".facts")).to_have_count(0)


async def test_a_link_for_people_without_a_token_is_made_and_copied(
    context: BrowserContext, page: Page, service: Service
) -> None:
    await keep(service, "plan.pdf")
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    ann = await token_for(service.store, "ann", ["read"])
    await page.goto(service.url)
    await log_in(page, ann)
    await page.get_by_role("button", name="Details").click()
    await page.get_by_role("button", name="Copy a link that needs no token").click()
    await expect(page.locator("#notices li")).to_contain_text("The link is copied.")
    async with service.http() as http:
        assert (await http.get(urlsplit(await pasted(page)).path)).content == b"cargo"


async def pasted(page: Page) -> str:
    """What is in the clipboard, as a person gets it out."""
    other = await page.context.new_page()
    await other.set_content("<textarea autofocus></textarea>")
    await other.locator("textarea").focus()
    await other.keyboard.press("Control+v")
    text = await other.locator("textarea").input_value()
    await other.close()
    return text


# -------------------------------------------------------------------------------------------- whoever comes, however


async def test_everything_goes_by_keyboard_alone(page: Page, service: Service) -> None:
    await keep(service, "folder/a", "folder/b")
    await page.clock.install()
    await page.goto(service.url)
    await expect(page.locator(".folder")).to_have_count(1)
    await to(page, "folder/")
    await page.keyboard.press("Enter")
    await expect(page.locator(".file")).to_have_count(2)
    await to(page, "Arrived")
    await page.keyboard.press("Enter")
    await expect(page.locator("#table tbody th")).to_have_text(["a", "b"])
    await to(page, "Delete: a")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Undo")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(row(page, "a").get_by_role("link")).to_be_focused()
    await to(page, "Delete: a")
    await page.keyboard.press("Space")
    async with page.expect_event("requestfinished", lambda request: request.method == "DELETE"):
        await page.clock.fast_forward(UNDO)
    await expect(row(page, "b").get_by_role("link")).to_be_focused()
    assert await service.names() == ["folder/b"]


async def to(page: Page, name: str) -> None:
    """Press Tab until what has this name has the focus."""
    said = "document.activeElement.ariaLabel ?? document.activeElement.textContent"
    for _ in range(60):
        await page.keyboard.press("Tab")
        if str(await page.evaluate(said)).strip() == name:
            return
    raise AssertionError(f"Tab never leads to {name!r}")


async def test_a_name_that_is_markup_stays_text_wherever_it_is_shown(page: Page, service: Service) -> None:
    folder, last = HOSTILE.replace("/", ""), f"{HOSTILE}'\"`"
    await keep(service, f"{folder}/{last}")
    await page.goto(service.url)
    await page.locator(".folder a").click()
    await expect(page.locator(".file .name")).to_have_text(last)
    await expect(page.get_by_role("navigation", name="Folders").locator("li").last).to_have_text(folder)
    await page.get_by_role("button", name="Details").click()
    await expect(page.locator(".facts dd").first).to_have_text(f"{folder}/{last}")
    await page.get_by_role("searchbox").fill(HOSTILE)
    await expect(page.locator(".file .name")).to_have_text(last)
    await page.get_by_role("button", name="Delete").click()
    await expect(page.locator("#notices li span").first).to_have_text(f"{last} is deleted")
    await page.get_by_role("searchbox").fill(f"{HOSTILE} no")
    await expect(page.locator("#not-found")).to_contain_text(HOSTILE)
    assert await page.locator("main img").count() == 0


async def test_what_failed_says_what_to_do_and_goes_on_by_itself(page: Page, service: Service) -> None:
    await keep(service, "a")
    await page.clock.install()
    await page.goto(service.url)
    await expect(page.locator(".file")).to_have_count(1)
    await page.route("**/files?*", lambda route: route.abort())
    await page.get_by_role("button", name="Size").click()
    trouble, head = page.get_by_role("alert"), page.get_by_role("columnheader", name="Size")
    await expect(trouble).to_contain_text("The server could not be reached. Is the network there? Then try again.")
    async with page.expect_event("requestfailed"):
        await trouble.get_by_role("button", name="Try again").click()
    await expect(trouble).to_be_visible()
    await expect(head).to_have_attribute("aria-sort", "none")
    await page.unroute("**/files?*")
    await page.clock.fast_forward("00:06")
    await expect(trouble).to_be_hidden()
    await expect(head).to_have_attribute("aria-sort", "descending")


async def test_a_page_of_files_that_are_all_gone_makes_way_for_the_first(page: Page, service: Service) -> None:
    await keep(service, *(f"{number:03}" for number in range(PAGE + 1)))
    await page.goto(f"{service.url}/?sort=name")
    await page.get_by_role("button", name="Next").click()
    await expect(page.locator("#table tbody th")).to_have_text([f"{PAGE:03}"])
    async with service.http() as http:
        await http.delete(f"/files/{PAGE:03}")
    await expect(page.locator(".file")).to_have_count(PAGE)
    await expect(page.locator("#pages")).to_be_hidden()
