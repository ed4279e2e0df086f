"""Every state of the pages, wide and on a phone, light and dark: without a violation that axe finds, and as a picture
in `screenshots/` for eyes."""

import struct
from pathlib import Path
from typing import Final, Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, ViewportSize

from tests.browser.states import STATES
from tests.end_to_end.conftest import Service

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROOT: Final = Path(__file__).parents[2]
PICTURES: Final = ROOT / "screenshots"
README_SIZE: Final[ViewportSize] = {"width": 1_000, "height": 960}
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
SIZES: Final[dict[str, ViewportSize]] = {
    "wide": {"width": 1_280, "height": 800},
    "phone": {"width": 390, "height": 844},
}


@pytest.mark.parametrize("state", STATES)
async def test_a_state_has_no_violation_and_nothing_sticks_out(page: Page, service: Service, state: str) -> None:
    await page.emulate_media(reduced_motion="reduce")
    async with STATES[state](page, service):
        for size, viewport in SIZES.items():
            await page.set_viewport_size(viewport)
            for scheme in SCHEMES:
                await page.emulate_media(color_scheme=scheme)
                await page.screenshot(path=PICTURES / f"{state}-{size}-{scheme}.png", full_page=True)
                found = await Axe().run(page)
                assert found.violations_count == 0, f"{size}, {scheme}: {found.generate_report()}"
            assert await page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


async def test_the_picture_in_the_readme_is_of_the_page(
    page: Page, service: Service, pytestconfig: pytest.Config
) -> None:
    """There is one, of the size that is taken; with `--picture` it is taken anew."""
    picture = ROOT / "docs" / "page.png"
    if pytestconfig.getoption("--picture"):
        await page.emulate_media(reduced_motion="reduce")
        await page.set_viewport_size(README_SIZE)
        async with STATES["busy"](page, service):
            await page.mouse.move(0, 0)
            await page.screenshot(path=picture)
    width, height = struct.unpack(">II", picture.read_bytes()[16:24])  # PNG, third edition, 11.2.1
    assert {"width": width, "height": height} == README_SIZE
    assert "docs/page.png" in (ROOT / "README.md").read_text()
