"""Pages of other sites, in a real browser, on the machine of somebody who runs a server on loopback."""

from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page
from starlette.responses import Response

from tests.browser.sites import Site
from tests.end_to_end.conftest import Service, serving, small

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGE: Final = "<!doctype html><title>a page</title>"
SOCKETS: Final = ["/ws", "/echo", "/proxy/echo", "/rooms/x", "/nothing"]
OPEN: Final = """url => new Promise(r => {
    const socket = new WebSocket(url)
    socket.onopen = () => r('open')
    socket.onerror = () => r('refused')
})"""
ASK: Final = """async ([url, method, mode, body]) => {
    try { const answer = await fetch(url, {method, mode, body}); return `${answer.type} ${answer.status}` }
    catch { return 'refused' }
}"""
CHANGES: Final = [
    ("POST", "/files/kept", "cors"),
    ("POST", "/files/kept", "no-cors"),
    ("POST", "/uploads", "no-cors"),
    ("PUT", "/files/kept", "cors"),
    ("PATCH", "/files/kept", "cors"),
    ("DELETE", "/files/kept", "cors"),
    ("DELETE", "/uploads/x", "cors"),
]
SUBMIT: Final = """([url, type]) => {
    const form = document.createElement('form'), field = document.createElement('input')
    form.method = 'post'; form.enctype = type; form.action = url
    field.name = '{"name":"moved","x":"'; field.value = '"}'
    form.append(field); document.body.append(form); form.submit()
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def kept(service: Service) -> AsyncIterator[Service]:
    """A server with one file, which in the end is all that it has, as it was."""
    async with service.connected() as peer:
        await peer.send(*small("kept", b"cargo"))
        await peer.hear("complete")
    yield service
    assert await service.names() == ["kept"]
    assert await service.stored("kept") == b"cargo"
    assert await service.unfinished() == []
    assert all(event["event"] != "session opened" for event in service.log.events[2:]), service.log.events


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext, foreign: Site) -> Page:
    """A page of the foreign site."""
    foreign.pages["/"] = Response(PAGE, media_type="text/html")
    page = await context.new_page()
    await page.goto(foreign.url)
    return page


def socket_url(service: Service, path: str) -> str:
    return f"ws://127.0.0.1:{service.port}{path}"


@pytest.mark.parametrize("path", SOCKETS)
async def test_a_foreign_page_opens_no_websocket(path: str, page: Page, kept: Service) -> None:
    assert await page.evaluate(OPEN, socket_url(kept, path)) == "refused"
    assert await page.evaluate(OPEN, socket_url(kept, path).replace("127.0.0.1", "localhost")) == "refused"


@pytest.mark.parametrize(("method", "path", "mode"), CHANGES)
async def test_a_foreign_page_changes_nothing(method: str, path: str, mode: str, page: Page, kept: Service) -> None:
    said = await page.evaluate(ASK, [kept.url + path, method, mode, '{"name":"moved"}'])
    assert said == ("opaque 0" if mode == "no-cors" else "refused")


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded"])
async def test_a_form_of_a_foreign_page_changes_nothing(kind: str, page: Page, kept: Service) -> None:
    async with page.expect_response(f"{kept.url}/files/kept") as answered:
        await page.evaluate(SUBMIT, [f"{kept.url}/files/kept", kind])
    answer = await answered.value
    assert (answer.status, answer.headers["content-type"]) == (403, "application/problem+json")


async def test_a_foreign_page_reads_nothing(page: Page, kept: Service) -> None:
    for path in ("/files", "/files/kept", "/uploads", "/openapi.json", "/nothing"):
        assert await page.evaluate(ASK, [kept.url + path, "GET", "cors", None]) == "refused"


async def test_a_sandboxed_frame_of_nobodys_origin_gets_as_little(page: Page, kept: Service, home: Site) -> None:
    """Its origin is `null`, which is nobody's: not the server's, though it may stand in a page of it."""
    script = f"""
        const said = async what => fetch('{home.url}/said/' + what, {{mode: 'no-cors'}});
        ({OPEN})('{socket_url(kept, "/ws")}').then(said).then(async () => {{
            for (const [method, mode] of [['DELETE', 'cors'], ['POST', 'no-cors']])
                await said(method + '-' + await ({ASK})(['{kept.url}/files/kept', method, mode, '']));
        }})"""
    await page.evaluate(
        """script => {
            const frame = document.createElement('iframe')
            frame.sandbox = 'allow-scripts'; frame.srcdoc = `<script>${script}<\\/script>`
            document.body.append(frame)
        }""",
        script,
    )
    await home.until_called("/said/refused", "/said/DELETE-refused", "/said/POST-opaque 0")


async def test_the_server_says_403_before_any_upgrade(page: Page, kept: Service) -> None:
    """What the browser tells its own people of a handshake that failed."""
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    for path in SOCKETS:
        async with page.expect_console_message(lambda message: "WebSocket" in message.text) as telling:
            await page.evaluate(OPEN, socket_url(kept, path))
        assert "Unexpected response code: 403" in (await telling.value).text


async def test_an_allowed_page_opens_what_it_may(
    context: BrowserContext, foreign: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    foreign.pages["/"] = Response(PAGE, media_type="text/html")
    page = await context.new_page()
    await page.goto(foreign.url)
    async with serving(tmp_path_factory.mktemp("allowing"), {"allowed_origins": (foreign.url,)}) as service:
        for path in ("/ws", "/echo", "/proxy/echo"):
            assert await page.evaluate(OPEN, socket_url(service, path)) == "open"
        uploaded = await page.evaluate(
            """url => new Promise(r => {
                const socket = new WebSocket(url, 'towline.v1'), heard = []
                socket.onmessage = message => { socket.close(); r(JSON.parse(message.data).type) }
                socket.onopen = () => {
                    socket.send(JSON.stringify({type: 'upload', name: 'from a page', size: 0, offset: 0}))
                    socket.send(JSON.stringify({type: 'eof', digest:
                        'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'}))
                }
            })""",
            socket_url(service, "/ws"),
        )
        assert uploaded == "complete"
        assert await service.names() == ["from a page"]
        await page.goto("about:blank")
