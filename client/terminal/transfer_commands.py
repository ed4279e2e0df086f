"""`towline upload` and `download`: files go to a server and come from one, by name or through a link."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from client.connecting import visit
from client.connection_options import ConnectionOptions
from client.link_urls import is_url
from client.many import AT_ONCE
from client.retry import GIVE_UP_AFTER
from client.shared_file import PasswordWanted, download_shared
from client.terminal.completing import names_on_server
from client.terminal.display import Display, choose_display
from client.terminal.download_command import DownloadCommand, DownloadOptions
from client.terminal.link_commands import check_request_link, given_password
from client.terminal.options import (
    DEFAULT_SERVER,
    CaFile,
    Congestion,
    Connections,
    Exclude,
    GiveUpAfter,
    Json,
    LimitRate,
    Parallel,
    Quiet,
    Server,
    TokenFile,
    Verbose,
    connection_to,
    count_of,
    exclusion_of,
    typed_name,
    warn,
)
from client.terminal.outcome import Exit
from client.terminal.prompts import at_terminal, typed_unseen
from client.terminal.running import run
from client.terminal.selection import Selection, select
from client.terminal.stdin import DescriptorReader
from client.terminal.upload_command import UploadCommand, UploadOptions
from client.terminal.wording import printable
from transfer.protocol.messages import IfExists


def _request_link(value: str | None) -> str | None:
    return None if value is None else check_request_link(value)


def upload(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Files and folders; - reads from stdin.")],
    *,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", "-n", metavar="NAME", callback=typed_name, help="The whole name on the server, for one file."
        ),
    ] = None,
    prefix: Annotated[
        str, typer.Option("--prefix", "-p", callback=typed_name, help="A folder that stands before every name.")
    ] = "",
    if_exists: Annotated[
        IfExists, typer.Option("--if-exists", help="What to do when other content has the name.")
    ] = "error",
    digest: Annotated[
        Literal["sha256", "blake3"], typer.Option("--digest", help="The checksum that both sides compare.")
    ] = "sha256",
    exclude: Exclude = None,
    checksum: Annotated[
        bool, typer.Option("--checksum", help="Compare digests where size and time of change are the same, too.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent and what not; change nothing.")
    ] = False,
    delete_source: Annotated[
        bool, typer.Option("--delete-source", help="Delete each file here once the server has it for good.")
    ] = False,
    parallel: Parallel = AT_ONCE,
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
    congestion: Congestion = "auto",
    connections: Connections = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Upload files, or go on with uploads that were interrupted.

    A file keeps its last part as its name, files in a folder their way from it:
    `photos` gives photos/2026/cat.jpg. What the server has already, with the
    same content, is not sent again: of several files those are passed over whose
    size and time of change are the same there.

    Examples:
      towline upload cat.jpg                          as cat.jpg
      towline upload cat.jpg --name pets/tom.jpg      as pets/tom.jpg
      towline upload photos --prefix 2026             as 2026/photos/...
      towline upload report.pdf --if-exists replace   in place of the old one
      towline upload photos -x '*.tmp' --dry-run      what would be sent
      towline upload photos --limit-rate 500K         and leave room for others
      tar c src | towline upload - --name src.tar     what a program writes
      towline upload bid.pdf --to https://...         by a link that somebody gave
    """
    _check_sources(paths, name, prefix)
    exclusion = None if exclude is None else exclusion_of(exclude)
    if paths == ["-"] and (dry_run or delete_source or exclude):
        raise typer.BadParameter("--exclude, --dry-run and --delete-source are for files", param_hint="PATH")
    if to is not None and if_exists == "replace":
        raise typer.BadParameter("a link replaces nothing: a taken name gets a number", param_hint="--if-exists")
    if to is not None and token_file is not None:
        raise typer.BadParameter("who uploads by a link needs no token", param_hint="--token-file")

    options = UploadOptions(
        if_exists=if_exists,
        digest_algorithm=digest,
        parallel=parallel,
        by_digest=checksum or delete_source,  # what --dry-run says, too
        delete_sources=delete_source,
        may_list=to is None,
    )
    ways: ConnectionOptions = {
        "give_up_after": give_up_after,
        "limit_rate": limit_rate,
        "congestion": congestion,
        "connections": count_of(connections),
    }

    sources = [Path(path) for path in paths if path != "-"]

    async def send(display: Display, selection: Selection) -> Exit:
        if to is None:
            to_server = connection_to(server, ca_file, token_file, **ways)
        else:
            to_server = visit(to, ca_file=ca_file, warn=warn, **ways)
        async with to_server as connection:
            command = UploadCommand(connection, display, options)
            if paths == ["-"] and name is not None:
                return await command.one(DescriptorReader(sys.stdin.fileno()), name)
            if dry_run:
                return await command.rehearse(selection)
            if (only := selection.only(sources)) is not None:
                return await command.one_file(only)
            return await command.selection(selection)

    def work(display: Display) -> Coroutine[None, None, Exit]:
        # Looking into folders may take its time, and is over at once on Ctrl-C as long as no loop runs.
        return send(display, select(sources, name=name, prefix=prefix, exclusion=exclusion))

    run(choose_display(as_json=as_json, quiet=quiet, verbose=verbose), work)


