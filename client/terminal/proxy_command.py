"""What `towline proxy` does with an open tunnel: a text and its answer, or lines out and messages in."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from client.errors import ClientError, TunnelClosed
from client.terminal.display import Display
from client.terminal.outcome import Exit
from client.terminal.wording import lines_printable, size_words
from client.tunnel import Tunnel


@dataclass(slots=True)
class ProxyCommand:
    """A tunnel, and where its messages go: text to stdout, binary ones as hexadecimal digits or into `output`."""

    tunnel: Tunnel
    display: Display
    to_terminal: bool
    as_hex: bool
    output: BinaryIO | None
    wait_seconds: float
    _shown_at: float = field(default=0.0, init=False)

    async def exchange(self, texts: Sequence[str]) -> Exit:
        """Send each text, and show a message for each. Raises TunnelClosed."""
        for text in texts:
            await self.tunnel.send(text)
            self._show(await self.tunnel.recv())
        return Exit.DONE

    async def converse(self, lines: AsyncIterable[str]) -> Exit:
        """Send lines and show messages, until either side ends; after the last line, until no message has come for a
        while. Raises TunnelClosed, where the other end did not close in order."""
        showing, sending = asyncio.create_task(self._show_all()), asyncio.create_task(self._send_all(lines))
        try:
            await asyncio.wait([showing, sending], return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                try:
                    sending.result()
                except TunnelClosed:  # `showing` gets there too, behind what came before the close
                    await asyncio.wait([showing])
                else:
                    await self._until_silent(showing)
            if showing.done():
                showing.result()
                self.display.notice("closed", "the other end has closed the tunnel", {})
        finally:
            for task in (showing, sending):
                task.cancel()
            await asyncio.gather(showing, sending, return_exceptions=True)
        return Exit.DONE

    async def _send_all(self, lines: AsyncIterable[str]) -> None:
        async for line in lines:
            await self.tunnel.send(line)

    async def _show_all(self) -> None:
        async for message in self.tunnel:
            self._show(message)

    async def _until_silent(self, showing: "asyncio.Task[None]") -> None:
        clock = asyncio.get_running_loop().time
        self._shown_at = clock()
        while not showing.done() and (left := self._shown_at + self.wait_seconds - clock()) > 0:
            await asyncio.wait([showing], timeout=left)

    def _show(self, message: str | bytes) -> None:
        self._shown_at = asyncio.get_running_loop().time()
        if isinstance(message, str):
            self.display.data(
                lines_printable(message) if self.to_terminal else message, {"event": "message", "text": message}
            )
        elif self.as_hex:
            self.display.data(message.hex(), {"event": "message", "hex": message.hex()})
        elif self.output is not None:
            self.output.write(message)
            self.output.flush()
        else:
            advice = "--hex shows it, --output keeps it"
            sentence = f"a binary message of {size_words(len(message))}: {advice}"
            self.display.notice("binary", sentence, {"size": len(message)})


async def text_lines(pieces: AsyncIterable[bytes]) -> AsyncIterator[str]:
    """The lines of a stream of UTF-8, as soon as each is whole; the last one need not end. Raises ClientError."""
    rest = b""
    async for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield _decoded(line.removesuffix(b"\r"))
    if rest:
        yield _decoded(rest)


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise ClientError(f"a line of stdin is not UTF-8 text: {line[:80]!a}") from None
