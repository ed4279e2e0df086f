"""`towline echo` and `proxy`: messages to the server and back, and to WebSocket servers behind it."""

import sys
from collections.abc import Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from client.terminal.display import Display, choose_display
from client.terminal.echo_command import COUNT, INTERVAL, EchoCommand
from client.terminal.options import DEFAULT_SERVER, CaFile, Json, Quiet, Server, TokenFile, connection_to
from client.terminal.outcome import Exit
from client.terminal.proxy_command import ProxyCommand, text_lines
from client.terminal.running import run
from client.terminal.stdin import DescriptorReader


def echo(
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="Up to 64 KiB.", show_default=False)] = None,
    *,
    count: Annotated[
        int | None,
        typer.Option("--count", "-c", min=1, help="How many round trips to measure.", show_default=f"{COUNT}"),
    ] = None,
    interval: Annotated[
        float | None,
        typer.Option(
            "--interval", "-i", metavar="SECONDS", min=0, help="From one to the next.", show_default=f"{INTERVAL}"
        ),
    ] = None,
    server: Server = DEFAULT_SERVER,
    ca_file: CaFile = None,
    token_file: TokenFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Send a text to the server and back, or measure round trips as ping does.

    This is the quickest way to see whether a server answers. Connecting is not
    counted.

    Examples:
      towline echo hello
      towline echo
      towline echo --count 1000 --interval 0
    """
    if text is not None and (count, interval) != (None, None):
        raise typer.BadParameter("a text is sent once: leave it out to measure", param_hint="TEXT")

    async def work(display: Display) -> Exit:
        async with connection_to(server, ca_file, token_file) as connection:
            command = EchoCommand(connection, display, sys.stdout.isatty())
            if text is not None:
                return await command.one(text)
            return await command.many(COUNT if count is None else count, INTERVAL if interval is None else interval)

    run(choose_display(as_json=as_json, quiet=quiet), work)


def proxy(
    target: Annotated[str, typer.Argument(metavar="URL_OR_NAME", help="An upstream that the server allows.")],
    texts: Annotated[list[str] | None, typer.Argument(metavar="[TEXT]...", help="What to send; none: stdin.")] = None,
    *,
    subprotocols: Annotated[
        list[str] | None, typer.Option("--subprotocol", metavar="TOKEN", help="Offer it to the upstream; repeatable.")
    ] = None,
    as_hex: Annotated[bool, typer.Option("--hex", help="Print binary messages as hexadecimal digits.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PATH", help="Append binary messages to this file.")
    ] = None,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, help="How long to listen on after the end of stdin.")
    ] = 1.0,
    server: Server = DEFAULT_SERVER,
    ca_file: CaFile = None,
    token_file: TokenFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Talk to a WebSocket server behind this one.

    Each TEXT is sent, and a message printed for it. Without TEXT, lines of stdin
    are sent and every message is printed, until one side ends. The server's
    operator says which upstreams there are: `echo`, or those that they chose.

    Examples:
      towline proxy echo hello                          the answer: hello
      towline proxy wss://feed.example.org/v1           lines out, messages in
      tail -f log | towline proxy collector
      towline proxy camera --output frames.bin start    one answer, binary
    """
    if as_hex and output is not None:
        raise typer.BadParameter("--hex prints what --output would keep: choose one", param_hint="--hex")
    if not texts and sys.stdin is None:
        raise typer.BadParameter("there is no stdin to read from: give a TEXT", param_hint="TEXT")

    async def talk(display: Display, file: BinaryIO | None) -> Exit:
        async with (
            connection_to(server, ca_file, token_file) as connection,
            connection.proxy(target, subprotocols=subprotocols or ()) as tunnel,
        ):
            if tunnel.subprotocol is not None:
                said = f"the upstream chose the subprotocol {tunnel.subprotocol}"
                display.notice("open", said, {"url": tunnel.url, "subprotocol": tunnel.subprotocol})
            command = ProxyCommand(tunnel, display, sys.stdout.isatty(), as_hex, file, wait)
            if texts:
                return await command.exchange(texts)
            return await command.converse(text_lines(DescriptorReader(sys.stdin.fileno())))

    def work(display: Display) -> Coroutine[None, None, Exit]:
        return talk(display, kept.enter_context(output.open("ab")) if output is not None else None)

    with ExitStack() as kept:
        run(choose_display(as_json=as_json, quiet=quiet), work)
