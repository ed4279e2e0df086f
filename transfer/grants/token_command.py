"""`towline token create`, `list` and `revoke`: on the server's machine, or from elsewhere over HTTP.

Without --server they work on the data folder, beside a running server or before its first start. With it they are
requests in the name of an administrator: see `transfer.grants.token_places`.
"""

import sys
import textwrap
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from shutil import get_terminal_size
from typing import Annotated, Final, TypeVar

import typer
from rich.filesize import decimal

from transfer.access.principal import parse_scopes, parse_subject
from transfer.grants.token_entries import TokenEntry
from transfer.grants.token_places import Wanted, tokens_of
from transfer.maintenance import Data, Json
from transfer.protocol.amounts import parse_duration, parse_size
from transfer.protocol.names import InvalidName
from transfer.protocol.prefixes import parse_prefix
from transfer.terminal import FAILED, Terminal, run

DEFAULT_SCOPES: Final = "upload,read,delete"
UNTOUCHED: Final = "run the same command again"
T = TypeVar("T")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Make, list and revoke tokens: who may use a server, for what, for how long.",
)


# ----------------------------------------------------------------------------------------------------------- options


def _checked(parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except (ValueError, InvalidName) as refused:
        raise typer.BadParameter(str(refused)) from None


Server = Annotated[
    str | None,
    typer.Option("--server", "-s", metavar="URL", help="A server elsewhere, asked with your token, of scope admin."),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        metavar="FILE",
        envvar="TOWLINE_CA_FILE",
        help="With --server: trust the authorities in this PEM file, instead of the system's.",
        show_default=False,
    ),
]
TokenFile = Annotated[
    Path | None, typer.Option("--token-file", metavar="FILE", help="With --server: its first line is your token.")
]


# ---------------------------------------------------------------------------------------------------------- commands


@app.command()
def create(
    context: typer.Context,
    subject: Annotated[
        str, typer.Argument(metavar="SUBJECT", help="Who it is for, such as alice: what they upload is theirs.")
    ],
    *,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope",
            metavar="SCOPES",
            help="Of upload, read, delete, proxy, admin; several with commas.",
            show_default=DEFAULT_SCOPES,
        ),
    ] = None,
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="FOLDER/", help="Only names that begin so are there.", show_default="all")
    ] = "",
    quota: Annotated[
        str | None, typer.Option("--quota", metavar="SIZE", help="What may be stored: 50GiB, 10GB, or bytes.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="DURATION", help="When it ends from now: 90m, 12h, 30d, 2w.")
    ] = None,
    data: Data = None,
    server: Server = None,
    ca_file: CaFile = None,
    token_file: TokenFile = None,
    as_json: Json = False,
) -> None:
    """Make a token. Its secret is written to stdout, once: the server does not know it.

    It may upload, read and delete, unless --scope says otherwise, and does not
    expire without --expires. From the first token on a server asks everybody for
    one, also once it is revoked; it may be made before the first start.

    Examples:

        towline token create alice

        towline token create bob --scope read --prefix photos/ --expires 30d

        TOKEN=$(towline token create ci --scope upload --quota 50GiB)

        towline token create carol --server https://files.example.org
    """
    wanted = Wanted(
        subject=_checked(parse_subject, subject),
        scopes=_checked(parse_scopes, ",".join(scope or [DEFAULT_SCOPES])),
        prefix=_checked(parse_prefix, prefix),
        quota=None if quota is None else _checked(parse_size, quota),
        lasts=None if expires is None else _checked(parse_duration, expires),
    )

    def work(terminal: Terminal) -> int:
        with tokens_of(context.obj, data, server, ca_file, token_file, making=True) as tokens:
            made = tokens.create(wanted)
        terminal.remark(f"token {made.id} for {made.subject}: {_may(made)}; {_until(made.expires)}")
        terminal.remark("keep it now, it is not shown again; `towline login` takes it, and TOWLINE_TOKEN")
        terminal.tell("created", made.token, **made.model_dump(mode="json"))
        return 0

    run(work, as_json=as_json, interrupted="towline token list shows whether it was made; revoke it then")


