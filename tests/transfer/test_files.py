import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from storage.store import Store, UploadRequest
from tests.server import http_client, running
from tests.transfer.seeds import put
from transfer.access.principal import ANONYMOUS
from transfer.app import create_app
from transfer.protocol.limits import MIB
from transfer.protocol.messages import FileEntry
from transfer.protocol.names import Name
from transfer.settings import Settings

CONTENT = bytes(range(256)) * 40


class Service:
    """A running server, an HTTP client of it, and its store."""

    def __init__(self, store: Store, url: str, http: httpx2.AsyncClient) -> None:
        self.store = store
        self.url = url
        self.http = http

    async def names(self, **query: str | int) -> list[str]:
        answer = await self.http.get("/files", params=query)
        assert answer.status_code == 200, answer.text
        return [file["name"] for file in answer.json()["files"]]


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    settings = Settings(data=tmp_path / "data")
    app = create_app(settings)
    async with running(settings, app) as url, http_client(url) as http:
        yield Service(app.state.store, url, http)


def problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The problem that was expected."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    fields: dict[str, Any] = answer.json()
    assert (fields["status"], fields["code"]) == (status, code)
    assert fields["title"]
    assert fields["detail"]
    return fields


@asynccontextmanager
async def unfinished_upload(store: Store, name: str, size: int | None) -> AsyncIterator[str]:
    async with store.begin(UploadRequest(name=Name.parse(name), size=size, owner=ANONYMOUS.subject)) as writer:
        yield writer.upload_id


# ----------------------------------------------------------------------------------------------------------- listing


async def test_an_empty_store_lists_nothing(service: Service) -> None:
    assert (await service.http.get("/files")).json() == {"folders": [], "files": [], "next": None}


async def test_an_entry_tells_everything_about_a_file(service: Service) -> None:
    modified = datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC)
    file = await put(service.store, "photos/été 1.jpg", CONTENT, modified=modified, content_type="image/jpeg")
    (entry,) = (await service.http.get("/files")).json()["files"]
    assert entry == {
        "name": "photos/été 1.jpg",
        "size": len(CONTENT),
        "digest": f"sha256:{hashlib.sha256(CONTENT).hexdigest()}",
        "content_type": "image/jpeg",
        "modified": "2020-02-03T04:05:06Z",
        "created": file.created.isoformat().replace("+00:00", "Z"),
        "owner": "anonymous",
        "metadata": {},
        "url": "/files/photos/%C3%A9t%C3%A9%201.jpg",
    }
    assert FileEntry.model_validate(entry).name == file.name
    assert (await service.http.get(entry["url"])).content == CONTENT


async def test_listings_filter_by_prefix_and_by_part(service: Service) -> None:
    for name in ("a/Cat.jpg", "a/dog.jpg", "b/cat.png"):
        await put(service.store, name)
    assert await service.names(prefix="a/") == ["a/Cat.jpg", "a/dog.jpg"]
    assert await service.names(q="cAt") == ["a/Cat.jpg", "b/cat.png"]
    assert await service.names(prefix="b", q="dog") == []


async def test_filters_match_whichever_way_a_letter_is_composed(service: Service) -> None:
    await put(service.store, "é.txt")
    assert await service.names(prefix="e\u0301") == ["é.txt"]
    assert await service.names(q="E\u0301") == ["é.txt"]


async def test_listings_sort_both_ways(service: Service) -> None:
    for name, size, year in (("b", 1, 2003), ("c", 3, 2001), ("a", 2, 2002)):
        await put(service.store, name, bytes(size), modified=datetime(year, 1, 1, tzinfo=UTC))
    orders = {sort: "".join(await service.names(sort=sort)) for sort in ("name", "size", "created", "modified")}
    assert orders == {"name": "abc", "size": "bac", "created": "bca", "modified": "cab"}
    for sort, order in orders.items():
        assert "".join(await service.names(sort=f"-{sort}")) == order[::-1]


