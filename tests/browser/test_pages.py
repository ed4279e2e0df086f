"""The pages, in a real browser: files go in and come out, whatever breaks, and nothing of it is from elsewhere."""

from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import FilePayload, Page, expect
from starlette.responses import Response

from tests.browser.sites import Site
from tests.end_to_end.conftest import Service, small
from tests.end_to_end.scene import MIB, content, sha256
from tests.links import Link
from tests.tokens import bearer, request_link, token_for
from transfer.access.auth import COOKIE
from transfer.access.tokens import Secret

pytestmark = pytest.mark.asyncio(loop_scope="session")

SIZE: Final = 6 * MIB + 789
CUT: Final = 3 * MIB
HOSTILE: Final = "<img src=x onerror=alert(1)>&amp;"


@pytest_asyncio.fixture(loop_scope="session")
async def link(service: Service) -> AsyncIterator[Link]:
    """A way to the server that can be cut."""
    async with Link("127.0.0.1", service.port) as link:
        yield link


def payload(name: str, data: bytes) -> FilePayload:
    return {"name": name, "mimeType": "", "buffer": data}


async def send(page: Page, *files: FilePayload) -> None:
    """Pick files, in a page that takes some."""
    await expect(page.locator("#uploads")).to_be_visible()
    await page.locator("#pick").set_input_files(list(files))


async def sent(page: Page, count: int = 1) -> None:
    """Wait until so many have arrived."""
    await expect(page.locator("#sent .done")).to_have_count(count)


# ------------------------------------------------------------------------------------------------------------ the files


async def test_where_nobody_is_asked_for_a_token_files_are_sent_and_listed(page: Page, service: Service) -> None:
    await page.goto(service.url)
    await expect(page.locator("#who")).to_have_text("This server asks nobody for a token")
    await expect(page.locator("#nothing")).to_be_visible()
    await send(page, payload("a.bin", content(SIZE)), payload("empty", b""))
    await sent(page, 2)
    await expect(page.locator(".file")).to_have_count(2)
    links = page.get_by_role("link", name="a.bin")
    assert await links.get_attribute("href") == "/files/a.bin"
    assert sha256(await service.stored("a.bin")) == sha256(content(SIZE))
    assert await service.stored("empty") == b""
    await expect(page.locator("#news")).to_have_text("a.bin has arrived")


async def test_a_link_of_the_list_downloads_the_file(page: Page, service: Service) -> None:
    async with service.connected() as peer:
        await peer.send(*small("folder/50% ä?#.txt", b"cargo"))
        await peer.hear("complete")
    await page.goto(f"{service.url}/?all")
    async with page.expect_download() as download:
        await page.locator(".file a").click()
    assert (await download.value).suggested_filename == "50% ä_#.txt"


async def test_names_are_text(page: Page, service: Service) -> None:
    async with service.connected() as peer:
        await peer.send(*small(HOSTILE, b"cargo"))
        await peer.hear("complete")
    await page.goto(f"{service.url}/?all")
    await expect(page.locator(".file th")).to_have_text(HOSTILE)
    await send(page, payload(HOSTILE.replace("/", ""), b"other"))
    await sent(page)
    await expect(page.locator("#sent .name")).to_have_text(HOSTILE)
    assert await page.locator("main img").count() == 0


async def test_a_refusal_is_said_in_the_servers_words_and_can_be_tried_again(page: Page, service: Service) -> None:
    await page.goto(service.url)
    await send(page, payload("NUL", b"x"), payload("next", b"x"))
    await sent(page)
    await expect(page.locator(".failed .state")).to_have_text(
        "Windows device name: 'NUL'. Rename it, and choose it again."
    )
    await page.get_by_role("button", name="Try again").click()
    await expect(page.locator("#news")).to_contain_text("NUL was not sent: windows device name: 'NUL'")
    await expect(page.locator(".failed")).to_have_count(1)


# ------------------------------------------------------------------------------------------------------- what may break


async def test_it_waits_for_the_network_and_goes_on(page: Page, link: Link, service: Service) -> None:
    await page.goto(link.url)
    await expect(page.locator("#uploads")).to_be_visible()
    link.hold_after(upstream=CUT)
    await send(page, payload("a.bin", content(SIZE)))
    await link.until(lambda link: link.upstream_bytes >= CUT)
    link.refusing = True
    link.cut()
    await expect(page.locator("#sent .state")).to_have_text("waiting for the network…")
    link.thaw()
    link.refusing = False
    await sent(page)
    assert await service.stored("a.bin") == content(SIZE)


async def test_who_closed_the_page_of_a_request_link_chooses_the_file_again_and_it_goes_on(
    page: Page, link: Link, service: Service
) -> None:
    alice = await token_for(service.store, "alice")
    secret = await request_link(service.store, "alice", prefix="inbox/")
    await page.goto(f"{link.url}/r/{secret.in_link}")
    await expect(page.locator("#uploads")).to_be_visible()
    link.hold_after(upstream=CUT)
    await send(page, payload("a.bin", content(SIZE)))
    await link.until(lambda link: link.upstream_bytes >= CUT)
    link.thaw()
    link.cut()
    await page.close()
    again = await page.context.new_page()
    await again.goto(f"{link.url}/r/{secret.in_link}")
    await send(again, payload("a.bin", content(SIZE)))
    await sent(again)
    assert link.upstream_bytes < SIZE + CUT, "what was acknowledged is not sent again"
    (file,) = await files_of(service, alice)
    assert file == ("inbox/a.bin", sha256(content(SIZE)))


async def files_of(service: Service, token: Secret) -> list[tuple[str, str]]:
    """Names and digests."""
    async with service.http() as http:
        files = (await http.get("/files", headers=bearer(token))).json()["files"]
    return [(file["name"], file["digest"]) for file in files]


