"""Proxies that do what real ones do to WebSockets: faults for a `Link`, and a real nginx."""

import asyncio
import socket
import struct
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.links import Fault, Happening, Passage

HEAD_END: Final = b"\r\n\r\n"


def strips_upgrades(passage: Passage, piece: bytes) -> Iterator[bytes | Happening]:
    """What asks for a WebSocket arrives as any other request: nginx does so when it is told nothing else."""
    yield piece.replace(b"Upgrade: websocket", b"X-Taken: websocket").replace(
        b"Connection: Upgrade", b"Connection: close  "
    )


def gathers(size: int) -> Fault:
    """What comes on a WebSocket is passed on when so many bytes of it have gathered."""
    gathered: dict[int, bytearray] = {}

    def fault(passage: Passage, piece: bytes) -> Iterator[bytes | Happening]:
        if passage.number not in gathered:
            gathered[passage.number] = bytearray()
            yield piece  # the head
            return
        held = gathered[passage.number]
        held += piece
        if len(held) >= size:
            yield bytes(held)
            held.clear()

    return fault


def keeps_streams(passage: Passage, piece: bytes) -> Iterator[bytes | Happening]:
    """Of an answer that does not end by itself the head is passed on, and what follows is not for now."""
    head, end, _ = piece.partition(HEAD_END)
    if b"text/event-stream" not in head:
        yield piece
        return
    yield head + end
    yield Passage.hold


@dataclass
class _Frames:
    """How far the frames of one connection have passed."""

    head: bytearray = field(default_factory=bytearray)
    left: int = 0


def cuts_messages_over(size: int) -> Fault:
    """A connection ends by a frame from the client that is longer (RFC 6455, section 5.2: its length stands first)."""
    seen: dict[int, _Frames] = {}

    def fault(passage: Passage, piece: bytes) -> Iterator[bytes | Happening]:
        if passage.number not in seen:
            seen[passage.number] = _Frames()
        elif not _lengths_fit(seen[passage.number], piece, size):
            yield Passage.cut
            return
        yield piece

    return fault


def _lengths_fit(frames: _Frames, piece: bytes, size: int) -> bool:
    for byte in piece:
        if frames.left:
            frames.left -= 1
            continue
        frames.head.append(byte)
        if (length := _payload_length(bytes(frames.head))) is not None:
            if length > size:
                return False
            frames.head.clear()
            frames.left = length + 4  # the mask
    return True


def _payload_length(head: bytes) -> int | None:
    """Of a frame that begins so; None while that is too little to tell."""
    if len(head) < 2:
        return None
    short = head[1] & 0x7F
    if short < 126:
        return short
    width, form = (2, "!H") if short == 126 else (8, "!Q")
    if len(head) < 2 + width:
        return None
    (length,) = struct.unpack(form, head[2 : 2 + width])
    return int(length)


# ------------------------------------------------------------------------------------------------------------- nginx

NGINX: Final = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr notice;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/incoming;
    proxy_temp_path       {folder}/passing;
    fastcgi_temp_path     {folder}/fastcgi;
    uwsgi_temp_path       {folder}/uwsgi;
    scgi_temp_path        {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass {server};
            {lines}
        }}
    }}
}}
"""


@asynccontextmanager
async def nginx(program: str, folder: Path, server: str, lines: str) -> AsyncIterator[str]:
    """A real nginx before a server, with these lines in its `location`; yields its URL."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port: int = chosen.getsockname()[1]
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX.format(folder=folder, port=port, server=server, lines=lines))
    process = await asyncio.create_subprocess_exec(program, "-p", str(folder), "-c", str(configuration), stderr=PIPE)
    assert process.stderr is not None
    try:
        said = b""
        while b"start worker processes" not in said:
            line = await process.stderr.readline()
            assert line, said.decode()
            said += line
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.communicate()
