"""Under which names a browser saves what was uploaded under hostile ones."""

import unicodedata
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import pytest
from playwright.async_api import BrowserContext, Page
from playwright.async_api import Error as BrowserError

from tests.corpus import HOSTILE_NAMES
from tests.end_to_end.conftest import Service, small
from transfer.downloads import disposition
from transfer.protocol.names import InvalidName, Name

pytestmark = pytest.mark.asyncio(loop_scope="session")

SAVED_AS: Final[Mapping[str, str]] = {
    "plain.txt": "plain.txt",
    "page.html": "page.html",
    "program.exe": "program.exe",
    "a.tar.gz": "a.tar.gz",
    "folder/inner.txt": "inner.txt",
    "100%.txt": "100%.txt",
    "%2e%2e%2fup.txt": "%2e%2e%2fup.txt",
    "%22; filename=evil.html": "%22; filename=evil.html",
    'a"; filename=evil.html': "a_; filename=evil.html",
    "a\"; filename*=UTF-8''evil.html": "a_; filename_=UTF-8''evil.html",
    "a; filename=evil.html": "a; filename=evil.html",
    "a;b.txt": "a;b.txt",
    "a,b.txt": "a,b.txt",
    "a'b.txt": "a'b.txt",
    "UTF-8''a.txt": "UTF-8''a.txt",
    "=?UTF-8?Q?a.html?=": "=_UTF-8_Q_a.html_=",
    "=?UTF-8?B?Li4vLi4vZXZpbC5leGU=?=": "=_UTF-8_B_Li4vLi4vZXZpbC5leGU=_=",
    "a%0d%0aContent-Type: text.html": "a%0d%0aContent-Type_ text.html",
    "<script>.txt": "_script_.txt",
    "a|b*c?.txt": "a_b_c_.txt",
    "naïve €.txt": "naïve €.txt",
    "日本語.txt": "日本語.txt",
    "😀.txt": "😀.txt",
    "．．／up.txt": "．．／up.txt",
    "ａ．ｈｔｍｌ": "ａ．ｈｔｍｌ",
    "~": "_",
    ".bashrc": "bashrc",
    "...profile": "profile",
    "shortcut.lnk": "shortcut.lnk",
    "$HOME": "$HOME",
    "`id`.sh": "`id`.sh",
    "-rf": "-rf",
}
"""What a path or a shell could take for more than a name has become `_`, by the browser's own rules."""
REFUSED: Final = [
    "a\r\nX-Evil: 1.txt",
    "a\n.txt",
    "cat\u202egpj.exe",
    "a\0.txt",
    "../up.txt",
    "..\\up.txt",
    "/etc/passwd",
    "con.txt",
]
"""Nobody downloads these: they are no names."""


async def saved_as(page: Page, service: Service, name: str) -> str:
    """What the browser calls a download of this file."""
    async with page.expect_download() as downloading:
        with pytest.raises(BrowserError, match="Download is starting"):
            await page.goto(f"{service.url}/files/{quote(name)}")
    return (await downloading.value).suggested_filename


async def test_a_browser_saves_under_the_last_segment_and_nothing_else(
    context: BrowserContext, service: Service, subtests: pytest.Subtests
) -> None:
    page = await context.new_page()
    for name, wanted in SAVED_AS.items():
        with subtests.test(ascii(name)):
            async with service.connected() as peer:
                await peer.send(*small(name, b"cargo", if_exists="replace"))
                await peer.hear("complete")
            assert await saved_as(page, service, name) == wanted


async def test_names_of_the_corpus_lead_nowhere(context: BrowserContext, service: Service) -> None:
    names = [name for name in HOSTILE_NAMES if is_simple(name)][::4]
    assert len(names) >= 22
    page = await context.new_page()
    for name in names:
        async with service.connected() as peer:
            await peer.send(*small(name, b"cargo"))
            await peer.hear("complete")
        saved = await saved_as(page, service, name)
        assert saved
        assert not set(saved) & set('/\\\0\r\n"'), ascii(saved)
        assert not saved.startswith(".."), ascii(saved)


async def test_what_is_no_name_is_no_download(service: Service, subtests: pytest.Subtests) -> None:
    for name in REFUSED:
        with subtests.test(ascii(name)):
            async with service.connected() as peer:
                await peer.send(*small(name, b"cargo"))
                await peer.refused("invalid_name")


async def test_no_name_splits_a_header() -> None:
    """Whatever is a name: what is said of it has one line, and one value in quotes."""
    names = [name for name in HOSTILE_NAMES if is_name(name)]
    assert len(names) > 100
    for name in names:
        said = disposition(Name.parse(name))
        assert said.isascii()
        assert said.isprintable(), ascii(name)
        assert said.count('"') == 2, said


def is_name(text: str) -> bool:
    try:
        Name.parse(text)
    except InvalidName:
        return False
    return True


def is_simple(text: str) -> bool:
    """Whether it can stand beside all the others."""
    return is_name(text) and "/" not in text and text.isascii() and unicodedata.is_normalized("NFC", text)
