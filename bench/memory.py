"""Peak memory of server and client during a large upload: does it grow with the file?

    ./run bench memory [--size-gib 20]

The files are sparse and the digest is BLAKE3, so that a large one takes a minute and not several; the server writes
all of its bytes. It has been started before, as servers have: the very first start makes the catalog, and needs what
makes it in memory too. One server takes a small file, then the large one, each from a client of its own.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bench.figures import Checked, Table, at_most, number
from bench.processes import GIB, TOWLINE, TowlineServer, Transfer, peak_mib, scratch, transfer
from bench.report import Report, parser, publish

SERVER: Final = at_most("peak memory of the server", 100, "MiB")
CLIENT: Final = at_most("peak memory of the client", 100, "MiB")
SMALL_GIB: Final = 1.0


class Upload(NamedTuple):
    """A file of so many GiB, and what both sides have used by its end."""

    gib: float
    used: Transfer


def measure(folder: Path, sizes_gib: Sequence[float]) -> Report:
    data = folder / "data"
    with TowlineServer(data):
        pass
    with TowlineServer(data) as server:
        rest = peak_mib(server.pid)
        done = [Upload(gib, upload(server, folder / f"{gib:g}-gib.img", gib)) for gib in sizes_gib]
    return Report("memory", [table(rest, done)], facts(rest, done), checks(done))


def upload(server: TowlineServer, path: Path, gib: float) -> Transfer:
    with path.open("wb") as stream:
        stream.truncate(int(gib * GIB))
    return transfer(server, [TOWLINE, "upload", path, "--server", server.url, "--quiet", "--digest", "blake3"])


def table(rest: float, done: Sequence[Upload]) -> Table:
    rows = [["at rest", "", number(rest), "", ""]]
    for gib, used in done:
        figures = [used.client.peak_mib, used.server.peak_mib, used.seconds, used.cpu_seconds / gib]
        rows.append([f"{gib:g} GiB", *map(number, figures)])
    return Table.of(["after", "client peak MiB", "server peak MiB", "s", "CPU s/GiB"], rows)


def facts(rest: float, done: Sequence[Upload]) -> dict[str, object]:
    return {
        "server_at_rest_mib": round(rest, 1),
        "uploads": [
            {
                "size_gib": gib,
                "server_peak_mib": round(used.server.peak_mib, 1),
                "client_peak_mib": round(used.client.peak_mib, 1),
                "seconds": round(used.seconds, 1),
            }
            for gib, used in done
        ],
    }


def checks(done: Sequence[Upload]) -> list[Checked]:
    return [
        SERVER.checked(max(used.server.peak_mib for _, used in done)),
        CLIENT.checked(max(used.client.peak_mib for _, used in done)),
    ]


def main() -> None:
    options = parser("memory", __doc__)
    options.add_argument("--size-gib", type=float, default=20.0, metavar="GIB", help="of the large file; 20 by default")
    chosen = options.parse_args()
    with scratch("memory") as folder:
        publish(measure(folder, [SMALL_GIB, chosen.size_gib]), record=chosen.record)


if __name__ == "__main__":
    main()
