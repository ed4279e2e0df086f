"""The places of a page in which a browser loads what a URL gives, each as a function of JavaScript.

Each resolves when its element tells that it has loaded or failed, where it does tell.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from playwright.async_api import Page, Request

from tests.browser.sites import PATIENCE

_TOLD: Final = "new Promise(r => {e.onload = e.onerror = r})"


def _element(tag: str, attribute: str, **attributes: str) -> str:
    given = "".join(f"e.{name} = {value!r};" for name, value in attributes.items())
    return (
        f"url => {{ const e = document.createElement({tag!r}); {given} const told = {_TOLD};"
        f" e.{attribute} = url; document.body.append(e); return told }}"
    )


def _object(made: str, told: str) -> str:
    """Kept, because what is collected as garbage tells nothing."""
    return f"url => new Promise(r => {{ const e = {made}; (self.kept ??= []).push(e); {told} }})"


_BLOB: Final = """async url => {
    const content = await (await fetch(url)).blob(), frame = document.createElement('iframe')
    frame.src = URL.createObjectURL(content)
    document.body.append(frame)
}"""

TELLING: Final = {
    "image": _element("img", "src"),
    "script": _element("script", "src"),
    "module": _element("script", "src", type="module"),
    "style sheet": _element("link", "href", rel="stylesheet"),
    "import of a style sheet": "url => { const e = document.createElement('style'); const told = " + _TOLD + ";"
    " e.textContent = `@import url(${url})`; document.body.append(e); return told }",
    "video": _object("document.createElement('video')", "e.onloadeddata = e.onerror = r; e.src = url"),
    "worker": _object("new Worker(url)", "e.onerror = r"),
    "module worker": _object("new Worker(url, {type: 'module'})", "e.onerror = r"),
    "shared worker": _object("new SharedWorker(url)", "r()"),  # some that fail never tell
    "service worker": "url => navigator.serviceWorker.register(url)",
    "worklet": "url => new AudioContext().audioWorklet.addModule(url)",
    "import": "url => import(url)",
}
"""Where the element, or a promise, tells when it is over."""

FRAMES: Final = {
    "iframe": _element("iframe", "src"),
    "sandboxed iframe": _element("iframe", "src", sandbox="allow-scripts allow-downloads"),
    "embed": _element("embed", "src"),
    "object": _element("object", "data"),
    "popup": "url => { window.open(url) }",
}
"""Where it is over when the request is."""

PLACES: Final = TELLING | FRAMES | {"blob": _BLOB}


async def begin(page: Page, place: str, urls: Sequence[str]) -> None:
    """Load all of these in one kind of place, and wait for nothing."""
    await page.evaluate(
        "([load, urls]) => { urls.map(url => { try { eval(load)(url) } catch {} }) }", [PLACES[place], urls]
    )


async def load(page: Page, place: str, urls: Sequence[str]) -> None:
    """Load all of these in one kind of place, and wait until the browser has decided about each."""
    if place in FRAMES:
        with _Ended(page, urls) as ended:
            await begin(page, place, urls)
            await ended.wait()
        return
    async with asyncio.timeout(PATIENCE):
        await page.evaluate(
            "([load, urls]) => Promise.allSettled(urls.map(async url => eval(load)(url))).then(() => 0)",
            [PLACES[place], urls],
        )


class _Ended:
    """Notices when requests of a context have ended, whichever way."""

    def __init__(self, page: Page, urls: Iterable[str]) -> None:
        self._context = page.context
        self._missing = set(urls)
        self._over = asyncio.Event()

    def __enter__(self) -> "_Ended":
        for event in ("requestfinished", "requestfailed"):
            self._context.on(event, self._ended)
        return self

    def __exit__(self, *_: object) -> None:
        for event in ("requestfinished", "requestfailed"):
            self._context.remove_listener(event, self._ended)

    def _ended(self, request: Request) -> None:
        self._missing.discard(request.url)
        if not self._missing:
            self._over.set()

    async def wait(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._over.wait()
        except TimeoutError:
            raise AssertionError(f"the browser never finished with {sorted(self._missing)}") from None
