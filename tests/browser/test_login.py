"""Logging in, in a real browser: the token is where no script reads it, and works for no page but the server's own."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect
from starlette.responses import Response

from tests.browser.sites import PATIENCE, Site
from tests.browser.test_pages import payload, send, sent
from tests.end_to_end.conftest import Service, small
from tests.links import Link
from tests.server import running
from tests.tls import Authority
from tests.tokens import bearer, token_for
from transfer.access.auth import COOKIE, SECURE_COOKIE
from transfer.access.tokens import Secret
from transfer.app import create_app
from transfer.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="session")

OPEN: Final = """url => new Promise(told => {
    const socket = new WebSocket(url);
    socket.onopen = () => socket.send('{"type":"text","text":"hello"}');
    socket.onmessage = ({data}) => told(JSON.parse(data).type);
    socket.onclose = () => told('refused');
})"""
DELETE: Final = """async url => {
    try { return (await fetch(url, {method: 'DELETE', credentials: 'include'})).status } catch { return 'refused' }
}"""
POST: Final = """url => {
    const form = document.createElement('form');
    form.method = 'post'; form.action = url;
    document.body.append(form); form.submit();
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def alice(service: Service) -> Secret:
    return await token_for(service.store, "alice")


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext, service: Service, alice: Secret) -> AsyncIterator[Page]:
    """The server's page, whose visitor is logged in as alice, who has one file."""
    async with service.connected() as peer:
        await peer.send({"type": "auth", "token": alice.text})
        await peer.hear("authorized")
        await peer.send(*small("kept", b"cargo"))
        await peer.hear("complete")
    context.set_default_timeout(PATIENCE * 1_000)
    page = await context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.goto(service.url)
    await log_in(page, alice)
    await expect(page.locator("#who")).to_have_text("You are alice")
    yield page
    assert errors == []


async def log_in(page: Page, token: Secret) -> None:
    await expect(page.get_by_label("Token")).to_be_focused()
    await page.keyboard.type(token.text)
    await page.keyboard.press("Enter")


async def kept(service: Service, alice: Secret) -> list[str]:
    """The files that are there."""
    async with service.http() as http:
        return [file["name"] for file in (await http.get("/files", headers=bearer(alice))).json()["files"]]


async def test_no_script_reads_the_token(page: Page, service: Service, alice: Secret) -> None:
    (cookie,) = await page.context.cookies()
    assert (cookie.get("name"), cookie.get("value")) == (COOKIE, alice.text)
    assert (cookie.get("httpOnly"), cookie.get("sameSite")) == (True, "Strict")
    seen = "[document.cookie, JSON.stringify(localStorage), JSON.stringify(sessionStorage), location.href]"
    assert await page.evaluate(seen) == ["", "{}", "{}", f"{service.url}/"]
    assert await page.locator("#token").input_value() == ""
    assert alice.text not in await page.content()


async def test_a_wrong_token_is_refused_in_the_servers_words(
    context: BrowserContext, service: Service, alice: Secret
) -> None:
    page = await context.new_page()
    await page.goto(service.url)
    await log_in(page, Secret.new())
    await expect(page.locator("#refusal")).to_contain_text("The token is not known here. Is all of it there?")
    await expect(page.locator("#files")).to_be_hidden()


async def test_the_servers_own_page_lists_sends_deletes_and_converses(
    page: Page, service: Service, alice: Secret
) -> None:
    await expect(page.locator(".file th")).to_have_text("kept")
    await send(page, payload("sent", b"cargo"))
    await sent(page)
    assert await page.evaluate(DELETE, f"{service.url}/files/kept") == 204
    assert await page.evaluate(OPEN, f"{service.url.replace('http', 'ws')}/ws") == "echo"
    assert await kept(service, alice) == ["sent"]


async def test_what_a_token_may_not_do_is_not_offered(page: Page, service: Service) -> None:
    reader = await token_for(service.store, "bob", ["read"])
    await page.get_by_role("button", name="Log out").click()
    await log_in(page, reader)
    await expect(page.locator("#files")).to_be_visible()
    await expect(page.locator("#uploads")).to_be_hidden()


async def test_who_logs_out_is_nobody(page: Page, service: Service) -> None:
    await page.get_by_role("button", name="Log out").click()
    await expect(page.locator("#entrance")).to_be_visible()
    assert await page.context.cookies() == []
    assert "kept" not in await page.content()
    await page.reload()
    await expect(page.locator("#entrance")).to_be_visible()


async def test_over_tls_the_cookie_goes_over_nothing_else(chromium: Browser, tmp_path: Path) -> None:
    pair = Authority(tmp_path).issue("127.0.0.1")
    settings = Settings(data=tmp_path / "data", tls_cert=pair.certificate, tls_key=pair.key)
    app = create_app(settings)
    context = await chromium.new_context(ignore_https_errors=True)
    async with running(settings, app) as url, context:
        token = await token_for(app.state.store, "alice")
        page = await context.new_page()
        await page.goto(url)
        await log_in(page, token)
        await send(page, payload("sent", b"cargo"))
        await sent(page)
        (cookie,) = await context.cookies()
    assert (cookie.get("name"), cookie.get("secure")) == (SECURE_COOKIE, True)