async def test_pages_join_to_the_whole(service: Service) -> None:
    for number in range(7):
        await put(service.store, f"{number}")
    names, cursor = [], ""
    while True:
        query = {"limit": "3", "sort": "-name"} | ({"cursor": cursor} if cursor else {})
        page = (await service.http.get("/files", params=query)).json()
        names += [file["name"] for file in page["files"]]
        if (cursor := page["next"]) is None:
            break
        assert len(page["files"]) == 3
    assert names == list("6543210")


async def test_a_level_has_its_folders_first(service: Service) -> None:
    for name in ("photos/2025/a.jpg", "photos/2026/b.jpg", "photos/2026/c.jpg", "photos/d.jpg", "e.jpg"):
        await put(service.store, name)
    query = {"prefix": "photos/", "delimiter": "/"}
    level = (await service.http.get("/files", params=query)).json()
    assert level["folders"] == ["photos/2025/", "photos/2026/"]
    assert [file["name"] for file in level["files"]] == ["photos/d.jpg"]
    first = (await service.http.get("/files", params=query | {"limit": 1})).json()
    assert (first["folders"], first["files"]) == (["photos/2025/"], [])
    second = (await service.http.get("/files", params=query | {"cursor": first["next"]})).json()
    assert (second["folders"], second["next"]) == (["photos/2026/"], None)
    streamed = await service.http.get("/files", params=query, headers={"accept": "application/x-ndjson"})
    lines = [json.loads(line) for line in streamed.text.splitlines()]
    assert lines[:2] == [{"folder": "photos/2025/"}, {"folder": "photos/2026/"}]
    assert [line["name"] for line in lines[2:]] == ["photos/d.jpg"]
    refused = await service.http.get("/files", params={"delimiter": "-"})
    assert refused.status_code == 400


async def test_ndjson_streams_everything_an_object_a_line(service: Service) -> None:
    for number in range(7):
        await put(service.store, f"x/{number}")
    await put(service.store, "y")
    headers = {"accept": "application/x-ndjson"}
    answer = await service.http.get("/files", params={"prefix": "x/", "limit": 3}, headers=headers)
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines == (await service.http.get("/files", params={"prefix": "x/"})).json()["files"]
    assert (await service.http.get("/files", params={"prefix": "z"}, headers=headers)).content == b""


@pytest.mark.parametrize(
    ("query", "field", "said"),
    [
        ({"limit": "0"}, "limit", "greater than or equal to 1, got '0'"),
        ({"limit": "1001"}, "limit", "less than or equal to 1000, got '1001'"),
        ({"limit": "many"}, "limit", "got 'many'"),
        ({"sort": "colour"}, "sort", "got 'colour'"),
        ({"cursor": "xyz"}, "cursor", "xyz"),
        ({"prefix": "x" * 5000}, "prefix", "4096"),
    ],
)
async def test_a_wrong_parameter_is_named_with_its_value(
    service: Service, query: dict[str, str], field: str, said: str
) -> None:
    fields = problem(await service.http.get("/files", params=query), 400, "bad_message")
    assert fields["field"] == field
    assert said in fields["detail"]
    assert len(fields["detail"]) < 300


# ---------------------------------------------------------------------------------------------------------- download