# -------------------------------------------------------------------------------------------------------- request links


async def test_somebody_without_a_token_sends_a_file_through_a_request_link(page: Page, service: Service) -> None:
    alice = await token_for(service.store, "alice")
    secret = await request_link(service.store, "alice", prefix="inbox/")
    await page.goto(f"{service.url}/r/{secret.in_link}")
    await send(page, payload("a.bin", content(SIZE)))
    await sent(page)
    assert await files_of(service, alice) == [("inbox/a.bin", sha256(content(SIZE)))]
    kept = await page.evaluate("Object.entries(localStorage)")
    assert len(kept) == 1
    assert secret.in_link not in str(kept)
    assert await page.context.cookies() == []


async def test_who_is_logged_in_as_somebody_else_sends_through_the_link_all_the_same(
    page: Page, service: Service
) -> None:
    bob = await token_for(service.store, "bob")
    secret = await request_link(service.store, "alice", prefix="inbox/")
    await page.goto(service.url)
    await page.get_by_label("Token").fill(bob.text)
    await page.keyboard.press("Enter")
    await expect(page.locator("#who")).to_have_text("You are bob")
    await page.goto(f"{service.url}/r/{secret.in_link}")
    await send(page, payload("a.bin", b"cargo"))
    await sent(page)
    async with service.http() as http:
        (file,) = (await http.get("/files", headers=bearer(bob))).json()["files"]
    assert (file["name"], file["owner"]) == ("inbox/a.bin", "alice")


@pytest.mark.parametrize("end", ["never was", "revoked", "a token"])
async def test_a_link_that_does_not_work_says_so(page: Page, service: Service, end: str) -> None:
    secret = await token_for(service.store, "alice")
    if end == "never was":
        secret = Secret.new()
    elif end == "revoked":
        secret = await request_link(service.store, "alice", prefix="inbox/")
        await service.store.grants.revoke(secret.grant_id)
    await page.goto(f"{service.url}/r/{secret.in_link}")
    await expect(page.locator("#trouble")).to_contain_text("This link does not work, or no longer")
    await expect(page.locator("#uploads")).to_be_hidden()


async def test_a_link_is_not_blamed_where_the_server_cannot_be_reached(page: Page, service: Service) -> None:
    secret = await request_link(service.store, "alice")
    await page.route("**/whoami", lambda route: route.abort())
    await page.goto(f"{service.url}/r/{secret.in_link}")
    await expect(page.locator("#trouble")).to_have_text(
        "The server could not be reached. Is the network there? Then try again."
    )


async def test_a_link_that_ends_while_it_is_used_says_so(page: Page, link: Link, service: Service) -> None:
    await token_for(service.store, "alice")
    secret = await request_link(service.store, "alice", prefix="inbox/")
    await page.goto(f"{link.url}/r/{secret.in_link}")
    await expect(page.locator("#uploads")).to_be_visible()
    link.hold_after(upstream=CUT)
    await send(page, payload("a.bin", content(SIZE)))
    await link.until(lambda link: link.upstream_bytes >= CUT)
    await service.store.grants.revoke(secret.grant_id)
    await expect(page.locator("#trouble")).to_contain_text("was revoked")


# ---------------------------------------------------------------------------------------------- what keeps it to itself


async def test_nothing_inline_runs_text_becomes_no_markup_and_nothing_is_asked_elsewhere(
    page: Page, service: Service, foreign: Site
) -> None:
    await page.goto(service.url)
    tried = await page.evaluate(
        """async elsewhere => {
            const outcome = async attempt => { try { await attempt(); return 'done' } catch { return 'refused' } }
            const script = document.createElement('script');
            return {
                markup: await outcome(() => { document.body.innerHTML = '<b>b</b>' }),
                code: await outcome(() => { setTimeout('self.ran = 1') }),
                inline: await outcome(() => { script.text = 'self.ran = 1'; document.body.append(script) }),
                fetch: await outcome(() => fetch(elsewhere, {mode: 'no-cors'})),
                worker: await outcome(() => new Worker(elsewhere)),
                policy: await outcome(() => trustedTypes.createPolicy('towline-2', {})),
                ran: String(self.ran),
            }
        }""",
        foreign.url,
    )
    assert tried == {
        "markup": "refused",
        "code": "refused",
        "inline": "refused",
        "fetch": "refused",
        "worker": "refused",
        "policy": "refused",
        "ran": "undefined",
    }
    assert foreign.calls == []


async def test_no_page_of_another_site_shows_it_in_a_frame(page: Page, service: Service, foreign: Site) -> None:
    foreign.pages["/"] = Response(f"<iframe src={service.url}></iframe>", media_type="text/html")
    await page.goto(foreign.url)
    (frame,) = page.frames[1:]
    assert frame.url == "chrome-error://chromewebdata/"


async def test_the_api_is_described_without_asking_anybody_else(page: Page, service: Service) -> None:
    await page.goto(f"{service.url}/docs")
    await expect(page.get_by_role("heading", name="GET /files", exact=True)).to_be_visible()
    shown = await page.locator("h2").all_inner_texts()
    async with service.http() as http:
        paths = (await http.get("/openapi.json")).json()["paths"]
    assert {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods} <= set(shown)


async def test_a_cookie_of_another_server_keeps_nobody_out(page: Page, service: Service) -> None:
    await page.context.add_cookies([{"name": COOKIE, "value": Secret.new().text, "url": service.url}])
    await page.goto(service.url)
    await expect(page.locator("#who")).to_have_text("This server asks nobody for a token")
    await send(page, payload("a", b"cargo"))
    await sent(page)
