"""nginx and Caddy, run as docs/howto/ says, on ports and with files of a test."""

import asyncio
import os
import re
import shutil
import socket
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Final, NamedTuple, Self

import pytest

from tests.tls import Pair

SHOWN_UPSTREAM: Final = "127.0.0.1:8000"


class Site(NamedTuple):
    """What of the documents stands for something else in a test."""

    port: int
    upstream: str
    pair: Pair
    folder: Path


class ReverseProxy:
    """A proxy that has started when it is entered, can be started anew, and is killed at the end."""

    def __init__(self, site: Site, command: list[str], started: str) -> None:
        self.url = f"https://127.0.0.1:{site.port}"
        self._folder = site.folder
        self._command = command
        self._started = started
        self._process: Process | None = None
        self.said = ""
        """What it wrote to stderr, until it was ended."""

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def restart(self) -> None:
        """Cut all connections, and take new ones at the same place."""
        await self._end()
        await self._start()

    async def _start(self) -> None:
        environment = os.environ | {"HOME": str(self._folder), "XDG_DATA_HOME": str(self._folder)}
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, env=environment, cwd=self._folder
        )
        assert self._process.stderr is not None
        line = b""
        while self._started.encode() not in line:
            line = await self._process.stderr.readline()
            self.said += line.decode()
            assert line, f"it did not start: {self.said}"

    async def _end(self) -> None:
        assert self._process is not None
        self._process.terminate()
        _, said = await self._process.communicate()
        self.said += said.decode()


def nginx(block: str, site: Site) -> ReverseProxy:
    """nginx with what the document has for its `http` block."""
    changed = {
        "listen 443 ssl;": f"listen 127.0.0.1:{site.port} ssl;",
        "/etc/ssl/files.example.org/fullchain.pem": str(site.pair.certificate),
        "/etc/ssl/files.example.org/privkey.pem": str(site.pair.key),
        "/var/log/nginx/access.log": "/dev/stderr",
        SHOWN_UPSTREAM: site.upstream,
    }
    for shown, meant in changed.items():
        assert shown in block, shown
        block = block.replace(shown, meant)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "\n".join(f"{kind}_temp_path {site.folder / kind};" for kind in kinds)
    main = f"daemon off; user root; pid {site.folder / 'nginx.pid'}; error_log stderr notice; events {{}}\n"
    file = site.folder / "nginx.conf"
    file.write_text(f"{main if os.geteuid() == 0 else main.replace('user root;', '')}http {{\n{folders}\n{block}}}\n")
    return ReverseProxy(site, [_found("nginx"), "-c", str(file), "-e", "stderr"], "start worker process ")


def caddy(block: str, site: Site) -> ReverseProxy:
    """Caddy with what the document has for its Caddyfile, and a certificate that it need not ask for."""
    assert block.startswith("files.example.org {\n")
    assert SHOWN_UPSTREAM in block
    block = block.replace(SHOWN_UPSTREAM, site.upstream)
    pair = f"tls {site.pair.certificate} {site.pair.key}"
    block = re.sub("^files.example.org {", f"https://127.0.0.1:{site.port} {{\n    {pair}", block)
    file = site.folder / "Caddyfile"
    file.write_text("{\n    admin off\n    auto_https disable_redirects\n}\n" + block)
    command = [_found("caddy"), "run", "--adapter", "caddyfile", "--config", str(file)]
    return ReverseProxy(site, command, "serving initial configuration")


def free_port() -> int:
    """A port that nothing listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _found(name: str) -> str:
    """Where it is. Without it nothing of its document is shown: that is a failure in CI and a skip elsewhere."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if path is not None:
        return path
    if os.environ.get("CI") == "true":
        pytest.fail(f"docs/howto/{name}.md needs {name}: install it, CI does not pass without this test")
    pytest.skip(f"NOT SHOWN HERE: docs/howto/{name}.md needs {name}")
