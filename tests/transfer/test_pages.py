"""The pages as they are served: what they are made of is all there, nothing of it is from elsewhere, and no header that
keeps it safe is missing."""

import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import httpx2
import pytest

from tests.server import http_client, running
from tests.tokens import token_for
from transfer.access.tokens import Secret
from transfer.app import create_app
from transfer.pages import MODULES_PATH, read_assets
from transfer.settings import Settings

WEB: Final = Path(__file__).parents[2] / "transfer" / "web"
ASSETS: Final = sorted(read_assets())
PAGES: Final = ["/", f"/r/{Secret.new().in_link}", "/docs"]
PARTS: Final = [name for name in ASSETS if not name.endswith(".html")]


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a server that asks for a token: its pages are there for everybody."""
    settings = Settings(data=tmp_path / "data")
    app = create_app(settings)
    async with running(settings, app) as url, http_client(url) as http:
        await token_for(app.state.store, "alice")
        yield http


def directives(answer: httpx2.Response) -> dict[str, str]:
    """What a policy allows, by what it is about."""
    parts = (part.strip().partition(" ") for part in answer.headers["content-security-policy"].split(";"))
    return {name: value for name, _, value in parts}


@pytest.mark.parametrize(
    "path", [*PAGES, MODULES_PATH + "client.js", "/client.js"], ids=["home", "request", "docs", "module", "client"]
)
async def test_what_is_served_has_every_header_that_keeps_it_safe(http: httpx2.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert answer.status_code == 200
    policy = directives(answer)
    assert {name: policy.pop(name) for name in ("default-src", "form-action", "base-uri", "frame-ancestors")} == {
        "default-src": "'none'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    assert policy == {
        "script-src": "'self' 'wasm-unsafe-eval'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "towline",
    }
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", PAGES, ids=["home", "request", "docs"])
async def test_pages_are_html_and_kept_nowhere(http: httpx2.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert (await http.head(path)).headers["content-length"] == answer.headers["content-length"]


async def test_the_page_of_a_request_link_is_the_same_whether_there_is_such_a_link_or_not(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data")
    app = create_app(settings)
    async with running(settings, app) as url, http_client(url) as http:
        secret = await token_for(app.state.store, "alice")
        answers = [await http.get(f"/r/{part}") for part in (secret.in_link, Secret.new().in_link, "x", "..%5c%00")]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len({tuple(pair for pair in answer.headers.items() if pair[0] != "date") for answer in answers}) == 1


async def test_the_secret_of_a_link_is_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    secret = Secret.new()
    async with running(Settings(data=tmp_path / "data")) as url, http_client(url) as http:
        await http.get(f"/r/{secret.in_link}")
        await http.post(f"/r/{secret.in_link}")
        await http.get(f"/r/{secret.in_link}/further")
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("httpcore")]
    assert not [line for line in ours if secret.in_link in line and not line.startswith("HTTP Request")]


# ------------------------------------------------------------------------------------------------ what they are made of


@pytest.mark.parametrize("name", PARTS)
async def test_each_part_has_its_type_and_is_sent_once(http: httpx2.AsyncClient, name: str) -> None:
    types = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".txt": "text/plain"}
    answer = await http.get(MODULES_PATH + name)
    assert answer.content == (WEB / name).read_bytes()
    assert answer.headers["content-type"].partition(";")[0] == types[Path(name).suffix]
    assert answer.headers["cache-control"] == "no-cache"
    again = await http.get(MODULES_PATH + name, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == answer.headers["etag"]
    other = await http.get(MODULES_PATH + name, headers={"If-None-Match": '"another"'})
    assert other.content == answer.content


async def test_programs_find_the_client_at_an_address_of_its_own(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/client.js")
    assert answer.headers["content-type"].partition(";")[0] == "text/javascript"
    (named,) = re.findall(r'from "(\./[^"]+)"', answer.text)
    assert (await http.get(answer.url.join(named))).content == (WEB / "client.js").read_bytes()
    assert (await http.get("/client.js", headers={"If-None-Match": answer.headers["etag"]})).status_code == 304


def test_parts_that_differ_have_tags_that_differ() -> None:
    assets = read_assets().values()
    assert len({asset.entity_tag for asset in assets}) == len({asset.content for asset in assets}) == len(assets)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "absent.js",
        "../pages.py",
        "..%2fpages.py",
        "%2e%2e/pages.py",
        "%2fetc%2fpasswd",
        "hash-wasm",
        "hash-wasm/",
        "index.html",
        "request.html",
        "client.js/",
        "client.js%00",
    ],
)
async def test_nothing_else_is_there(http: httpx2.AsyncClient, path: str) -> None:
    answer = await http.get(httpx2.URL(str(http.base_url), raw_path=(MODULES_PATH + path).encode()))
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_all_that_the_web_folder_has_is_served() -> None:
    files = {path.relative_to(WEB).as_posix() for path in WEB.rglob("*") if path.is_file()}
    assert files == set(ASSETS)


@pytest.mark.parametrize("name", [name for name in ASSETS if name.endswith((".html", ".js", ".css"))])
def test_parts_name_only_parts_that_are_there_and_nothing_from_elsewhere(name: str) -> None:
    text = (WEB / name).read_text()
    text = text.replace('"http://www.w3.org/2000/svg"', "")  # a namespace, from which nothing is loaded
    if not name.startswith("hash-wasm/"):
        assert not re.search(r"\w+://|[\"'(]//|\.innerHTML|\.outerHTML|insertAdjacent|document\.write|\beval\(", text)
    named = re.findall(r"[\"'](/web/[^\"']+)[\"']", text)
    named += [f"/web/{part}" for part in re.findall(r"(?:from|import) \"\./([^\"]+)\"", text)]
    assert {part.removeprefix(MODULES_PATH) for part in named} <= set(ASSETS)
    if name.endswith(".html"):
        assert named
        assert not re.search(r"<script(?![^>]* src=)|<style|\son[a-z]+=|\sstyle=", text), "nothing is inline"


@pytest.mark.parametrize("name", ["sha256.umd.min.js", "xxhash128.umd.min.js"])
def test_the_checksums_code_is_the_one_that_was_published(name: str) -> None:
    code = (WEB / "hash-wasm" / name).read_bytes()
    about = (WEB / "hash-wasm" / "README.txt").read_text().partition(f"{name}\n")[2]
    as_published, as_here = re.findall(r"[0-9a-f]{64}", about)[:2]
    assert hashlib.sha256(code).hexdigest() == as_here != as_published
    assert "MIT License" in (WEB / "hash-wasm" / "LICENSE.txt").read_text()