@app.command(name="list")
def list_(
    context: typer.Context,
    *,
    show_all: Annotated[bool, typer.Option("--all", "-a", help="Those that have expired or were revoked too.")] = False,
    data: Data = None,
    server: Server = None,
    ca_file: CaFile = None,
    token_file: TokenFile = None,
    as_json: Json = False,
) -> None:
    """List the tokens that are in force: id, whose, what for, when they end.

    Secrets are not shown: nobody has them but who they were made for.

    Examples:

        towline token list

        towline token list -a --json | jq -r 'select(.state == "expired") | .id'
    """

    def work(terminal: Terminal) -> int:
        with tokens_of(context.obj, data, server, ca_file, token_file) as tokens:
            known = tokens.list()
        shown = [token for token in known if show_all or token.state == "in force"]
        width = get_terminal_size().columns if sys.stdout.isatty() else None
        for token, line in zip(shown, table_of(shown, width), strict=True):
            terminal.tell("token", line, **token.model_dump(mode="json"))
        if len(shown) < len(known):
            terminal.remark(f"{len(known) - len(shown)} more have expired or were revoked: --all shows them")
        elif not known:
            terminal.remark("there is no token: towline token create makes one")
        return 0

    run(work, as_json=as_json, interrupted=UNTOUCHED)


@app.command()
def revoke(
    context: typer.Context,
    token_id: Annotated[
        str, typer.Argument(metavar="ID", help="As `towline token list` shows it, or its first characters.")
    ],
    *,
    data: Data = None,
    server: Server = None,
    ca_file: CaFile = None,
    token_file: TokenFile = None,
    as_json: Json = False,
) -> None:
    """Revoke a token, and the share and request links that were made with it.

    A running server notices within a second, and cuts what goes on by them. What
    was acknowledged of an upload stays, and goes on under another token.

    Exit codes: 0 it is revoked, 1 there is no such token, or several begin so.

    Examples:

        towline token revoke 3f9a1c0b77d2

        towline token revoke 3f9a --server https://files.example.org
    """

    def work(terminal: Terminal) -> int:
        with tokens_of(context.obj, data, server, ca_file, token_file) as tokens:
            token = _meant(token_id, tokens.list(), terminal)
            if token is None:
                return FAILED
            tokens.revoke(token.id)
        terminal.tell(
            "revoked", _revoked_line(token), **token.model_copy(update={"state": "revoked"}).model_dump(mode="json")
        )
        return 0

    run(work, as_json=as_json, interrupted=UNTOUCHED)


def _meant(text: str, known: Sequence[TokenEntry], terminal: Terminal) -> TokenEntry | None:
    """The one token whose id begins so, or whose secret this is; a refusal where there is none, or several."""
    text = text.removeprefix("towline_").partition("_")[0]
    found = [token for token in known if text and token.id.startswith(text)]
    if len(found) == 1:
        return found[0]
    if not found:
        terminal.refuse(f"there is no token {text!r}: towline token list --all shows them, towline links the links")
    else:
        several = ", ".join(f"{token.id} ({token.subject})" for token in found[:5])
        terminal.refuse(f"several tokens begin with {text!r}: {several}: write more of it")
    return None


# ------------------------------------------------------------------------------------------------------------- lines


def _revoked_line(token: TokenEntry) -> str:
    if token.state == "revoked":
        return f"token {token.id} of {token.subject} was revoked before"
    links = f", and with it the links {', '.join(token.links)}" if token.links else "; no links were made with it"
    return f"revoked token {token.id} of {token.subject}{links}"


def _may(token: TokenEntry) -> str:
    within = f" names that begin with {token.prefix}" if token.prefix else ""
    quota = f", at most {decimal(token.quota)}" if token.quota is not None else ""
    return f"{', '.join(token.scopes)}{within}{quota}"


def _until(expires: datetime | None) -> str:
    return "it does not expire, --expires 30d makes one that does" if expires is None else f"expires {_time(expires)}"


def _time(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M}"


def table_of(tokens: Sequence[TokenEntry], width: int | None) -> list[str]:
    """A line for each, whose columns stand below one another; a block where a terminal is too narrow for that."""
    rows = [
        (
            token.id,
            token.subject,
            ",".join(token.scopes),
            token.prefix or "all names",
            f"{decimal(token.used)} used{'' if token.quota is None else f' of {decimal(token.quota)}'}",
            f"made {_time(token.created)}",
            f"expires {_time(token.expires)}",
            token.state,
        )
        for token in tokens
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(most) for cell, most in zip(row, widths, strict=True)).rstrip() for row in rows]
    if width is None or max(map(len, lines), default=0) <= width:
        return lines
    return ["\n    ".join([f"{token_id}  {subject}", *_wrapped(rest, width - 4)]) for token_id, subject, *rest in rows]


def _wrapped(cells: Sequence[str], width: int) -> list[str]:
    return textwrap.wrap(", ".join(cells), max(1, width), break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    app()