def download(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME",
            help="Files on the server, folders there with / at their end, or a share link.",
            autocompletion=names_on_server,
        ),
    ],
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PATH", help="A file or a folder to write to.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace files that have other content.")] = False,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="NAME is a folder there, also without / at its end.")
    ] = False,
    checksum: Annotated[
        bool, typer.Option("--checksum", help="Compare digests where size and time of change are the same, too.")
    ] = False,
    parallel: Parallel = AT_ONCE,
    server: Server = DEFAULT_SERVER,
    ca_file: CaFile = None,
    token_file: TokenFile = None,
    give_up_after: GiveUpAfter = GIVE_UP_AFTER,
    limit_rate: LimitRate = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Download files and folders, or go on with downloads that were interrupted.

    Until its digest was found right, the content is beside its place, in
    .NAME.….towline-part. A folder becomes one here; what has the same size and
    time of change already is passed over.

    Examples:
      towline download photos/cat.jpg               to cat.jpg here
      towline download photos/cat.jpg -o pictures   into the folder pictures
      towline download cat.jpg -o old.jpg --force   in place of what is there
      towline download photos/                      all of it, into photos here
      towline download photos/2026/ -o best         all of it, into best
      towline download https://...                  by a link that somebody gave
    """
    _check_names(names, output, token_file)
    options = DownloadOptions(force=force, recursive=recursive, parallel=parallel, by_digest=checksum)

    async def fetch_shared(display: Display, password: str | None) -> Exit:
        await download_shared(
            names[0],
            output,
            password=password,
            force=force,
            ca_file=ca_file,
            give_up_after=give_up_after,
            limit_rate=limit_rate,
            on_event=display.show,
        )
        return Exit.DONE

    async def fetch(display: Display) -> Exit:
        to_server = connection_to(server, ca_file, token_file, give_up_after=give_up_after, limit_rate=limit_rate)
        async with to_server as connection:
            command = DownloadCommand(connection, display, options)
            if len(names) > 1 or recursive or names[0].endswith("/"):
                return await command.several(names, output)
            return await command.one(names[0], output)

    def work(display: Display) -> Coroutine[None, None, Exit]:
        if is_url(names[0]):
            return _with_password(lambda password: fetch_shared(display, password))
        return fetch(display)

    run(choose_display(as_json=as_json, quiet=quiet, verbose=verbose), work)


def _check_names(names: Sequence[str], output: Path | None, token_file: Path | None) -> None:
    """Raises BadParameter for what does not go together."""
    if output == Path("-"):
        raise typer.BadParameter("a download goes to a file, not to stdout", param_hint="--output")
    if any(is_url(name) for name in names):
        if len(names) > 1:
            raise typer.BadParameter("a share link stands alone", param_hint="NAME")
        if token_file is not None:
            raise typer.BadParameter("who downloads by a link needs no token", param_hint="--token-file")
        return
    for name in names:
        typed_name(name)


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
        raise typer.BadParameter(
            f"it names one file, {printable(paths[0])} is a folder: use --prefix", param_hint="--name"
        )


def _with_password(fetch: Callable[[str | None], Coroutine[None, None, Exit]]) -> Coroutine[None, None, Exit]:
    """Fetch what is shared, with the password of the environment, or one that is typed where the link asks for one:
    between two loops, so that Ctrl-C ends it at once."""
    password = given_password()
    if password is not None or not at_terminal():
        return fetch(password)
    try:
        code = asyncio.run(fetch(None))
    except PasswordWanted:
        return fetch(typed_unseen("password of the link: "))
    return _ended(code)


async def _ended(code: Exit) -> Exit:
    return code