# ---------------------------------------------------------------------------------------------------------- other sites


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"], ids=["the same host", "another host"])
async def test_a_page_of_another_site_does_nothing_with_the_login(
    page: Page, service: Service, foreign: Site, alice: Secret, host: str
) -> None:
    """Browsers call another port of the same host the same site, and send the cookie along: there `Origin` decides."""
    foreign.pages["/"] = Response("<!doctype html><title>a page</title>", media_type="text/html")
    other = await page.context.new_page()
    await other.goto(foreign.url.replace("127.0.0.1", host))
    assert await other.evaluate(DELETE, f"{service.url}/files/kept") == "refused"
    assert await other.evaluate(OPEN, f"{service.url.replace('http', 'ws')}/ws") == "refused"
    await other.evaluate(POST, f"{service.url}/logout")
    await other.wait_for_url(f"{service.url}/logout")
    assert "may not use this server" in await other.content()
    assert await kept(service, alice) == ["kept"]
    await page.reload()
    await expect(page.locator("#who")).to_have_text("You are alice")


async def test_a_link_on_a_page_of_another_site_comes_without_the_login(
    page: Page, service: Service, foreign: Site
) -> None:
    foreign.pages["/"] = Response(f"<a href={service.url}/whoami>whoami</a>", media_type="text/html")
    other = await page.context.new_page()
    await other.goto(foreign.url.replace("127.0.0.1", "localhost"))
    async with other.expect_navigation() as navigation:
        await other.get_by_role("link").click()
    assert (await navigation.value).status == 401


# ------------------------------------------------------------------------------------------------------ when it is over


async def test_when_the_token_is_revoked_one_logs_in_again(page: Page, service: Service, alice: Secret) -> None:
    await service.store.grants.revoke(alice.grant_id)
    await send(page, payload("sent", b"cargo"))
    await expect(page.locator("#refusal")).to_contain_text("Log in again: ")
    await expect(page.locator("#files")).to_be_hidden()
    another = await token_for(service.store, "alice")
    await log_in(page, another)
    await sent(page)
    assert await kept(service, another) == ["kept", "sent"]


async def test_an_upload_that_the_end_of_the_token_has_cut_goes_on_after_the_next_login(
    context: BrowserContext, service: Service, alice: Secret
) -> None:
    size, cut = 6 << 20, 3 << 20
    async with Link("127.0.0.1", service.port) as link:
        page = await context.new_page()
        await page.goto(link.url)
        await log_in(page, alice)
        await expect(page.locator("#uploads")).to_be_visible()
        link.hold_after(upstream=cut)
        await send(page, payload("sent", bytes(size)))
        await link.until(lambda link: link.upstream_bytes >= cut)
        await service.store.grants.revoke(alice.grant_id)
        await expect(page.locator("#refusal")).to_contain_text("Log in again: the token was revoked")
        link.cut()
        await log_in(page, await token_for(service.store, "alice"))
        await sent(page)
        assert link.upstream_bytes < size + cut, "what was acknowledged is not sent again"


async def test_who_only_looks_on_hears_that_the_token_is_over(page: Page, service: Service, alice: Secret) -> None:
    await expect(page.locator(".file")).to_have_count(1)
    async with page.expect_response("**/events", timeout=PATIENCE * 1_000):
        await service.store.grants.revoke(alice.grant_id)
    await expect(page.locator("#refusal")).to_contain_text("Log in again: ")
    await expect(page.locator("#files")).to_be_hidden()


async def test_what_is_cancelled_while_nobody_is_logged_in_is_not_sent_and_what_waits_says_so(
    page: Page, service: Service, alice: Secret
) -> None:
    await service.store.grants.revoke(alice.grant_id)
    await send(page, payload("a", b"cargo"), payload("b", b"cargo"))
    states = page.locator("#sent .state")
    await expect(states).to_have_text(["waits until you have logged in"] * 2)
    await page.get_by_role("button", name="Remove: a").click()
    await expect(page.locator("#sent li")).to_have_count(1)
    another = await token_for(service.store, "alice")
    await page.get_by_label("Token").focus()
    await log_in(page, another)
    await sent(page)
    assert await kept(service, another) == ["b", "kept"]


async def test_what_one_person_has_begun_does_not_go_on_as_anothers(
    page: Page, service: Service, alice: Secret
) -> None:
    await service.store.grants.revoke(alice.grant_id)
    await send(page, payload("a", b"cargo"))
    await expect(page.locator("#sent li")).to_have_count(1)
    bob = await token_for(service.store, "bob", prefix="bobs/")
    await log_in(page, bob)
    await expect(page.locator("#sent li")).to_have_count(0)
    await send(page, payload("c", b"cargo"))
    await sent(page)
    assert await kept(service, bob) == ["bobs/c"]


async def test_what_is_sent_goes_where_the_token_may_send_also_where_nothing_is_listed(
    page: Page, service: Service, alice: Secret
) -> None:
    bob = await token_for(service.store, "bob", ["upload"], prefix="bobs/")
    await page.get_by_role("button", name="Log out").click()
    await log_in(page, bob)
    await send(page, payload("c", b"cargo"))
    await sent(page)
    assert await kept(service, alice) == ["bobs/c", "kept"]


async def test_who_comes_back_when_the_token_has_ended_is_asked_for_another(
    page: Page, service: Service, alice: Secret
) -> None:
    await service.store.grants.revoke(alice.grant_id)
    await page.reload()
    await expect(page.locator("#entrance")).to_be_visible()
    await expect(page.locator("#files")).to_be_hidden()
