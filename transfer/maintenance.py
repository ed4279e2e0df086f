"""`towline verify`, `backup` and `recover`: what an operator does with the data of a server, on its machine.

The towline command finds them through the group `towline.commands`. Like `towline serve` they take the data folder
from --data, TOWLINE_DATA or towline.toml.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal

from transfer.settings import load_settings
from transfer.terminal import FAILED, Misused, Terminal, run

if TYPE_CHECKING:
    from storage.verification import Damage, Verification, Verified

Data = Annotated[
    Path | None,
    typer.Option("--data", help="The server's data folder.", show_default="./towline-data", metavar="FOLDER"),
]
Json = Annotated[bool, typer.Option("--json", help="Write one JSON object a line to stdout, for programs.")]


def _folder(data: Path | None) -> Path:
    """Raises WrongSetting."""
    return load_settings().data if data is None else load_settings(data=data).data


# -------------------------------------------------------------------------------------------------------------- verify


def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Files and uploads; photos/ is a folder.", show_default="all of them"),
    ] = None,
    *,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Read files and unfinished uploads again, and name what is damaged.

    It runs on the server's machine, beside the server or without it, and changes
    nothing. Published files are compared with their size and digest, unfinished
    uploads with the checksum of each piece that was acknowledged.

    Exit codes: 0 all is as it was stored, 1 damage was found, 2 wrong use.

    Examples:

        towline verify

        towline verify photos/ report.pdf --data /srv/towline

        towline verify --json | jq -r 'select(.event == "damaged") | .name'
    """

    def work(terminal: Terminal) -> int:
        from storage.errors import NotFound
        from storage.verification import Verification
        from transfer.protocol.names import InvalidName

        try:
            with Verification(_folder(data), names or (), on_read=terminal.advance) as verification:
                if not names:
                    verification.check_catalog()
                return _verify(verification, terminal)
        except (InvalidName, NotFound) as wrong:
            raise Misused(f"{wrong}: towline ls and towline uploads show what there is") from wrong

    run(work, as_json=as_json, interrupted="what was read so far is said above")


def _verify(verification: "Verification", terminal: Terminal) -> int:
    size, counts, damaged = verification.size, {"file": 0, "upload": 0}, 0
    terminal.begin("verifying", size)
    for content in verification.contents():
        counts[content.kind] += 1
        if content.damage is not None:
            damaged += 1
            _tell_damage(terminal, content, content.damage)
    found = f"{damaged} damaged" if damaged else "no damage"
    line = f"verified {counts['file']} files and {counts['upload']} unfinished uploads, {decimal(size)}: {found}"
    terminal.tell("verified", line, files=counts["file"], uploads=counts["upload"], size=size, damaged=damaged)
    return FAILED if damaged else 0


_ADVICE = {
    "file": "restore it from a backup, or upload it again with --if-exists replace",
    "upload": "its client sends these bytes again when it goes on",
}


def _tell_damage(terminal: Terminal, content: "Verified", damage: "Damage") -> None:
    where = ", ".join(f"[{start}, {end})" for start, end in damage.ranges)
    kind = "file" if content.kind == "file" else "unfinished upload"
    terminal.tell(
        "damaged",
        f"{content.name}: damaged {kind}: {damage.problem}{f', bytes {where}' if where else ''};"
        f" {_ADVICE[content.kind]} (object {content.object_id})",
        kind=content.kind,
        name=str(content.name),
        problem=damage.problem,
        ranges=[[start, end] for start, end in damage.ranges],
        object_id=content.object_id,
        advice=_ADVICE[content.kind],
    )


def app() -> typer.Typer:
    """The commands without a towline command around them."""
    commands = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    commands.callback()(lambda: None)
    for command in (verify,):
        commands.command()(command)
    return commands


if __name__ == "__main__":
    app()()
