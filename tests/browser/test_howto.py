"""docs/howto/javascript.md, in a browser: its pages send a file, from the server's own origin and from another one."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, Route, expect
from starlette.responses import FileResponse, HTMLResponse, Response

from tests.browser.sites import Site
from tests.end_to_end.conftest import Service, serving
from tests.fences import blocks
from tests.server import CHECKOUT
from tests.tokens import token_for

pytestmark = pytest.mark.asyncio(loop_scope="session")
DOCUMENT: Final = CHECKOUT / "docs" / "howto" / "javascript.md"
WEB: Final = CHECKOUT / "transfer" / "web"
CARGO: Final = b"cargo" * 100_000


@pytest.fixture
def cargo(tmp_path: Path) -> Path:
    path = tmp_path / "cargo.bin"
    path.write_bytes(CARGO)
    return path


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext) -> AsyncIterator[Page]:
    """A tab, in which nothing may go wrong that nobody shows."""
    page, errors = await context.new_page(), list[object]()
    page.on("pageerror", lambda error: errors.append(error))
    yield page
    assert not errors


def shown_page(place: int) -> str:
    return blocks(DOCUMENT, "html")[place].text


def modules(prefix: str) -> dict[str, Response]:
    """The copy of the folder."""
    return {
        prefix + file.relative_to(WEB).as_posix(): FileResponse(file, media_type="text/javascript")
        for file in WEB.rglob("*.js")
    }


async def test_the_page_of_the_same_origin_sends_a_file(page: Page, service: Service, cargo: Path) -> None:
    async def answer(route: Route) -> None:
        await route.fulfill(body=shown_page(0), content_type="text/html")

    await page.route(f"{service.url}/send.html", answer)  # as a proxy in front would
    await page.goto(f"{service.url}/send.html")
    await page.set_input_files("input", cargo)
    await expect(page.get_by_role("status")).to_contain_text("cargo.bin is safe: sha256:")
    assert await page.evaluate("document.querySelector('progress').value") == 1


async def test_the_page_of_another_origin_sends_a_file(page: Page, foreign: Site, cargo: Path, tmp_path: Path) -> None:
    async with serving(tmp_path, {"allowed_origins": (foreign.url,)}) as service:
        token = await token_for(service.store, "alice")
        shown = shown_page(1).replace("wss://files.example.org", service.url.replace("http", "ws"))
        foreign.pages["/send.html"] = HTMLResponse(shown)
        for file in WEB.rglob("*.js"):
            foreign.pages[f"/towline/{file.relative_to(WEB).as_posix()}"] = FileResponse(
                file, media_type="text/javascript"
            )
        await page.add_init_script(f"sessionStorage.setItem('token', '{token.text}')")
        await page.goto(f"{foreign.url}/send.html")
        await page.set_input_files("input", cargo)
        await expect(page.get_by_role("status")).to_have_text("cargo.bin is safe")
