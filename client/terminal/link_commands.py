"""`towline share`, `request`, `links` and `unlink`: links for people who have no token."""

import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from shutil import get_terminal_size
from typing import Annotated, Final, TypeVar

import typer

from client.errors import ClientError
from client.link_urls import NoLink, parse_link
from client.links import RequestLink, ShareLink
from client.terminal.columns import in_rows_or_blocks
from client.terminal.completing import names_on_server
from client.terminal.display import Display, choose_display
from client.terminal.options import DEFAULT_SERVER, CaFile, Json, Quiet, Server, TokenFile, connection_to
from client.terminal.outcome import Exit, outcome_of
from client.terminal.prompts import at_terminal, typed_unseen
from client.terminal.running import run
from client.terminal.wording import printable, size_words
from transfer.protocol.amounts import parse_duration, parse_size

PASSWORD_VARIABLE: Final = "TOWLINE_LINK_PASSWORD"
NEVER: Final = "never"
IN_FORCE: Final = "in force"
T = TypeVar("T")


# ----------------------------------------------------------------------------------------------------------- options


def _checked(parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except ValueError as refused:
        raise typer.BadParameter(str(refused)) from None


def _lasts(text: str) -> timedelta | None:
    return None if text == NEVER else _checked(parse_duration, text)


Expires = Annotated[
    str, typer.Option("--expires", metavar="DURATION", help="When it ends from now: 90m, 12h, 30d, 2w; or never.")
]


def given_password() -> str | None:
    """The password in the environment. It is no argument: everybody on the machine can read those."""
    return os.environ.get(PASSWORD_VARIABLE) or None


def new_password() -> str:
    """What somebody types twice, unseen, or TOWLINE_LINK_PASSWORD. Raises ClientError."""
    if (given := given_password()) is not None:
        return given
    if not at_terminal():
        raise ClientError(f"there is no terminal to type a password at: give it in {PASSWORD_VARIABLE}")
    first = typed_unseen("password for the link: ")
    if first != typed_unseen("once more: "):
        raise ClientError("the two were not the same: no link was made, run the same command again")
    return first


# ---------------------------------------------------------------------------------------------------------- commands


def share(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The file's name on the server.", autocompletion=names_on_server)
    ],
    *,
    expires: Expires = "7d",
    downloads: Annotated[
        int | None, typer.Option("--downloads", metavar="COUNT", min=1, help="How often it can be downloaded.")
    ] = None,
    password: Annotated[
        bool, typer.Option("--password", help=f"Ask for a password, or take it from {PASSWORD_VARIABLE}.")
    ] = False,
    server: Server = DEFAULT_SERVER,
    ca_file: CaFile = None,
    token_file: TokenFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a link by which anybody downloads a file, without a token.

    The link is written to stdout, once. It is for what is in the file now: it
    goes on when that is renamed, and is gone when it is deleted or replaced. It
    ends with your token at the latest.

    Examples:
      towline share report.pdf
      towline share photos/cat.jpg --expires 12h --downloads 10
      towline share plan.pdf --password               asks for one
      towline links                                   what was shared, how often
    """

    lasts = _lasts(expires)

    async def make(display: Display, secret: str | None) -> Exit:
        async with connection_to(server, ca_file, token_file) as connection:
            link = await connection.links.share(name, lasts=lasts, downloads=downloads, password=secret)
        limits = [_until(link.expires), *([f"{downloads} downloads"] if downloads else []), *_asks(link)]
        display.remark(f"anybody who has this link downloads {link.name}: {', '.join(limits)}; id {link.id}")
        display.data(str(link.url), link.model_dump(mode="json"))
        return Exit.DONE

    def work(display: Display) -> Coroutine[None, None, Exit]:
        return make(display, new_password() if password else None)  # typed while no loop runs

    run(choose_display(as_json=as_json, quiet=quiet), work)


def request(
    *,
    into: Annotated[
        str | None,
        typer.Option("--into", metavar="FOLDER/", help="Where files go that come by it.", show_default="anywhere"),
    ] = None,
    expires: Expires = "7d",
    size: Annotated[str, typer.Option("--size", metavar="SIZE", help="What may come by it in all.")] = "10GiB",
    server: Server = DEFAULT_SERVER,
    ca_file: CaFile = None,
    token_file: TokenFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a link by which anybody uploads to you, without a token.

    The link is written to stdout, once. Who has it sees nothing of what is
    there, and replaces nothing: a name that is taken gets a number. The files
    are yours. It ends with your token at the latest.

    Examples:
      towline request --into bids/
      towline request --into photos/party/ --expires 2w --size 50GiB
      towline upload cat.jpg --to URL                 is how to upload by it
    """
    lasts, most = _lasts(expires), _checked(parse_size, size)
    folder = f"{into}/" if into and not into.endswith("/") else into

    async def work(display: Display) -> Exit:
        async with connection_to(server, ca_file, token_file) as connection:
            link = await connection.links.request(prefix=folder, lasts=lasts, size=most)
        where = f"into {link.prefix}" if link.prefix else "anywhere"
        display.remark(
            f"anybody who has this link uploads {where}: {_until(link.expires)}, {size_words(most)}; id {link.id}"
        )
        display.data(str(link.url), link.model_dump(mode="json"))
        return Exit.DONE

    run(choose_display(as_json=as_json, quiet=quiet), work)


def links(
    *,
    show_all: Annotated[bool, typer.Option("--all", "-a", help="Those that have ended too.")] = False,
    server: Server = DEFAULT_SERVER,
    ca_file: CaFile = None,
    token_file: TokenFile = None,
    as_json: Json = False,
) -> None:
    """List your links: id, kind, what for, how much it was used, when it ends.

    With a token of scope admin everybody's. The links themselves are not shown:
    nobody has them but who got them.

    Examples:
      towline links
      towline links --all --json | jq -r 'select(.state == "used up") | .id'
    """

    async def work(display: Display) -> Exit:
        async with connection_to(server, ca_file, token_file) as connection:
            known = await connection.links.list()
        shown = [link for link in known if show_all or link.state == IN_FORCE]
        for link, line in zip(shown, _table(shown), strict=True):
            display.data(line, link.model_dump(mode="json", exclude={"url"}))
        if len(shown) < len(known):
            display.remark(f"{len(known) - len(shown)} more have ended: --all shows them")
        return Exit.DONE

    run(choose_display(as_json=as_json, quiet=False), work)


def unlink(
    ids: Annotated[
        list[str], typer.Argument(metavar="ID", help="As `towline links` shows it, or its first characters.")
    ],
    *,
    server: Server = DEFAULT_SERVER,
    ca_file: CaFile = None,
    token_file: TokenFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Revoke links, and cut what goes on by them within a second.

    Files that were uploaded by them stay.

    Examples:
      towline unlink 3f9a1c0b77d2
      towline unlink 3f9a 80c1                  the first characters are enough
    """

    async def work(display: Display) -> Exit:
        code = Exit.DONE
        async with connection_to(server, ca_file, token_file) as connection:
            known = await connection.links.list()
            for text in ids:
                try:
                    link = _meant(text, known)
                except ClientError as refused:
                    display.error(outcome_of(refused), _id_in(text))
                    code = Exit.FAILED
                    continue
                await connection.links.revoke(link)
                sentence = f"{link.id}: revoked, {_what_for(link)}"
                display.notice("revoked", sentence, link.model_dump(mode="json", exclude={"url", "state"}))
        return code

    run(choose_display(as_json=as_json, quiet=quiet), work)


def _meant(text: str, known: Sequence[ShareLink | RequestLink]) -> ShareLink | RequestLink:
    """The one link whose id begins so, or whose address this is. Raises ClientError."""
    wanted = _id_in(text)
    found = [link for link in known if wanted and link.id.startswith(wanted)]
    if not found:
        raise ClientError("there is no such link: towline links --all shows them")
    if len(found) > 1:
        raise ClientError(f"several links begin so: {', '.join(link.id for link in found[:5])}: write more of it")
    return found[0]


def _id_in(text: str) -> str:
    """The id in an address, or the text itself; what is secret in it is left out."""
    return text.rpartition("/")[2].partition("_")[0]


def check_request_link(text: str) -> str:
    """An option's value that is the address of a request link. Raises BadParameter."""
    try:
        parse_link(text, "request")
    except NoLink as refused:
        raise typer.BadParameter(str(refused)) from None
    return text


# ------------------------------------------------------------------------------------------------------------- lines


def _table(shown: Sequence[ShareLink | RequestLink]) -> list[str]:
    """A line for each, whose columns stand below one another; a block where a terminal is too narrow for that."""
    rows = [(link.id, link.kind, _what_for(link), _used(link), _until(link.expires), link.state) for link in shown]
    width = get_terminal_size().columns if sys.stdout.isatty() else None
    return in_rows_or_blocks([[printable(cell) for cell in row] for row in rows], width)


def _what_for(link: ShareLink | RequestLink) -> str:
    if isinstance(link, RequestLink):
        return link.prefix or "anywhere"
    return str(link.name) if link.name is not None else "(not there)"


def _used(link: ShareLink | RequestLink) -> str:
    if isinstance(link, RequestLink):
        return size_words(link.used) + ("" if link.size is None else f" of {size_words(link.size)}")
    return f"{link.begun}{'' if link.downloads is None else f' of {link.downloads}'} downloads"


def _asks(link: ShareLink) -> list[str]:
    return ["it asks for the password"] if link.password else []


def _until(expires: datetime | None) -> str:
    return "does not expire" if expires is None else f"expires {expires.astimezone():%Y-%m-%d %H:%M}"
