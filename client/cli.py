"""The `towline` command: what can be typed, and what comes of it."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack, aclosing
from importlib.metadata import PackageNotFoundError, version
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import typer

from client.connection import visit
from client.display import Display, choose_display
from client.echo_command import COUNT, INTERVAL, EchoCommand
from client.extensions import add_commands_of_others
from client.http import UnfinishedUpload
from client.kept_tokens import Place
from client.lending import lend
from client.link_commands import (
    asked_password,
    check_request_link,
    given_password,
    links,
    request,
    share,
    unlink,
)
from client.link_urls import is_url
from client.login_command import asked_token
from client.login_command import login as keep_token
from client.login_command import logout as forget_token
from client.login_command import whoami as show_caller
from client.options import (
    DEFAULT_SERVER,
    CaFile,
    GiveUpAfter,
    Json,
    LimitRate,
    Quiet,
    Server,
    ServerArgument,
    TokenFile,
    connection_to,
    warn,
)
from client.outcome import Exit, outcome_of
from client.proxy_command import ProxyCommand, text_lines
from client.retry import GIVE_UP_AFTER
from client.running import run
from client.selection import Selection, select
from client.shared_file import PasswordWanted, download_shared
from client.stdin import DescriptorReader
from client.upload_command import UploadCommand
from client.wording import printable, size_words
from transfer.protocol.errors import Exists, TransferError
from transfer.protocol.messages import FileEntry, IfExists

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line. Names that an output cannot encode are written as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # there is none when it was closed
            stream.reconfigure(errors="backslashreplace")
    add_commands_of_others(app, sys.argv[1:])
    app(prog_name="towline", obj=lend)


def _request_link(value: str | None) -> str | None:
    return None if value is None else check_request_link(value)


def _show_version(*, wanted: bool) -> None:
    if wanted:
        try:
            print(f"towline {version('towline')}")
        except PackageNotFoundError:  # run from a checkout that was not installed
            print("towline, not installed")
        raise typer.Exit


@app.callback()
def towline(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=lambda value: _show_version(wanted=value),
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Moves files over one WebSocket and never starts over.

    Whatever breaks a transfer (network, server, Ctrl-C), the same command goes on where it ended.

    Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 75 gave up or taken over, 130 Ctrl-C. After 75 and 130 run
    the same command to go on.

    Examples:
      towline upload cat.jpg
      towline ls
      towline download cat.jpg -o copy.jpg
    """


# ---------------------------------------------------------------------------------------------------------- commands


