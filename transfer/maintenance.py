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


def folder_of(data: Path | None) -> Path:
    """The data folder that a command is for. Raises WrongSetting."""
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
            with Verification(folder_of(data), names or (), on_read=terminal.advance) as verification:
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


# -------------------------------------------------------------------------------------------------------------- backup


def backup(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the backup goes; it must be new, or empty.")],
    *,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Copy the data of a server, which may go on working meanwhile.

    The backup is a data folder of its own, with files, unfinished uploads,
    tokens and links, which a server can be started on. What was revoked after
    the backup is in force in it: revoke it there again. Contents on the same
    disk are linked, which takes no space and no time but does not protect from
    the disk itself: for that give a DIR on another one.

    Until it is whole it is called DIR.unfinished. When it was interrupted, run
    the same command again: contents that were copied are not copied again.

    Exit codes: 0 all is in the backup, 1 contents were lost before, or it failed.

    Examples:

        towline backup /mnt/backup/monday

        towline serve --data /mnt/backup/monday --port 9000

        towline verify --data /mnt/backup/monday
    """

    def work(terminal: Terminal) -> int:
        from storage.backup import back_up

        done = back_up(folder_of(data), folder, terminal)
        for name in done.lost:
            terminal.tell(
                "lost",
                f"{name}: not in the backup: the server's disk does not have its content; upload it again",
                name=str(name),
            )
        how = f"{decimal(done.linked_bytes)} linked, {decimal(done.copied_bytes)} copied"
        terminal.tell(
            "backed_up",
            f"backed up {done.files} files and {done.uploads} unfinished uploads to {folder}: {how}",
            folder=str(folder),
            files=done.files,
            uploads=done.uploads,
            linked_bytes=done.linked_bytes,
            copied_bytes=done.copied_bytes,
            lost=len(done.lost),
        )
        return FAILED if done.lost else 0

    run(work, as_json=as_json, interrupted=f"there is no backup in {folder} yet; run the same command to go on")


# ------------------------------------------------------------------------------------------------------------- recover


def recover(*, data: Data = None, as_json: Json = False) -> None:
    """Make a store again of a data folder whose catalog is lost.

    The catalog is what knows names. Without it each published content becomes a
    file named recovered/sha256-... by its digest; towline mv gives it a name
    again. Unfinished uploads cannot be continued: their bytes, the old catalog
    and what is there twice are set aside in the folder quarantine. Nothing is
    deleted. When only store.json is broken, it is written anew and everything
    keeps its name. Tokens, share links and request links are gone with the
    catalog, and are made anew.

    The server must not run. When it was interrupted, run the same command again.
    A backup with its names is better than this: see towline backup.

    Exit codes: 0 the server can be started, 1 refused: nothing needs
    recovering, or a server runs; or contents cannot be read.

    Examples:

        towline recover --data /srv/towline
    """

    def work(terminal: Terminal) -> int:
        from storage.salvage import salvage
        from transfer.access.principal import ANONYMOUS

        where = folder_of(data)
        done = salvage(where, ANONYMOUS.subject, terminal)
        if done.kept_catalog:
            line = "store.json was written anew: every file and upload keeps its name"
        else:
            line = (
                f"recovered {done.files} files, named recovered/sha256-... by their digests;"
                f" {done.set_aside} objects were set aside in {where / 'quarantine'};"
                " tokens and links are gone with the catalog: make them anew before anybody else can reach the server"
            )
        for object_id in done.unreadable:
            terminal.tell("unreadable", f"object {object_id} cannot be read: set aside", object_id=object_id)
        terminal.tell(
            "recovered",
            line,
            files=done.files,
            set_aside=done.set_aside,
            unreadable=len(done.unreadable),
            kept_catalog=done.kept_catalog,
        )
        return FAILED if done.unreadable else 0

    run(work, as_json=as_json, interrupted="run the same command to go on; the server does not start before")


def app() -> typer.Typer:
    """The commands without a towline command around them."""
    commands = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    commands.callback()(lambda: None)
    for command in (verify, backup, recover):
        commands.command()(command)
    return commands


if __name__ == "__main__":
    app()()
