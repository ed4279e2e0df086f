"""What a browser is told about pages of other origins; every answer comes over a real connection."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from storage.errors import WriteFailed
from storage.store import FileQuery
from tests.server import http_client, running
from tests.transfer.seeds import put
from transfer.app import create_app
from transfer.settings import Settings

PAGE = "https://page.example.org"
FOREIGN = "https://elsewhere.example.org"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data", allowed_origins=(PAGE, "http://localhost:3000"))


@pytest.fixture
async def http(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(settings)
    async with running(settings, app) as url, http_client(url) as http:
        await put(app.state.store, "a", b"content")
        yield http


def sharing(answer: httpx2.Response) -> dict[str, str]:
    """What an answer says of CORS."""
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


def varies(answer: httpx2.Response) -> set[str]:
    return {member.strip().lower() for member in answer.headers.get("vary", "").split(",")}


@pytest.mark.parametrize("origin", [PAGE, "http://localhost:3000"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "POST", "DELETE"])
async def test_a_preflight_of_an_allowed_page_is_answered(http: httpx2.AsyncClient, origin: str, method: str) -> None:
    wanted = "authorization, content-type, if-none-match, if-range, last-event-id, range"
    fields = {"origin": origin, "access-control-request-method": method, "access-control-request-headers": wanted}
    answer = await http.options("/files/a", headers=fields)
    assert answer.status_code == 200
    told = sharing(answer)
    assert told["access-control-allow-origin"] == origin
    assert told["access-control-allow-methods"] == "GET, HEAD, PATCH, POST, DELETE"
    assert set(wanted.split(", ")) <= set(told["access-control-allow-headers"].lower().split(", "))
    assert "access-control-allow-credentials" not in told
    assert "origin" in varies(answer)


@pytest.mark.parametrize(
    "asked", [{"access-control-request-method": "PUT"}, {"access-control-request-headers": "x-anything"}]
)
async def test_a_preflight_for_more_than_that_is_refused(http: httpx2.AsyncClient, asked: dict[str, str]) -> None:
    fields = {"origin": PAGE, "access-control-request-method": "GET"} | asked
    assert (await http.options("/files/a", headers=fields)).status_code == 400


@pytest.mark.parametrize("origin", [FOREIGN, "null", "http://page.example.org", f"{PAGE}:8443", f"{PAGE}.evil.example"])
@pytest.mark.parametrize("method", ["OPTIONS", "GET", "DELETE"])
async def test_pages_of_other_origins_get_no_word_of_it(http: httpx2.AsyncClient, origin: str, method: str) -> None:
    fields = {"origin": origin, "access-control-request-method": "DELETE"}
    answer = await http.request(method, "/files/a", headers=fields)
    assert answer.status_code == {"OPTIONS": 405, "GET": 200, "DELETE": 403}[method]
    assert sharing(answer) == {}
    if method != "DELETE":
        assert "origin" in varies(answer)


async def test_two_origins_are_none(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/files/a", headers=[("origin", PAGE), ("origin", PAGE)])
    assert sharing(answer) == {}


async def test_an_answer_is_shared_with_the_page_that_asked_and_with_no_other(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/files/a", headers={"origin": PAGE})
    assert answer.content == b"content"
    told = sharing(answer)
    assert told.pop("access-control-expose-headers") == (
        "ETag, Content-Range, Content-Disposition, Repr-Digest, Retry-After"
    )
    assert told == {"access-control-allow-origin": PAGE}
    assert "origin" in varies(answer)


async def test_what_is_not_for_one_page_says_that_it_depends(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/files", headers={"accept": "application/x-ndjson"})
    assert sharing(answer) == {}
    assert varies(answer) == {"accept", "origin"}


@pytest.mark.parametrize(
    ("method", "path", "fields", "status"),
    [
        ("GET", "/files/none", {}, 404),
        ("GET", "/nothing", {}, 404),
        ("POST", "/files/a", {}, 405),
        ("GET", "/files/a", {"authorization": "Bearer nonsense"}, 401),
        ("DELETE", "/files/a", {"authorization": "Basic nonsense"}, 401),
        ("GET", "/files?limit=0", {}, 400),
    ],
)
async def test_a_page_can_read_why_it_was_refused(
    http: httpx2.AsyncClient, method: str, path: str, fields: dict[str, str], status: int
) -> None:
    answer = await http.request(method, path, headers={"origin": PAGE} | fields)
    assert answer.status_code == status
    assert sharing(answer)["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize(("error", "status"), [(WriteFailed(), 503), (RuntimeError("a bug"), 500)])
async def test_a_page_can_read_that_the_server_has_failed(
    settings: Settings, error: Exception, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(settings)

    async def fails(_: FileQuery) -> None:
        raise error

    async with running(settings, app) as url, http_client(url) as http:
        app.state.store.list_files = fails
        answer = await http.get("/files", headers={"origin": PAGE})
    assert answer.status_code == status
    assert sharing(answer)["access-control-allow-origin"] == PAGE
    assert bool(caplog.records) == (status == 500)


async def test_a_page_of_our_own_needs_none_of_it(http: httpx2.AsyncClient) -> None:
    own = str(http.base_url).rstrip("/")
    assert sharing(await http.get("/files/a", headers={"origin": own})) == {}
    assert (await http.delete("/files/a", headers={"origin": own})).status_code == 204


async def test_without_allowed_origins_nothing_depends_on_them(tmp_path: Path) -> None:
    async with running(Settings(data=tmp_path / "data")) as url, http_client(url) as http:
        answer = await http.get("/files", headers={"origin": PAGE})
    assert sharing(answer) == {}
    assert "vary" not in answer.headers
