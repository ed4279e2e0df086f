"""`towline ls`, `mv` and `rm`, for files that are complete; `uploads` and `cancel`, for those that are not."""

import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from shutil import get_terminal_size
from typing import Annotated

import typer

from client.terminal.begun import BegunUploads
from client.terminal.completing import names_on_server, unfinished_on_server
from client.terminal.display import Display, JsonDisplay, PlainDisplay, choose_display
from client.terminal.listing import Layout, SortKey, show_files
from client.terminal.options import DEFAULT_SERVER, CaFile, Json, Quiet, Server, TokenFile, connection_to, given_options
from client.terminal.outcome import Exit, outcome_of
from client.terminal.running import run
from client.terminal.unfinished import facts_of, lines_of, resuming_command
from transfer.protocol.errors import Exists, TransferError


def ls(
    prefix: Annotated[
        str, typer.Argument(metavar="PREFIX", help="What names begin with.", autocompletion=names_on_server)
    ] = "",
    *,
    is_long: Annotated[
        bool, typer.Option("--long", "-l", help="A line for each: size, time of last change, sender if known, name.")
    ] = False,
    search: Annotated[
        str, typer.Option("--search", metavar="TEXT", help="Only names with this in them; case does not count.")
    ] = "",
    sort: Annotated[
        SortKey, typer.Option("--sort", help="What to go by: the smallest and the oldest come first.")
    ] = "name",
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="The other way round.")] = False,
    server: Server = DEFAULT_SERVER,
    ca_file: CaFile = None,
    token_file: TokenFile = None,
    as_json: Json = False,
) -> None:
    """List the files on the server.

    All of them, however many; or those whose names begin with PREFIX. Names
    stand in columns on a terminal, and one on each line elsewhere.

    Examples:
      towline ls
      towline ls photos/2026/ --long
      towline ls --long --sort size --reverse      the largest first
      towline ls --search invoice --sort modified
      towline ls --json | jq -r .digest
    """

    async def work(display: Display) -> Exit:
        layout = Layout(is_long, get_terminal_size().columns if sys.stdout.isatty() else None, sort)
        async with (
            connection_to(server, ca_file, token_file) as connection,
            aclosing(connection.list_files(prefix, q=search, sort=f"-{sort}" if reverse else sort)) as files,  # type: ignore[type-var]
        ):
            listed = await show_files(display, files, layout, as_json=as_json)
        if sys.stdout.isatty() and (is_long or not listed.files):
            display.remark(listed.sentence if listed.files else _nothing_there(prefix or search))
        return Exit.DONE

    run(_display_of_lists(as_json=as_json), work)


def mv(
    old: Annotated[
        str, typer.Argument(metavar="OLD", help="The file's name on the server.", autocompletion=names_on_server)
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="What it is to be called.")],
    *,
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


def rm(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME", help="Names of files on the server.", autocompletion=names_on_server)
    ],
    *,
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


def uploads(
    *, server: Server = DEFAULT_SERVER, ca_file: CaFile = None, token_file: TokenFile = None, as_json: Json = False
) -> None:
    """List uploads that are not complete, and how to go on with each.

    How much is safe, until when, which file of yours it comes from, and what to
    type: it goes on where it ended. The server does not know your folders; this
    machine remembers what it began itself. `towline cancel` drops an upload.

    Examples:
      towline uploads
      towline uploads --json | jq -r .command
    """

    async def work(display: Display) -> Exit:
        begun, options = BegunUploads(server), given_options(server, ca_file, token_file)
        async with connection_to(server, ca_file, token_file) as connection:
            found = await connection.uploads()
        for upload in found:
            origin = begun.find(upload.upload_id)
            command = resuming_command(upload, origin, options)
            display.data(lines_of(upload, origin, command), facts_of(upload, origin, command))
        if not found and sys.stdout.isatty():
            display.remark("every upload is complete: nothing waits to be gone on with")
        return Exit.DONE

    run(_display_of_lists(as_json=as_json), work)


def cancel(
    upload_ids: Annotated[
        list[str],
        typer.Argument(
            metavar="UPLOAD_ID", help="Ids, as `towline uploads` shows.", autocompletion=unfinished_on_server
        ),
    ],
    *,
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

            async def drop(upload_id: str) -> None:
                await connection.cancel(upload_id)
                BegunUploads(server).forget(upload_id)

            return await _each(display, upload_ids, "cancelled", "upload_id", drop)

    run(choose_display(as_json=as_json, quiet=quiet), work)


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


def _display_of_lists(*, as_json: bool) -> Display:
    """Lines and remarks, without what bars need: a list is there before that was loaded."""
    return JsonDisplay(sys.stdout) if as_json else PlainDisplay(sys.stdout, sys.stderr)


def _nothing_there(wanted: str) -> str:
    if wanted:
        return f"no name here has {wanted!r} in that place: `towline ls` lists all of them"
    return "nothing is here yet: `towline upload FILE` sends something"
