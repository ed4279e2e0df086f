"""What `towline doctor` does: it looks at one thing after another between here and a server, and says what it found.

What cannot be looked at because of what was found before is said to be so, and does not count as a problem.
"""

import asyncio
import ssl
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http.client import HTTPException
from typing import Final

from client.credentials import Credentials
from client.errors import CannotConnect
from client.http import HttpApi, WhoAmI
from client.terminal import diagnosis, probes
from client.terminal.diagnosis import Finding, Verdict, unknown
from client.terminal.display import Display
from client.terminal.exchange import UPGRADE, Exchange, exchange, first_piece_after
from client.terminal.outcome import Exit, outcome_of
from client.terminal.paint import Colour, paint
from client.terminal.probes import Sizes, Speed
from client.terminal.wording import printable
from client.tls import tls_refusal
from client.wire import Wire, open_wire
from transfer.protocol import limits
from transfer.protocol.errors import (
    Forbidden,
    InsufficientStorage,
    QuotaExceeded,
    StorageFailure,
    TooLarge,
    Unauthorized,
)

COLOURS: Final[dict[Verdict, Colour]] = {"ok": "green", "note": "yellow", "problem": "red", "unknown": "cyan"}
NAME_COLUMNS: Final = 14
MENDING_COLUMNS: Final = 13
NARROWEST: Final = 40
UNKNOWN_SIZE: Final = 64 * limits.KIB
"""Of a message that most ways let through."""


class NoEcho(CannotConnect):
    """No WebSocket opens at `/echo`, where one does at `/ws`."""


@dataclass(frozen=True, slots=True)
class Doctor:
    """A server, how it is reached, for how many seconds a connection is to be left idle (0: none is), within how many a
    small message has to be back, and by how many bytes speed is measured at most."""

    server: str
    credentials: Credentials
    tls: ssl.SSLContext | None = None
    idle_seconds: float = 0.0
    early_seconds: float = 3.0
    speed_bytes: int = probes.SPEED_BYTES

    async def findings(self) -> AsyncIterator[Finding]:
        """Everything that was found out, in the order in which one thing needs the other, as soon as it is."""
        alive = await self._exchange("/health/live")
        if isinstance(alive, Finding):
            yield alive
            return
        now = datetime.now(UTC)
        yield diagnosis.of_address(self.server, alive)
        yield diagnosis.of_tls(self.server, alive, now)
        server = diagnosis.of_server(alive)
        yield server
        yield diagnosis.of_between(alive)
        if server.verdict != "ok":
            return
        yield diagnosis.of_clock(alive)
        yield await self._judged("/health/ready", diagnosis.of_disk)
        upgrade = await self._judged("/ws", diagnosis.of_upgrade)
        yield upgrade
        if upgrade.verdict == "ok":
            async for finding in self._by_websocket():
                yield finding

    async def _exchange(self, path: str) -> Exchange | Finding:
        headers = UPGRADE if path == "/ws" else None
        try:
            return await asyncio.to_thread(exchange, self.server, path, headers, tls=self.tls)
        except (OSError, HTTPException) as failed:
            return _of_failure(path, failed)

    async def _judged(self, path: str, judge: Callable[[Exchange], Finding]) -> Finding:
        seen = await self._exchange(path)
        return seen if isinstance(seen, Finding) else judge(seen)

    async def _by_websocket(self) -> AsyncIterator[Finding]:
        async with HttpApi(self.server, self.credentials, tls=self.tls) as http:
            try:
                caller = await http.whoami()
            except Unauthorized as refused:
                advice = f"`towline login {self.server}` keeps a token, TOWLINE_TOKEN takes one"
                yield Finding("access", "problem", f"{refused}: {advice}", facts={"code": refused.code})
                return
            except probes.REFUSALS as failed:
                yield unknown("access", outcome_of(failed).message)
                return
            yield diagnosis.of_access(caller)
            echo = await self._tried("echo", self._echo)
            if echo.verdict == "problem":
                yield echo
            early = await self._tried("buffering", self._early)
            yield early
            if early.verdict == "problem":
                return
            yield await self._tried("round trip", self._trips)
            sizes = Sizes(UNKNOWN_SIZE)

            async def largest() -> Finding:
                nonlocal sizes
                sizes = await probes.largest_message(self._open_echo)
                return diagnosis.of_sizes(sizes)

            yield await self._tried("message size", largest)
            async for finding in self._speeds(http, caller, sizes):
                yield finding
            yield await self._events()
            yield await self._idle()

    async def _tried(self, check: str, probe: Callable[[], Awaitable[Finding]]) -> Finding:
        """What a probe finds, or that it found nothing, and why."""
        try:
            return await probe()
        except NoEcho:
            return unknown(check, "not looked at: it takes a WebSocket at /echo")
        except probes.REFUSALS as failed:
            return unknown(check, outcome_of(failed).message or "no answer in time")

    async def _trips(self) -> Finding:
        async with self._open("/ws") as wire:
            return diagnosis.of_round_trips(await probes.round_trips(wire))

    async def _echo(self) -> Finding:
        """Whether a WebSocket opens there, too: some proxies are told of `/ws` alone."""
        try:
            async with self._open_echo():
                return Finding("echo", "ok", "a WebSocket opens at /echo, too")
        except NoEcho as refused:
            return diagnosis.of_no_echo(refused.reason)

    async def _early(self) -> Finding:
        async with self._open_echo() as wire:
            return diagnosis.of_early(await probes.early_message(wire, self.early_seconds))

    async def _events(self) -> Finding:
        """A stream that an answer over HTTP is: proxies buffer those when they leave WebSockets alone."""
        token = self.credentials.presented(await self.credentials.current())
        headers = {"Accept": "text/event-stream", **token}
        ask = partial(first_piece_after, self.server, "/events", headers, self.early_seconds, tls=self.tls)
        try:
            return diagnosis.of_events(*await asyncio.to_thread(ask))
        except (OSError, HTTPException) as failed:
            return unknown("events", outcome_of(failed).message)

    async def _idle(self) -> Finding:
        if not self.idle_seconds:
            return unknown("idle", "not looked at: --idle 70 leaves a connection silent for so many seconds")
        return await self._tried("idle", self._silence)

    async def _silence(self) -> Finding:
        return diagnosis.of_idle(await probes.silence(partial(self._open_echo, ping_seconds=None), self.idle_seconds))

    async def _speeds(self, http: HttpApi, caller: WhoAmI, sizes: Sizes) -> AsyncIterator[Finding]:
        """Both ways; by messages that come back where the caller may not upload, or there is nothing to download."""
        message_bytes = min(max(sizes.passed, limits.KIB), 256 * limits.KIB)
        room = self.speed_bytes if caller.quota is None else caller.quota - (caller.used or 0)

        async def up() -> Finding:
            try:
                async with self._open("/ws") as wire:
                    size = min(self.speed_bytes, max(1, room))
                    speed = await probes.upload_speed(wire, http, caller.prefix, message_bytes, size)
                    return diagnosis.of_speed(speed)
            except (InsufficientStorage, StorageFailure) as refused:
                return diagnosis.of_full_disk(refused)
            except (Forbidden, QuotaExceeded, TooLarge):
                return await by_echo("upload")

        async def down() -> Finding:
            try:
                speed: Speed | None = await probes.download_speed(http, self.speed_bytes)
            except Forbidden:
                speed = None
            return await by_echo("download") if speed is None else diagnosis.of_speed(speed)

        async def by_echo(check: str) -> Finding:
            async with self._open_echo() as wire:
                return diagnosis.of_speed(await probes.echo_speed(wire, check, message_bytes, self.speed_bytes))

        yield await self._tried("upload", up)
        yield await self._tried("download", down)

    @asynccontextmanager
    async def _open_echo(self, ping_seconds: float | None = 10.0) -> AsyncIterator[Wire]:
        """Raises NoEcho, and what `open_wire` raises."""
        async with AsyncExitStack() as stack:
            try:
                wire = await stack.enter_async_context(self._open("/echo", ping_seconds))
            except CannotConnect as refused:
                raise NoEcho(refused.server, refused.reason) from None
            yield wire

    def _open(self, path: str, ping_seconds: float | None = 10.0) -> AbstractAsyncContextManager[Wire]:
        size = limits.MAX_REPLY_BYTES
        return open_wire(
            self.server, self.credentials, tls=self.tls, max_size=size, path=path, ping_seconds=ping_seconds
        )


