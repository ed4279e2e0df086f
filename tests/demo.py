"""`./run demo`: upload 256 MiB, cut the connection, kill the server, go on, verify; everything real, nothing kept.

A server process on a free port with a temporary folder, the `towline` command as people type it, and between them a
link that can be cut. What `sha256sum` says is compared with what the server published.
"""

import asyncio
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import httpx2

from tests.links import Link
from tests.server import CHECKOUT, ServerProcess

MIB = 1 << 20
SIZE = 256 * MIB
CUT_AT = 90 * MIB
KILL_AT = 170 * MIB


def say(text: str) -> None:
    print(text, flush=True)


class Demo:
    """The steps, in order. Raises SystemExit with a sentence when one does not hold."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "holiday.mov"
        self._offset = 0

    async def run(self) -> None:
        self._make_file()
        async with ServerProcess(self._folder / "data") as server, Link("127.0.0.1", server.port) as link:
            say(f"towline serve: {server.url}, its data in a temporary folder")
            await self._upload(server, link)
            await self._compare(server.url)

    def _make_file(self) -> None:
        say(f"making {self._path.name}, {SIZE // MIB} MiB of random bytes")
        with self._path.open("wb") as stream:
            for _ in range(SIZE // MIB):
                stream.write(os.urandom(MIB))

    async def _upload(self, server: ServerProcess, link: Link) -> None:
        say(f"$ towline upload {self._path.name}")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "client.cli", "upload", str(self._path), "--server", link.url, "--json",
            stdout=PIPE, cwd=CHECKOUT,
        )  # fmt: skip
        await self._until_acked(process, CUT_AT)
        say(f"  cutting the connection at {self._offset // MIB} MiB")
        link.cut()
        await self._until_acked(process, KILL_AT)
        say(f"  killing the server with SIGKILL at {self._offset // MIB} MiB, and starting it again")
        await server.restart()
        complete = await self._until(process, "complete")
        if await process.wait() != 0:
            raise SystemExit("the upload failed")
        sent = int(str(complete["sent_bytes"]))
        say(f"  complete: {sent / MIB:.1f} MiB went over the wire for {SIZE // MIB} MiB, in spite of both")

    async def _until_acked(self, process: Process, offset: int) -> None:
        while self._offset < offset:
            await self._until(process, "ack")

    async def _until(self, process: Process, wanted: str) -> dict[str, object]:
        """Read the command's events up to the next of this kind, and show what a person would want to see."""
        assert process.stdout is not None
        while line := await process.stdout.readline():
            event: dict[str, object] = json.loads(line)
            kind, offset = event["event"], int(str(event.get("offset", 0)))
            if kind == "ready":
                say(f"  ready: the server has {offset // MIB} MiB durably" if offset else "  ready")
                if offset < self._offset:
                    raise SystemExit(f"the server lost what it had acknowledged: {offset} < {self._offset}")
            elif kind == "waiting":
                say(f"  waiting for the network: {event['reason']}")
            elif kind == "ack":
                self._offset = offset
            if kind == wanted:
                return event
        raise SystemExit(f"the upload ended before {wanted!r}")

    async def _compare(self, url: str) -> None:
        async with httpx2.AsyncClient(base_url=url, trust_env=False) as http:
            listing = (await http.get("/files")).json()
        (file,) = listing["files"]
        ours = await self._sha256sum()
        say(f"sha256sum: {ours}")
        say(f"published: {file['digest'].removeprefix('sha256:')}")
        if file["digest"] != f"sha256:{ours}":
            raise SystemExit("the digests differ")
        say("the same. GET /files says:")
        say(json.dumps(listing, indent=2))

    async def _sha256sum(self) -> str:
        if shutil.which("sha256sum") is None:
            return await asyncio.to_thread(self._digest)
        process = await asyncio.create_subprocess_exec("sha256sum", str(self._path), stdout=PIPE)
        output, _ = await process.communicate()
        return output.decode().split()[0]

    def _digest(self) -> str:
        with self._path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


def main() -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="towline-demo-") as folder:
        asyncio.run(Demo(Path(folder)).run())
    say(f"done in {time.monotonic() - began:.1f} s; nothing was left behind")


if __name__ == "__main__":
    main()