async def test_a_download_says_what_it_is(service: Service) -> None:
    modified = datetime(2020, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
    await put(service.store, "a/cat.html", CONTENT, modified=modified, content_type="text/html")
    answer = await service.http.get("/files/a/cat.html")
    assert (answer.status_code, answer.content) == (200, CONTENT)
    digest = hashlib.sha256(CONTENT)
    expected = {
        "accept-ranges": "bytes",
        "content-disposition": 'attachment; filename="cat.html"',
        "content-length": str(len(CONTENT)),
        "content-security-policy": "sandbox; default-src 'none'",
        "content-type": "application/octet-stream",
        "cross-origin-resource-policy": "same-origin",
        "etag": f'"sha256:{digest.hexdigest()}"',
        "last-modified": "Mon, 03 Feb 2020 04:05:06 GMT",
        "repr-digest": f"sha-256=:{base64.b64encode(digest.digest()).decode()}:",
        "x-content-type-options": "nosniff",
    }
    assert {name: answer.headers[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("stored", "served"),
    [
        ("image/png", "image/png"),
        ("Video/MP4", "Video/MP4"),
        ("text/plain", "text/plain"),
        ("text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        ("text/plain; charset=utf-7", None),
        ("text/plain,text/html", None),
        ("text/html", None),
        ("TEXT/HTML; charset=utf-8", None),
        ("image/svg+xml", None),
        ("application/xhtml+xml", None),
        ("application/pdf", None),
        ("text/javascript", None),
        ("text/css", None),
        ("multipart/x-mixed-replace;boundary=x", None),
        ("what/ever", None),
    ],
)
async def test_a_type_that_a_browser_could_run_is_in_listings_only(
    service: Service, stored: str, served: str | None
) -> None:
    await put(service.store, "a", content_type=stored)
    for answer in (await service.http.get("/files/a"), await service.http.head("/files/a")):
        assert answer.headers["content-type"] == (served or "application/octet-stream")
    (entry,) = (await service.http.get("/files")).json()["files"]
    assert entry["content_type"] == stored


async def test_a_blake3_file_has_a_tag_but_no_registered_digest(service: Service) -> None:
    file = await put(service.store, "a", algorithm="blake3")
    headers = (await service.http.get("/files/a")).headers
    assert headers["etag"] == f'"{file.digest}"'
    assert "repr-digest" not in headers


async def test_no_last_modified_without_a_time_or_with_one_to_come(service: Service) -> None:
    await put(service.store, "a")
    await put(service.store, "b", modified=datetime.now(UTC) + timedelta(days=1))
    for name in "ab":
        assert "last-modified" not in (await service.http.get(f"/files/{name}")).headers


@pytest.mark.parametrize(
    ("name", "disposition"),
    [
        ("x/plain-1.txt", 'attachment; filename="plain-1.txt"'),
        ("naïve €.txt", "attachment; filename=\"na_ve _.txt\"; filename*=UTF-8''na%C3%AFve%20%E2%82%AC.txt"),
        ('a"b;c.txt', "attachment; filename=\"a_b;c.txt\"; filename*=UTF-8''a%22b%3Bc.txt"),
        ("=?a?b", "attachment; filename=\"_?a?b\"; filename*=UTF-8''%3D%3Fa%3Fb"),
        ("100%.txt", "attachment; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt"),
    ],
)
async def test_browsers_save_under_the_last_segment(service: Service, name: str, disposition: str) -> None:
    file = await put(service.store, name)
    entry = (await service.http.get("/files")).json()["files"][0]
    assert (await service.http.get(entry["url"])).headers["content-disposition"] == disposition
    assert entry["name"] == str(file.name)


async def test_head_is_get_without_the_content(service: Service) -> None:
    await put(service.store, "a", CONTENT)
    got, head = await service.http.get("/files/a"), await service.http.head("/files/a")
    assert (head.status_code, head.content) == (200, b"")
    got.headers.pop("date"), head.headers.pop("date")
    assert dict(head.headers) == dict(got.headers)


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-9", 0, 10),
        ("bytes=10-", 10, 10_240),
        ("bytes=-10", 10_230, 10_240),
        ("bytes=-99999", 0, 10_240),
        ("bytes=10239-10239", 10_239, 10_240),
        ("bytes=5-99999999999999999999", 5, 10_240),
        ("BYTES=1-2", 1, 3),
    ],
)
async def test_a_single_range_is_sent_alone(service: Service, wanted: str, start: int, end: int) -> None:
    await put(service.store, "a", CONTENT)
    answer = await service.http.get("/files/a", headers={"range": wanted})
    assert (answer.status_code, answer.content) == (206, CONTENT[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(CONTENT)}"
    assert answer.headers["content-length"] == str(end - start)


@pytest.mark.parametrize("wanted", ["bytes=10240-", "bytes=99999-999999", "bytes=-0", "bytes=99999999999999999999-"])
async def test_a_range_behind_the_end_is_416(service: Service, wanted: str) -> None:
    await put(service.store, "a", CONTENT)
    answer = await service.http.get("/files/a", headers={"range": wanted})
    assert problem(answer, 416, "bad_message")["size"] == len(CONTENT)
    assert answer.headers["content-range"] == f"bytes */{len(CONTENT)}"


@pytest.mark.parametrize(
    "wanted",
    [
        "bytes=0-1,4-5",
        "bytes=5-3",
        "bytes=-",
        "bytes=a-b",
        "lines=0-1",
        "bytes",
        "bytes=1",
        "bytes=" + "9" * 5000 + "-",
    ],
)
async def test_what_is_no_single_range_is_ignored(service: Service, wanted: str) -> None:
    await put(service.store, "a", CONTENT)
    answer = await service.http.get("/files/a", headers={"range": wanted})
    assert (answer.status_code, answer.content) == (200, CONTENT)


async def test_ranges_of_an_empty_file(service: Service) -> None:
    await put(service.store, "a", b"")
    assert (await service.http.get("/files/a")).content == b""
    assert (await service.http.get("/files/a", headers={"range": "bytes=-5"})).status_code == 200
    assert (await service.http.get("/files/a", headers={"range": "bytes=0-"})).status_code == 416


async def test_if_range_of_other_content_gets_everything(service: Service) -> None:
    await put(service.store, "a", CONTENT, modified=datetime(2020, 1, 1, tzinfo=UTC))
    described = (await service.http.head("/files/a")).headers
    for validator, status in ((described["etag"], 206), ('"other"', 200), (described["last-modified"], 200)):
        headers = {"range": "bytes=0-9", "if-range": validator}
        assert (await service.http.get("/files/a", headers=headers)).status_code == status


async def test_if_none_match_of_the_same_content_is_304(service: Service) -> None:
    file = await put(service.store, "a", CONTENT)
    tag = f'"{file.digest}"'
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        for method in ("GET", "HEAD"):
            answer = await service.http.request(method, "/files/a", headers={"if-none-match": known})
            assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert (await service.http.get("/files/a", headers={"if-none-match": '"other"'})).status_code == 200


async def test_a_download_goes_on_to_its_end_when_the_file_is_deleted(service: Service) -> None:
    content = bytes(range(256)) * 4096 * 12
    await put(service.store, "a", content)
    async with service.http.stream("GET", "/files/a") as answer:
        pieces = answer.aiter_raw()
        received = [await anext(pieces)]
        assert (await service.http.delete("/files/a")).status_code == 204
        assert (await service.http.get("/files/a")).status_code == 404
        received += [piece async for piece in pieces]
    assert b"".join(received) == content


async def test_a_client_that_leaves_in_the_middle_costs_no_log_line(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    await put(service.store, "a", bytes(16 * MIB))
    for _ in range(3):
        async with service.http.stream("GET", "/files/a") as answer:
            await anext(answer.aiter_raw())
    assert (await service.http.get("/health/live")).status_code == 200
    assert caplog.records == []


async def test_content_that_the_disk_has_lost_is_cut_off_and_not_padded(service: Service, tmp_path: Path) -> None:
    file = await put(service.store, "a", bytes(3 * MIB))
    (stored,) = (path for path in (tmp_path / "data" / "objects").rglob("*") if path.name.endswith(file.file_id))
    stored.chmod(0o600)
    with stored.open("r+b") as stream:
        stream.truncate(2 * MIB)
    with pytest.raises(httpx2.RemoteProtocolError):
        await service.http.get("/files/a")
    with stored.open("r+b") as stream:
        stream.truncate(0)
    problem(await service.http.get("/files/a"), 503, "storage_failure")


async def test_a_name_means_one_content_after_the_other_and_never_none(service: Service) -> None:
    """Between finding a name and opening its content, another one may get the name."""
    contents = [bytes([number]) * 100 for number in range(20)]
    await put(service.store, "a", contents[0])

    async def replace_it() -> None:
        for content in contents:
            await put(service.store, "a", content)

    replacing = asyncio.create_task(replace_it())
    while not replacing.done():
        answer = await service.http.get("/files/a")
        assert answer.status_code == 200
        assert answer.content in contents
    await replacing


# ------------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("/files/%FF", "not utf-8"),
        ("/files/a%00b", "control character"),
        ("/files/..%2fetc", "segment '..'"),
        ("/files//etc/passwd", "leading slash"),
        ("/files/a/", "empty segment"),
        ("/files/", "empty name"),
        ("/files/a%5Cb", "backslash"),
        ("/files/con.txt", "windows device name"),
        ("/files/%E2%80%AEx", "bidirectional, zero-width or other format control"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_path_that_is_no_name_is_refused_with_the_rule(
    service: Service, method: str, path: str, rule: str
) -> None:
    answer = await service.http.request(method, path)
    assert problem(answer, 400, "invalid_name")["rule"] == rule


async def test_a_name_that_is_not_utf8_is_not_taken_for_its_replacement(service: Service) -> None:
    await put(service.store, "\ufffd")
    assert (await service.http.delete("/files/%FF")).status_code == 400
    assert await service.names() == ["\ufffd"]


async def test_an_encoded_slash_is_a_slash_and_composition_does_not_matter(service: Service) -> None:
    await put(service.store, "a/é")
    assert (await service.http.get("/files/a%2Fe%CC%81")).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PATCH"])
async def test_a_file_that_is_not_there_is_404(service: Service, method: str) -> None:
    answer = await service.http.request(method, "/files/nothing", json={"name": "x"} if method == "PATCH" else None)
    assert answer.status_code == 404
    if method != "HEAD":
        problem(answer, 404, "not_found")


# ---------------------------------------------------------------------------------------------------- rename, delete


async def test_a_renamed_file_is_found_under_its_new_name_only(service: Service) -> None:
    await put(service.store, "a", CONTENT)
    answer = await service.http.patch("/files/a", json={"name": "b/c.txt"})
    assert answer.status_code == 200
    assert (answer.json()["name"], answer.json()["url"]) == ("b/c.txt", "/files/b/c.txt")
    assert (await service.http.get("/files/a")).status_code == 404
    assert (await service.http.get("/files/b/c.txt")).content == CONTENT


async def test_a_name_that_is_taken_is_409_with_what_has_it(service: Service) -> None:
    await put(service.store, "a")
    there = await put(service.store, "b", CONTENT)
    fields = problem(await service.http.patch("/files/a", json={"name": "b"}), 409, "exists")
    assert (fields["size"], fields["digest"]) == (there.size, str(there.digest))
    assert problem(await service.http.patch("/files/a", json={"name": "b/c"}), 409, "exists")["conflict"] == "b"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "bad_message"),
        (b"{", 400, "bad_message"),
        (b"[]", 400, "bad_message"),
        (b"{}", 400, "bad_message"),
        (b'{"name":7}', 400, "bad_message"),
        (b'{"name":NaN}', 400, "bad_message"),
        (b'{"name":"b","name":"c"}', 400, "bad_message"),
        (b"[" * 9000, 400, "bad_message"),
        (b'{"name":"\xff"}', 400, "bad_message"),
        (b'{"name":"../b"}', 400, "invalid_name"),
        (b'{"name":"' + b"x" * 20_000 + b'"}', 413, "too_large"),
    ],
)
async def test_a_body_that_is_no_new_name_changes_nothing(
    service: Service, body: bytes, status: int, code: str
) -> None:
    await put(service.store, "a")
    problem(await service.http.patch("/files/a", content=body), status, code)
    assert await service.names() == ["a"]


async def test_a_deleted_file_is_gone(service: Service) -> None:
    await put(service.store, "a")
    answer = await service.http.delete("/files/a")
    assert (answer.status_code, answer.content) == (204, b"")
    assert await service.names() == []


@pytest.mark.parametrize("form", ["{}", '"sha256:00", {}', "*"], ids=["its tag", "one of several", "any"])
async def test_the_file_that_if_match_names_is_deleted(service: Service, form: str) -> None:
    await put(service.store, "a", CONTENT)
    etag = (await service.http.head("/files/a")).headers["etag"]
    answer = await service.http.delete("/files/a", headers={"If-Match": form.format(etag)})
    assert answer.status_code == 204
    assert await service.names() == []


@pytest.mark.parametrize("form", ['"sha256:00"', "W/{}", '{}x"', "nonsense"])
async def test_a_file_that_if_match_does_not_name_stays(service: Service, form: str) -> None:
    await put(service.store, "a", CONTENT)
    etag = (await service.http.head("/files/a")).headers["etag"]
    answer = await service.http.delete("/files/a", headers={"If-Match": form.format(etag)})
    problem(answer, 412, "precondition_failed")
    assert await service.names() == ["a"]


# ----------------------------------------------------------------------------------------------------------- uploads


async def test_unfinished_uploads_are_listed_and_can_be_dropped(service: Service) -> None:
    assert (await service.http.get("/uploads")).json() == {"uploads": []}
    async with unfinished_upload(service.store, "a/b", 1000) as first, unfinished_upload(service.store, "c", None):
        pass
    uploads = (await service.http.get("/uploads")).json()["uploads"]
    assert {(upload["name"], upload["size"], upload["offset"]) for upload in uploads} == {
        ("a/b", 1000, 0),
        ("c", None, 0),
    }
    (shown,) = (upload for upload in uploads if upload["upload_id"] == first)
    active, expires = (datetime.fromisoformat(shown[field]) for field in ("active", "expires"))
    assert expires - active == timedelta(days=1)
    assert (await service.http.delete(f"/uploads/{first}")).status_code == 204
    problem(await service.http.delete(f"/uploads/{first}"), 404, "not_found")
    assert [upload["name"] for upload in (await service.http.get("/uploads")).json()["uploads"]] == ["c"]


# ------------------------------------------------------------------------------------------------------------ others


async def test_what_is_not_there_is_a_problem_too(service: Service) -> None:
    assert "'/nothing'" in problem(await service.http.get("/nothing"), 404, "not_found")["detail"]
    answer = await service.http.post("/files/a")
    problem(answer, 405, "bad_message")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, PATCH"
    assert (await service.http.put("/uploads/x")).headers["allow"] == "DELETE"
    assert (await service.http.put("/health/live")).headers["allow"] == "GET"


async def test_a_bug_is_answered_without_its_cause_and_logged_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(data=tmp_path / "data")
    app = create_app(settings)

    @app.get("/bug")
    async def bug() -> None:
        raise LookupError("secret")

    async with running(settings, app) as url, http_client(url) as http:
        answer = await http.get("/bug?key=secret")
        assert problem(answer, 500, "internal")["retryable"] is True
    assert "secret" not in answer.text
    ours = [record.getMessage() for record in caplog.records if record.name == "towline.http"]
    assert ours == ["internal method=GET route=/bug error=LookupError"]
    assert "LookupError: secret" in caplog.text


async def test_health_is_ready_when_the_store_can_write(service: Service) -> None:
    assert (await service.http.get("/health/live")).json() == {"status": "live"}
    assert (await service.http.get("/health/ready")).json() == {"status": "ready"}


async def test_the_api_describes_itself(service: Service) -> None:
    described = (await service.http.get("/openapi.json")).json()
    assert set(described["paths"]) == {
        "/files",
        "/files/{name}",
        "/events",
        "/uploads",
        "/uploads/{upload_id}",
        "/whoami",
        "/login",
        "/logout",
        "/tokens",
        "/tokens/{token_id}",
        "/shares",
        "/shares/{link_id}",
        "/s/{secret}",
        "/requests",
        "/requests/{link_id}",
        "/health/live",
        "/health/ready",
    }
    shapes = described["components"]["schemas"]
    assert shapes["FileEntry"]["properties"]["name"]["type"] == "string"
    assert set(shapes["UploadEntry"]["required"]) >= {"upload_id", "offset", "expires"}
    assert "HTTPValidationError" not in shapes