@app.command()
def upload(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Files and folders; - reads from stdin.")],
    name: Annotated[
        str | None, typer.Option("--name", "-n", metavar="NAME", help="The whole name on the server, for one file.")
    ] = None,
    prefix: Annotated[str, typer.Option("--prefix", "-p", help="A folder that stands before every name.")] = "",
    if_exists: Annotated[
        IfExists, typer.Option("--if-exists", help="What to do when other content has the name.")
    ] = "error",
    digest: Annotated[
        Literal["sha256", "blake3"], typer.Option("--digest", help="The checksum that both sides compare.")
    ] = "sha256",
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="URL", callback=_request_link, help="A request link to upload by, instead of --server."
        ),
    ] = None,
    server: Server = DEFAULT_SERVER,
    ca_file: CaFile = None,
    token_file: TokenFile = None,
    give_up_after: GiveUpAfter = GIVE_UP_AFTER,
    limit_rate: LimitRate = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Upload files, or go on with uploads that were interrupted.

    A file keeps its last part as its name, files in a folder their way from it: `photos` gives photos/2026/cat.jpg.
    What the server has already, with the same content, is not sent again.

    Examples:
      towline upload cat.jpg                          as cat.jpg
      towline upload cat.jpg --name pets/tom.jpg      as pets/tom.jpg
      towline upload photos --prefix 2026             as 2026/photos/...
      towline upload report.pdf --if-exists replace   in place of the old one
      towline upload photos --limit-rate 500K         and leave room for others
      tar c src | towline upload - --name src.tar     what a program writes
      towline upload bid.pdf --to https://files.example.org/r/...   where somebody asked for it, without a token
    """
    _check_sources(paths, name, prefix)
    if to is not None and if_exists == "replace":
        raise typer.BadParameter("a link replaces nothing: a taken name gets a number", param_hint="--if-exists")
    if to is not None and token_file is not None:
        raise typer.BadParameter("who uploads by a link needs no token", param_hint="--token-file")

    async def send(display: Display, selection: Selection) -> Exit:
        if to is not None:
            to_server = visit(to, ca_file=ca_file, give_up_after=give_up_after, limit_rate=limit_rate, warn=warn)
        else:
            to_server = connection_to(server, ca_file, token_file, give_up_after=give_up_after, limit_rate=limit_rate)
        async with to_server as connection:
            command = UploadCommand(connection, display, if_exists, digest)
            if paths == ["-"] and name is not None:
                return await command.one(DescriptorReader(sys.stdin.fileno()), name)
            if len(paths) == len(selection.items) == 1 and not selection.skipped:
                return await command.one(selection.items[0].path, selection.items[0].name)
            return await command.selection(selection)

    def work(display: Display) -> Coroutine[None, None, Exit]:
        # Looking into folders may take its time, and is over at once on Ctrl-C as long as no loop runs.
        return send(display, select([Path(path) for path in paths if path != "-"], name=name, prefix=prefix))

    run(choose_display(as_json=as_json, quiet=quiet), work)


@app.command()
def ls(
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="What names begin with.")] = "",
    server: Server = DEFAULT_SERVER,
    ca_file: CaFile = None,
    token_file: TokenFile = None,
    as_json: Json = False,
) -> None:
    """List the files on the server: size, time of last change, name.

    All of them, however many; or those whose names begin with PREFIX, in the order of their names.

    Examples:
      towline ls
      towline ls photos/2026/
      towline ls --json | jq -r .digest
    """

    async def work(display: Display) -> Exit:
        async with (
            connection_to(server, ca_file, token_file) as connection,
            aclosing(connection.list_files(prefix)) as files,  # type: ignore[type-var]
        ):
            async for file in files:
                display.data(_file_line(file), file.model_dump(mode="json"))
        return Exit.DONE

    run(choose_display(as_json=as_json, quiet=True), work)


@app.command()
def download(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The file's name on the server, or a share link.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PATH", help="A file or a folder to write to.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace a file that has other content.")] = False,
    server: Server = DEFAULT_SERVER,
    ca_file: CaFile = None,
    token_file: TokenFile = None,
    give_up_after: GiveUpAfter = GIVE_UP_AFTER,
    limit_rate: LimitRate = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Download a file, or go on with a download that was interrupted.

    Until its digest was found right, the content is beside its place, in .NAME.….towline-part.

    Examples:
      towline download photos/cat.jpg               to cat.jpg here
      towline download photos/cat.jpg -o pictures   into the folder pictures
      towline download cat.jpg -o old.jpg --force   in place of what is there
      towline download https://files.example.org/s/...   what somebody shared, without a token
    """
    if output == Path("-"):
        raise typer.BadParameter("a download goes to a file, not to stdout", param_hint="--output")

    async def fetch_shared(display: Display, password: str | None) -> None:
        await download_shared(
            name,
            output,
            password=password,
            force=force,
            ca_file=ca_file,
            give_up_after=give_up_after,
            limit_rate=limit_rate,
            on_event=display.show,
        )

    async def work(display: Display) -> Exit:
        if is_url(name):
            await _with_password(lambda password: fetch_shared(display, password))
            return Exit.DONE
        to_server = connection_to(server, ca_file, token_file, give_up_after=give_up_after, limit_rate=limit_rate)
        async with to_server as connection:
            await connection.download(name, output, force=force, on_event=display.show)
        return Exit.DONE

    run(choose_display(as_json=as_json, quiet=quiet), work)


