"""The contenders: Towline, those who move files for a living, and what a machine can do at all.

Each function starts a server in `stack` that lives until the end, and returns how to send one file to it. A server
that waits takes no part in what others are measured at. Raises Missing when a peer cannot be had.
"""

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Final

from bench.peers.contender import Contender, Source, without_service
from bench.peers.packages import BASE_PYTHON, FOLDER, debian, node_modules, python_environment, version_of
from bench.processes import TOWLINE, Argument, Service, TowlineServer, free_port, transfer, user_environment

LISTENING: Final = "listening on "
NGINX: Final = """\
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ }}
http {{
    access_log off;
    client_max_body_size 0;
    client_body_temp_path {folder}/incoming;
    server {{ listen 127.0.0.1:{port}; location / {{ root {folder}/data; dav_methods PUT; }} }}
}}
"""
RSYNCD: Final = "[data]\npath = {folder}/data\nread only = false\nuse chroot = false\nuid = root\ngid = root\n"
Maker = Callable[[Path, Source, ExitStack], Contender]


def towline(folder: Path, source: Source, stack: ExitStack) -> Contender:
    return _towline(folder, source, stack)


def towline_blake3(folder: Path, source: Source, stack: ExitStack) -> Contender:
    return _towline(folder, source, stack, "--digest", "blake3")


def _towline(folder: Path, source: Source, stack: ExitStack, *options: str) -> Contender:
    server = stack.enter_context(TowlineServer(folder / "data"))
    command: list[Argument] = [TOWLINE, "upload", source.path, "--server", server.url, *options]
    remove: list[Argument] = [TOWLINE, "rm", source.path.name, "--server", server.url]

    def forget(_: Path) -> None:
        subprocess.run(remove, env=user_environment(), check=True, capture_output=True)

    promises = f"{options[-1] if options else 'SHA-256'} on both sides, acks synced"
    return Contender(promises, lambda: transfer(server, command), folder / "data" / "objects", forget)


def node_tus(folder: Path, source: Source, stack: ExitStack) -> Contender:
    scripts = node_modules()
    server = _tus_server(folder, scripts, stack)
    command: list[Argument] = [
        "node",
        scripts / "tus_upload.js",
        f"http://127.0.0.1:{server.greeting}/files",
        source.path,
    ]
    version = f"@tus/server and tus-js-client of package-lock.json, node {version_of('node', '--version')}"
    return Contender("nothing", lambda: transfer(server, command), folder / "data", version=version)


def tuspy(folder: Path, source: Source, stack: ExitStack) -> Contender:
    server = _tus_server(folder, node_modules(), stack)
    url = f"http://127.0.0.1:{server.greeting}/files"
    command: list[Argument] = [BASE_PYTHON, FOLDER / "tuspy_upload.py", url, source.path]
    environment = python_environment(folder / "home")
    return Contender(
        "nothing",
        lambda: transfer(server, command, environment=environment),
        folder / "data",
        version="tuspy of requirements.txt",
    )


def _tus_server(folder: Path, scripts: Path, stack: ExitStack) -> Service:
    data = folder / "data"
    data.mkdir()
    return stack.enter_context(Service(["node", scripts / "tus_server.js", data], started=LISTENING))


def copyparty(folder: Path, source: Source, stack: ExitStack) -> Contender:
    environment, port = python_environment(folder / "home"), free_port()
    data = folder / "data"
    data.mkdir()
    command: list[Argument] = [
        BASE_PYTHON,
        "-m",
        "copyparty",
        "-q",
        "-i",
        "127.0.0.1",
        "-p",
        str(port),
        "-v",
        f"{data}::rw",
    ]
    stack.enter_context(server := Service(command, port=port, environment=environment, folder=folder))
    upload: list[Argument] = [BASE_PYTHON, "-m", "copyparty.web.a.u2c", "-ns", f"http://127.0.0.1:{port}/", source.path]
    return Contender(
        "SHA-512 of chunks on both sides",
        lambda: transfer(server, upload, environment=environment),
        data,
        version="copyparty of requirements.txt",
    )


def rclone(folder: Path, source: Source, stack: ExitStack) -> Contender:
    program, port = debian("rclone", "rclone"), free_port()
    data = folder / "data"
    data.mkdir()
    common: list[Argument] = ["--config", "/dev/null"]
    serve: list[Argument] = [program, "serve", "webdav", data, "--addr", f"127.0.0.1:{port}", *common]
    server = stack.enter_context(Service(serve, port=port))
    remote: list[Argument] = [
        f":webdav:{source.path.name}",
        "--webdav-url",
        f"http://127.0.0.1:{port}",
        "--webdav-vendor",
        "other",
    ]
    upload: list[Argument] = [program, "copyto", source.path, *remote, *common]
    remove: list[Argument] = [program, "deletefile", *remote, *common]

    def forget(_: Path) -> None:
        """The server remembers its folder: what is taken away behind its back is not sent again."""
        subprocess.run(remove, env=user_environment(), check=True, capture_output=True)

    version = version_of(program, "version")
    return Contender("size", lambda: transfer(server, upload), data, forget, version)


