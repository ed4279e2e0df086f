"""`towline serve`: the service from a terminal. The towline command finds it through the group `towline.commands`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from transfer.settings import Flags, WrongSetting, load_settings


def serve(
    host: Annotated[
        str | None, typer.Option(help="The address to listen on.", show_default="127.0.0.1", metavar="ADDRESS")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help="The port to listen on; 0 takes a free one.", show_default="8000", metavar="PORT"),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="The folder in which everything is kept.", show_default="./towline-data", metavar="FOLDER"),
    ] = None,
    insecure: Annotated[
        bool | None,
        typer.Option(
            "--insecure",
            help="Listen on an address that other machines reach, though nobody has to prove who they are.",
            show_default=False,
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(help="Speak TLS, with the certificate in this PEM file.", metavar="FILE", show_default=False),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="The PEM file with the certificate's key.", metavar="FILE", show_default=False)
    ] = None,
) -> None:
    """Start the service.

    When clients may come it prints one line, "listening on
    http://127.0.0.1:8000". It stops on Ctrl-C, once what is under way is safe;
    on a second Ctrl-C it ends at once. Files and unfinished uploads stay in the
    data folder, and the next start goes on with them. On SIGHUP it reads its
    certificate and key again.

    Every setting can also stand in towline.toml in the folder where it is
    started, or be a variable such as TOWLINE_PORT. Options count more than
    variables, and variables more than the file.

    Examples:

        towline serve

        towline serve --port 9000 --data /srv/towline

        towline serve --tls-cert fullchain.pem --tls-key privkey.pem

        TOWLINE_MAX_FILE_BYTES=1000000000 towline serve
    """
    flags = Flags()
    if host is not None:
        flags["host"] = host
    if port is not None:
        flags["port"] = port
    if data is not None:
        flags["data"] = data
    if insecure is not None:
        flags["insecure"] = insecure
    if tls_cert is not None:
        flags["tls_cert"] = tls_cert
    if tls_key is not None:
        flags["tls_key"] = tls_key
    raise typer.Exit(run(flags))


def run(flags: Flags) -> int:
    """Serve with these flags. Returns the exit code."""
    try:
        settings = load_settings(**flags)
    except WrongSetting as wrong:
        print(f"towline: {wrong}", file=sys.stderr)
        return 2
    from transfer.server import serve as serve_with  # the framework takes its time to load: not before it is needed

    return serve_with(settings)


if __name__ == "__main__":
    typer.run(serve)