@app.command()
def mv(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The file's name on the server.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="What it is to be called.")],
    server: Server = DEFAULT_SERVER,
    ca_file: CaFile = None,
    token_file: TokenFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Rename a file on the server.

    A name that is taken is refused. Nothing is copied.

    Examples:
      towline mv cat.jpg photos/cat.jpg
    """

    async def work(display: Display) -> Exit:
        async with connection_to(server, ca_file, token_file) as connection:
            try:
                file = await connection.rename(old, new)
            except Exists:
                raise Exists(f"the name {new!r} is taken: choose another one, or rm that file before") from None
        display.notice("renamed", f"{old}: renamed to {file.name}", {"name": old, "file": file.model_dump(mode="json")})
        return Exit.DONE

    run(choose_display(as_json=as_json, quiet=quiet), work)


@app.command()
def rm(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Names of files on the server.")],
    server: Server = DEFAULT_SERVER,
    ca_file: CaFile = None,
    token_file: TokenFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Delete files on the server.

    One that is not there does not keep the others from being deleted.

    Examples:
      towline rm cat.jpg photos/dog.jpg
    """

    async def work(display: Display) -> Exit:
        async with connection_to(server, ca_file, token_file) as connection:
            return await _each(display, names, "deleted", "name", connection.delete)

    run(choose_display(as_json=as_json, quiet=quiet), work)


@app.command()
def uploads(
    server: Server = DEFAULT_SERVER, ca_file: CaFile = None, token_file: TokenFile = None, as_json: Json = False
) -> None:
    """List uploads that are not complete: id, bytes that are safe, when they expire, name.

    The command that began one goes on with it; `towline cancel` drops it.

    Examples:
      towline uploads
    """

    async def work(display: Display) -> Exit:
        async with connection_to(server, ca_file, token_file) as connection:
            for unfinished in await connection.uploads():
                display.data(_upload_line(unfinished), unfinished.model_dump(mode="json"))
        return Exit.DONE

    run(choose_display(as_json=as_json, quiet=True), work)


@app.command()
def cancel(
    upload_ids: Annotated[list[str], typer.Argument(metavar="UPLOAD_ID", help="Ids, as `towline uploads` shows.")],
    server: Server = DEFAULT_SERVER,
    ca_file: CaFile = None,
    token_file: TokenFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Drop uploads that are not complete, and their bytes.

    Files that are complete are not touched: those are for `towline rm`.

    Examples:
      towline cancel k3V9mQ
    """

    async def work(display: Display) -> Exit:
        async with connection_to(server, ca_file, token_file) as connection:
            return await _each(display, upload_ids, "cancelled", "upload_id", connection.cancel)

    run(choose_display(as_json=as_json, quiet=quiet), work)


@app.command()
def echo(
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="Up to 64 KiB.", show_default=False)] = None,
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

    This is the quickest way to see whether a server answers. Connecting is not counted.

    Examples:
      towline echo hello
      towline echo
      towline echo --count 1000 --interval 0
    """
    if text is not None and (count, interval) != (None, None):
        raise typer.BadParameter("a text is sent once: leave it out to measure", param_hint="TEXT")

    async def work(display: Display) -> Exit:
        async with connection_to(server, ca_file, token_file) as connection:
            command = EchoCommand(connection, display)
            if text is not None:
                return await command.one(text)
            return await command.many(COUNT if count is None else count, INTERVAL if interval is None else interval)

    run(choose_display(as_json=as_json, quiet=quiet), work)


@app.command()
def proxy(
    target: Annotated[str, typer.Argument(metavar="URL_OR_NAME", help="An upstream that the server allows.")],
    texts: Annotated[list[str] | None, typer.Argument(metavar="[TEXT]...", help="What to send; none: stdin.")] = None,
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


@app.command()
def login(
    server: ServerArgument = DEFAULT_SERVER,
    ca_file: CaFile = None,
    store: Annotated[
        Place | None,
        typer.Option(
            "--store", help="Where to keep it; by default the keyring, where there is one.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Keep a token for a server, so that other commands need none.

    It asks for the token, without showing it, or reads it from the first line of
    stdin; asks the server whose it is; and keeps it for that server alone, in your
    keyring or in a file that only you can read.

    Who cannot keep one gives it in TOWLINE_TOKEN, or in a file with --token-file.

    Examples:
      towline login https://files.example.org
      pass show towline | towline login https://files.example.org --store file
    """

    def work(display: Display) -> Coroutine[None, None, Exit]:
        token = asked_token(server)  # while no loop runs: Ctrl-C ends it at once
        return keep_token(display, server, ca_file, token, store)

    run(choose_display(as_json=as_json, quiet=quiet), work)


@app.command()
def logout(server: ServerArgument = DEFAULT_SERVER, as_json: Json = False, quiet: Quiet = False) -> None:
    """Forget the token that was kept for a server.

    The token itself stays good: who thinks that others have it asks the server's
    operator to revoke it.

    Examples:
      towline logout https://files.example.org
    """
    run(choose_display(as_json=as_json, quiet=quiet), lambda display: forget_token(display, server))


@app.command()
def whoami(
    server: Server = DEFAULT_SERVER, ca_file: CaFile = None, token_file: TokenFile = None, as_json: Json = False
) -> None:
    """Show who the server takes you for, and what you may do there.

    Examples:
      towline whoami
      towline whoami --json | jq -r .expires
    """

    async def work(display: Display) -> Exit:
        async with connection_to(server, ca_file, token_file) as connection:
            return await show_caller(display, connection)

    run(choose_display(as_json=as_json, quiet=True), work)


for _command in (share, request, links, unlink):
    app.command()(_command)


# ----------------------------------------------------------------------------------------------------------- running


async def _with_password(fetch: Callable[[str | None], Coroutine[None, None, None]]) -> None:
    """Fetch what is shared, with the password of the environment, or one that is typed where one is asked for."""
    password = given_password()
    try:
        await fetch(password)
    except PasswordWanted:
        if password is not None or (typed := await asyncio.to_thread(asked_password, "password of the link: ")) is None:
            raise
        await fetch(typed)


async def _each(
    display: Display,
    subjects: Sequence[str],
    done: str,
    field: str,
    action: Callable[[str], Coroutine[None, None, None]],
) -> Exit:
    """Do something to each; one that is refused does not keep the others from it."""
    code = Exit.DONE
    for subject in subjects:
        try:
            await action(subject)
        except TransferError as error:
            outcome = outcome_of(error)
            display.error(outcome, subject)
            code = outcome.exit
        else:
            display.notice(done, f"{subject}: {done}", {field: subject})
    return code


def _check_sources(paths: Sequence[str], name: str | None, prefix: str) -> None:
    """Raises BadParameter for what does not go together."""
    if name is not None and prefix:
        raise typer.BadParameter("--name is the whole name: leave --prefix out", param_hint="--prefix")
    if "-" in paths and (len(paths) > 1 or name is None):
        raise typer.BadParameter("- stands alone, and needs --name", param_hint="PATH")
    if "-" in paths and sys.stdin is None:
        raise typer.BadParameter("there is no stdin to read from", param_hint="PATH")
    if name is not None and len(paths) > 1:
        raise typer.BadParameter("it names one file: use --prefix for several", param_hint="--name")
    if name is not None and Path(paths[0]).is_dir():
        raise typer.BadParameter(f"it names one file, {paths[0]} is a folder: use --prefix", param_hint="--name")


# ------------------------------------------------------------------------------------------------------------- lines


def _file_line(file: FileEntry) -> str:
    moment = (file.modified or file.created).astimezone()
    return f"{size_words(file.size):>12}  {moment:%Y-%m-%d %H:%M}  {printable(str(file.name))}"


def _upload_line(unfinished: UnfinishedUpload) -> str:
    size = "an unknown size" if unfinished.size is None else size_words(unfinished.size)
    expires = f"expires {unfinished.expires.astimezone():%Y-%m-%d %H:%M}" if unfinished.expires else "does not expire"
    safe = f"{size_words(unfinished.offset)} of {size}"
    return f"{printable(unfinished.upload_id)}  {safe:>24}  {expires}  {printable(str(unfinished.name))}"


if __name__ == "__main__":
    main()
