"""Debian's Chromium, driven by Playwright: one for the session, and a context of its own for each test."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Dialog, Page, async_playwright, expect

from tests.browser.sites import PATIENCE, Site, site
from tests.end_to_end.conftest import Service, serving

CHROMIUM: Final = Path("/usr/bin/chromium")
FLAGS: Final = (
    "--no-sandbox",  # it is started as root, and sees nothing but the servers of these tests
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
expect.set_options(timeout=PATIENCE * 1_000)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--picture", action="store_true", help="take docs/page.png, the picture in the README, anew")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """The browser. Without one the tests are skipped, but in CI, where they fail."""
    if not CHROMIUM.exists():
        lack = f"*** no browser: there is no {CHROMIUM}; on Debian: apt install chromium ***"
        if os.environ.get("CI"):
            pytest.fail(lack)
        pytest.skip(lack)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def context(chromium: Browser) -> AsyncIterator[BrowserContext]:
    """A browser without a past. It saves nothing. That it asks people before a page reaches into their network protects
    nobody here: they said yes."""
    context = await chromium.new_context(accept_downloads=False, permissions=["local-network-access"])
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A server on loopback."""
    async with serving(tmp_path, {"max_connections_per_address": 4_096}) as service:
        yield service


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext, service: Service) -> AsyncIterator[Page]:
    """A page. In the end nothing has gone wrong in it, or in another one beside it, and they have asked nobody but the
    server, under whatever port. It may be left while it is at work."""
    context.set_default_timeout(PATIENCE * 1_000)
    asked: list[str] = []
    errors: list[str] = []

    async def answer(dialog: Dialog) -> None:
        if dialog.type != "beforeunload":
            errors.append(dialog.message)
        await dialog.accept()

    def watch(page: Page) -> None:
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", answer)

    context.on("page", watch)
    yield await context.new_page()
    assert errors == []
    assert [url for url in asked if not url.startswith("http://127.0.0.1:")] == []


@pytest_asyncio.fixture(loop_scope="session")
async def home() -> AsyncIterator[Site]:
    """Whom hostile files ask when they run."""
    async with site() as home:
        yield home


@pytest_asyncio.fixture(loop_scope="session")
async def foreign() -> AsyncIterator[Site]:
    """A site that is up to no good."""
    async with site() as foreign:
        yield foreign