async def examine(display: Display, doctor: Doctor, *, width: int, painted: bool) -> Exit:
    """Show what is found, each as soon as it is. Fails when there is a problem."""
    problems = 0
    async for finding in doctor.findings():
        problems += finding.verdict == "problem"
        display.data("\n".join(lines_of(finding, width, painted=painted)), finding.told)
    words = "no problem was found" if not problems else f"{problems} {'problem' if problems == 1 else 'problems'}"
    display.data(words, {"event": "summary", "problems": problems})
    return Exit.FAILED if problems else Exit.DONE


def lines_of(finding: Finding, width: int, *, painted: bool) -> Iterator[str]:
    """The verdict, what it is about, and below it what mends it."""
    verdict = paint(f"{finding.verdict:<7}", COLOURS[finding.verdict], painted=painted)
    indent = 9 + NAME_COLUMNS
    if width < 2 * indent:
        yield f"{verdict}  {finding.check}"
        yield from _wrapped(finding.sentence, width, "    ")
    else:
        first, *rest = _wrapped(finding.sentence, width, " " * indent)
        yield f"{verdict}  {finding.check:<{NAME_COLUMNS}}{first.lstrip()}"
        yield from rest
    for kind, lines in finding.mending.items():
        for number, line in enumerate(lines):
            first, *rest = _wrapped(line, width, " " * MENDING_COLUMNS)
            yield f"{'' if number else f'    {kind}:':<{MENDING_COLUMNS}}{first.lstrip()}"
            yield from (f"  {each}" for each in rest)


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    """Lines of a text; a word that is longer than a line stays whole, to be copied."""
    room = max(width, NARROWEST) - 2
    lines = textwrap.wrap(
        printable(text),
        room,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines or [""]


def _of_failure(path: str, failed: Exception) -> Finding:
    """Why there was no answer."""
    check = "address" if path == "/health/live" else "upgrade" if path == "/ws" else "disk"
    if isinstance(failed, HTTPException):
        return Finding(check, "problem", "what answers there does not speak HTTP: look at the port")
    if (refused := tls_refusal(failed)) is not None:
        return Finding("tls", "problem", refused)
    said = "no answer in time" if isinstance(failed, TimeoutError) else outcome_of(failed).message
    advice = "does `towline serve` run there, and does a firewall let you through?"
    return Finding(check, "problem", f"{said}: {advice}")
