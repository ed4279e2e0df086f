"""docs/howto/nginx.md and caddy.md, from the token to the upload, with the configuration that they show."""

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, NamedTuple

import httpx2
import pytest
import pytest_asyncio

from tests import evidence
from tests.consoles import Terminal
from tests.fences import blocks, only_block
from tests.howto.proxies import ReverseProxy, Site, caddy, free_port, nginx
from tests.server import CHECKOUT
from tests.tls import Authority

pytestmark = pytest.mark.asyncio(loop_scope="module")
HOWTO: Final = CHECKOUT / "docs" / "howto"
PUBLIC: Final = "https://files.example.org"
SIZE: Final = 6_000_000


class Setting(NamedTuple):
    """A proxy in front of a server, and a person who has a token for it."""

    proxy: ReverseProxy
    terminal: Terminal
    token: str
    authority: Authority
    document: Path

    async def get(self, path: str) -> httpx2.Response:
        async with self._http() as http:
            return await http.get(path)

    async def log_in(self) -> httpx2.Response:
        """As the page does; and as nobody may, it says of itself where it comes from."""
        async with self._http() as http:
            forged = {"X-Forwarded-Host": "example.org", "X-Forwarded-Proto": "http", "X-Forwarded-For": "192.0.2.1"}
            headers = forged | {"Origin": self.proxy.url}
            return await http.post("/login", json={"token": self.token}, headers=headers)

    def _http(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self.proxy.url, verify=self.authority.context(), trust_env=False)


MAKERS: Final[dict[str, Callable[[str, Site], ReverseProxy]]] = {"nginx": nginx, "caddy": caddy}


@pytest_asyncio.fixture(params=MAKERS, scope="module", loop_scope="module")
async def setting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Setting]:
    """What a document has before "From anywhere else"."""
    tmp_path = tmp_path_factory.mktemp(request.param)
    document = HOWTO / f"{request.param}.md"
    (tmp_path / "towline.toml").write_text(only_block(document, "toml"))
    authority = Authority(tmp_path)
    async with Terminal(tmp_path, {"TOWLINE_CA_FILE": str(authority.file)}) as terminal:
        make_token, serve = blocks(document, "console", "console server")[:2]
        token = (await terminal.output_of(make_token)).split()[-1]
        evidence.secret(token)
        await terminal.type(serve)
        site = Site(free_port(), terminal.server.url.removeprefix("http://"), authority.issue("127.0.0.1"), tmp_path)
        async with MAKERS[request.param](only_block(document, request.param), site) as proxy:
            terminal.places[PUBLIC] = proxy.url
            terminal.environment["TOWLINE_TOKEN"] = token
            yield Setting(proxy, terminal, token, authority, document)


async def test_what_the_document_shows_from_anywhere_else_is_what_happens(setting: Setting) -> None:
    for block in blocks(setting.document, "console")[1:]:
        await setting.terminal.type(block)


async def test_the_proxy_is_believed_about_the_address_that_a_page_came_by_and_the_client_is_not(
    setting: Setting,
) -> None:
    answer = await setting.log_in()
    assert answer.status_code == 204
    assert "secure" in answer.headers["set-cookie"].lower()


async def test_an_upload_goes_on_by_itself_when_the_proxy_was_restarted(setting: Setting) -> None:
    source = setting.terminal.folder / "slow.bin"
    source.write_bytes(bytes(SIZE))
    command = ["-m", "client.cli", "upload", str(source), "--json", "--server", setting.proxy.url]
    upload = await asyncio.create_subprocess_exec(
        *(sys.executable, *command, "--limit-rate", "3M"),
        env=setting.terminal.environment,
        stdin=DEVNULL,
        stdout=PIPE,
    )
    assert upload.stdout is not None
    seen = [json.loads(await upload.stdout.readline())]
    while seen[-1]["event"] != "ack":
        seen.append(json.loads(await upload.stdout.readline()))
    await setting.proxy.restart()
    seen += [json.loads(line) for line in (await upload.stdout.read()).splitlines()]
    assert await upload.wait() == 0
    kinds = [event["event"] for event in seen]
    assert "waiting" in kinds
    assert max(event["offset"] for event in seen if event["event"] == "ready") > 0


async def test_the_proxy_writes_no_address_of_a_link_to_its_log(setting: Setting) -> None:
    for path in ("/s/secret", "/r/secret", "/health/live"):
        await setting.get(path)
    await setting.proxy.restart()  # what it has to say it has said when it ends
    assert "secret" not in setting.proxy.said
    assert ("/health/live" in setting.proxy.said) == ("access_log" in setting.document.read_text())
