"""`towline ls`, `mv` and `rm`, for files that are complete; `uploads` and `cancel`, for those that are not."""

from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Annotated

import typer

from client.display import Display, choose_display
from client.http import UnfinishedUpload
from client.options import DEFAULT_SERVER, CaFile, Json, Quiet, Server, TokenFile, connection_to
from client.outcome import Exit, outcome_of
from client.running import run
from client.wording import printable, size_words
from transfer.protocol.errors import Exists, TransferError
from transfer.protocol.messages import FileEntry


def ls(
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="What names begin with.")] = "",
    *,
    server: Server = DEFAULT_SERVER,
    ca_file: CaFile = None,
    token_file: TokenFile = None,
    as_json: Json = False,
) -> None:
    """List the files on the server: size, time of last change, name.

    All of them, however many; or those whose names begin with PREFIX, in the
    order of their names.

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


def mv(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The file's name on the server.")],
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
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Names of files on the server.")],
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
    """List uploads that are not complete: id, bytes that are safe, expiry, name.

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


def cancel(
    upload_ids: Annotated[list[str], typer.Argument(metavar="UPLOAD_ID", help="Ids, as `towline uploads` shows.")],
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
            return await _each(display, upload_ids, "cancelled", "upload_id", connection.cancel)

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


def _file_line(file: FileEntry) -> str:
    moment = (file.modified or file.created).astimezone()
    return f"{size_words(file.size):>12}  {moment:%Y-%m-%d %H:%M}  {printable(str(file.name))}"


def _upload_line(unfinished: UnfinishedUpload) -> str:
    size = "an unknown size" if unfinished.size is None else size_words(unfinished.size)
    expires = f"expires {unfinished.expires.astimezone():%Y-%m-%d %H:%M}" if unfinished.expires else "does not expire"
    safe = f"{size_words(unfinished.offset)} of {size}"
    return f"{printable(unfinished.upload_id)}  {safe:>24}  {expires}  {printable(str(unfinished.name))}"