def nginx(folder: Path, source: Source, stack: ExitStack) -> Contender:
    program, curl, port = debian("nginx", "nginx"), debian("curl", "curl"), free_port()
    for name in ("data", "incoming"):
        (folder / name).mkdir()
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX.format(folder=folder, port=port))
    server = stack.enter_context(Service([program, "-p", folder, "-c", configuration], port=port))
    url = f"http://127.0.0.1:{port}/{source.path.name}"
    upload: list[Argument] = [curl, "--silent", "--show-error", "--fail", "--upload-file", source.path, url]
    version = f"{version_of(program, '-v')}, {version_of(curl, '--version').partition(' (')[0]}"
    return Contender("nothing", lambda: transfer(server, upload), folder / "data", version=version)


def rsync(folder: Path, source: Source, stack: ExitStack) -> Contender:
    program, port = debian("rsync", "rsync"), free_port()
    (folder / "data").mkdir()
    configuration = folder / "rsyncd.conf"
    configuration.write_text(RSYNCD.format(folder=folder))
    serve: list[Argument] = [
        program,
        "--daemon",
        "--no-detach",
        "--address=127.0.0.1",
        f"--port={port}",
        f"--config={configuration}",
    ]
    server = stack.enter_context(Service(serve, port=port))
    upload: list[Argument] = [program, "--whole-file", source.path, f"rsync://127.0.0.1:{port}/data/"]
    version = version_of(program, "--version")
    return Contender("its own checksum", lambda: transfer(server, upload), folder / "data", version=version)


def raw_tcp(folder: Path, source: Source, stack: ExitStack) -> Contender:
    return _raw("nothing", [], [], source, stack)


def raw_tcp_sha256(folder: Path, source: Source, stack: ExitStack) -> Contender:
    return _raw("SHA-256 on the server", [_arriving(folder, source)], [], source, stack)


def raw_tcp_checked(folder: Path, source: Source, stack: ExitStack) -> Contender:
    kept: list[Argument] = [_arriving(folder, source), "synced"]
    return _raw("SHA-256 on both sides, synced at the end", kept, ["checked"], source, stack)


def _arriving(folder: Path, source: Source) -> Path:
    (folder / "data").mkdir()
    return folder / "data" / source.path.name


def _raw(promises: str, kept: list[Argument], checked: list[Argument], source: Source, stack: ExitStack) -> Contender:
    script: list[Argument] = [BASE_PYTHON, FOLDER / "raw_tcp.py"]
    server = stack.enter_context(Service([*script, "receive", *kept], started=LISTENING))
    send: list[Argument] = [*script, "send", server.greeting, source.path, *checked]
    return Contender(promises, lambda: transfer(server, send), Path(kept[0]).parent if kept else None)


def cp(folder: Path, source: Source, stack: ExitStack) -> Contender:
    return Contender("nothing", lambda: without_service(["cp", source.path, folder]), folder)


def cp_synced(folder: Path, source: Source, stack: ExitStack) -> Contender:
    command: list[Argument] = ["sh", "-c", 'cp "$0" "$1" && sync --data "$1"/*', source.path, folder]
    return Contender("synced at the end", lambda: without_service(command), folder)


OURS: Final[Mapping[str, Maker]] = {"towline": towline, "towline --digest blake3": towline_blake3}
PEERS: Final[Mapping[str, Maker]] = {
    "Node tus + tus-js-client": node_tus,
    "tuspy → Node tus": tuspy,
    "copyparty + u2c": copyparty,
    "rclone → serve webdav": rclone,
    "curl → nginx WebDAV": nginx,
    "rsync → daemon": rsync,
}
CHECKED: Final = "raw TCP → file + SHA-256 twice, synced"
FLOORS: Final[Mapping[str, Maker]] = {
    "cp": cp,
    "cp, then fdatasync": cp_synced,
    "raw TCP into memory": raw_tcp,
    "raw TCP → file + SHA-256": raw_tcp_sha256,
    CHECKED: raw_tcp_checked,
}
"""What the machine can do at all."""


def folders(parent: Path) -> Iterator[Path]:
    """A folder of its own for each contender."""
    for number in count(1):
        folder = parent / f"contender-{number}"
        folder.mkdir()
        yield folder
