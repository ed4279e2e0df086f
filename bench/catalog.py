"""Pages of listings with 1,000, 100,000 and 1,000,000 files in the catalog, and what a search costs others.

    ./run bench catalog [--rows 1000 100000 1000000] [--times 300]

Files are rows that no disk has, 1,000 to a folder, in a random order. Pages are asked for with a token over one
connection that stays open, and of the catalog alone, without a server. A deep page begins at a random place. "Beside a
search" means that somebody else searches for a part of a name that no file has, again and again.
"""

import asyncio
import gc
import http.client
import json
import os
import random
import signal
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlencode, urlsplit

from websockets.sync.client import ClientConnection, connect

from bench.figures import Series, Table, at_most, number
from bench.filled import FOLDER_FILES, SUBJECT, add_files, name_at
from bench.plots import Lines
from bench.processes import TowlineServer, peak_mib, resident_mib, scratch
from bench.report import Report, parser, publish
from bench.rounds import prepare
from storage import listing_rows
from storage.catalog import Catalog
from storage.granting import opened_grants
from storage.store import FileQuery, SortKey, utc_now
from transfer.grants.issuing import new_token

TARGET_ROWS: Final = 1_000_000
LIMIT_MS: Final = 20
PAGES: Final = (100, 1_000)
TARGETS: Final = {
    limit: at_most(f"a page of {limit:,} by prefix and name, of {TARGET_ROWS:,} files: p99", LIMIT_MS, "ms")
    for limit in PAGES
}
WARM_UP: Final = 20
SEARCHES: Final = 30
SMALL: Final = 4_096
MAX_SIZE: Final = 0xFFFFFF
Times = dict[str, Series]


class Kind(NamedTuple):
    """A kind of page, and how to make one."""

    name: str
    make: Callable[[], FileQuery]
    searches: bool = False


def kinds(count: int, chance: random.Random) -> list[Kind]:
    def folder(limit: int, sort: SortKey = "name") -> FileQuery:
        number = chance.randrange(max(1, count // FOLDER_FILES))
        return FileQuery(prefix=f"photos/{number:04}/", sort=sort, limit=limit)

    def deep(limit: int, sort: SortKey = "name", value: str = "") -> FileQuery:
        cursor = f"{sort}\n{value}\n{name_at(chance.randrange(count))}"
        spelled = urlsafe_b64encode(cursor.encode()).decode().rstrip("=")
        return FileQuery(prefix="photos/", sort=sort, limit=limit, cursor=spelled)

    def by_size() -> FileQuery:
        return deep(100, "size", str(chance.randrange(MAX_SIZE)))

    def search(part: str, sort: SortKey = "name") -> FileQuery:
        return FileQuery(contains=part, sort=sort, limit=100)

    pages = [Kind(f"by name, of a folder, {limit:,}", partial(folder, limit)) for limit in PAGES]
    pages += [Kind(f"by name, deep, {limit:,}", partial(deep, limit)) for limit in PAGES]
    return [
        *pages,
        Kind("by size, of a folder, 100", partial(folder, 100, "size")),
        Kind("by size, deep, 100", by_size),
        Kind("search, one in 1,000", partial(search, "_0042."), searches=True),
        Kind("search, nothing", partial(search, "nowhere"), searches=True),
        Kind("search by size, nothing", partial(search, "nowhere", "size"), searches=True),
    ]


# ------------------------------------------------------------------------------------------------------ who asks


class Asker:
    """One connection for HTTP that stays open, with a token."""

    def __init__(self, url: str, secret: str) -> None:
        self._http = http.client.HTTPConnection(urlsplit(url).netloc)
        self._headers = {"Authorization": f"Bearer {secret}"}

    def get(self, path: str) -> bytes:
        self._http.request("GET", path, headers=self._headers)
        answer = self._http.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path} was answered with {answer.status}: {body[:200]!r}")
        return body

    def page_of(self, kind: Kind) -> None:
        self.page(kind.make())

    def page(self, query: FileQuery) -> None:
        asked = {"prefix": query.prefix, "q": query.contains, "sort": query.sort, "limit": str(query.limit)}
        if query.cursor is not None:
            asked["cursor"] = query.cursor
        self.get("/files?" + urlencode(asked))

    def whoami(self) -> None:
        """Nothing but a look-up of the token."""
        self.get("/whoami")

    def count_lines(self) -> tuple[int, float]:
        """All files as NDJSON: how many, and seconds."""
        began, lines = time.perf_counter(), 0
        self._http.request("GET", "/files", headers=self._headers | {"Accept": "application/x-ndjson"})
        answer = self._http.getresponse()
        while piece := answer.read1():
            lines += piece.count(b"\n")
        return lines, time.perf_counter() - began


def send_small_file(connection: ClientConnection, chance: random.Random) -> None:
    """Publish a small file, from its header to `complete`."""
    content = chance.randbytes(SMALL)
    header = {"type": "upload", "name": f"new/{chance.getrandbits(64):x}", "size": SMALL, "offset": 0}
    connection.send(json.dumps(header))
    connection.send(content)
    connection.send(json.dumps({"type": "eof", "digest": "sha256:" + sha256(content).hexdigest()}))
    if (reply := json.loads(connection.recv()))["type"] != "complete":
        raise SystemExit(f"a small file was refused: {reply}")


def milliseconds(work: Callable[[], object], times: int) -> Series:
    found = []
    for turn in range(-min(WARM_UP, times), times):
        began = time.perf_counter()
        work()
        if turn >= 0:
            found.append((time.perf_counter() - began) * 1_000)
    return Series.of(found)


@contextmanager
def searching(url: str, secret: str) -> Iterator[None]:
    """Somebody searches for what is not there, until the block ends."""
    enough = threading.Event()

    def search() -> None:
        asker = Asker(url, secret)
        while not enough.is_set():
            asker.page(FileQuery(contains="nowhere"))

    thread = threading.Thread(target=search)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


# --------------------------------------------------------------------------------------------------- measuring


@dataclass(frozen=True)
class Measured:
    """What was found with so many rows."""

    count: int
    pages: Times
    alone: Times
    quiet: Times
    beside: Times
    rows_a_second: float
    grown_mib: float
    peak_mib: float

    def page_p99(self, limit: int) -> float:
        """Of the slowest kind of page by name of that many entries."""
        kinds = [
            times for name, times in self.pages.items() if name.startswith("by name") and name.endswith(f" {limit:,}")
        ]
        return max(times.percentile(99) for times in kinds)

    def facts(self) -> dict[str, object]:
        groups = {"pages": self.pages, "alone": self.alone, "quiet": self.quiet, "beside_a_search": self.beside}
        found: dict[str, object] = {
            group: {name: _shown(times) for name, times in series.items()} for group, series in groups.items()
        }
        ndjson = {"rows_a_second": round(self.rows_a_second), "server_grew_by_mib": round(self.grown_mib, 1)}
        return {"rows": self.count, **found, "ndjson": ndjson, "server_peak_mib": round(self.peak_mib, 1)}


def _shown(times: Series) -> dict[str, float]:
    return {
        "p50_ms": round(times.median, 2),
        "p99_ms": round(times.percentile(99), 2),
        "min_ms": round(times.min, 2),
        "max_ms": round(times.max, 2),
    }


def measure(folder: Path, count: int, times: int) -> Measured:
    data, chance = folder / f"data-{count}", random.Random(count)
    secret, grant = new_token(SUBJECT, ["read", "upload"], now=utc_now())
    with opened_grants(data) as book:
        book.add(grant)
    with TowlineServer(data) as server:
        server.usage()  # is known when it has come to rest
        os.kill(server.pid, signal.SIGSTOP)  # it writes the time now and then, and would not wait so long
        add_files(data / "catalog.db", count)
        os.kill(server.pid, signal.SIGCONT)
        prepare([data / "catalog.db"])
        alone = asyncio.run(of_the_catalog(data / "catalog.db", kinds(count, chance), times))
        asker = Asker(server.url, secret.text)
        pages = {
            kind.name: milliseconds(partial(asker.page_of, kind), SEARCHES if kind.searches else times)
            for kind in kinds(count, chance)
        }
        headers = {"Authorization": f"Bearer {secret.text}"}
        with connect(server.url.replace("http", "ws") + "/ws", additional_headers=headers, compression=None) as sender:
            others: Mapping[str, Callable[[], None]] = {
                "looking a token up": asker.whoami,
                "publishing a small file": partial(send_small_file, sender, chance),
                "a page by name, of a folder, 100": partial(asker.page_of, kinds(count, chance)[0]),
            }
            quiet = {name: milliseconds(work, times) for name, work in others.items()}
            with searching(server.url, secret.text):
                beside = {name: milliseconds(work, times) for name, work in others.items()}
        before = resident_mib(server.pid)
        lines, seconds = asker.count_lines()
        grown = peak_mib(server.pid) - before
        assert lines >= count
        return Measured(count, pages, alone, quiet, beside, lines / seconds, grown, peak_mib(server.pid))


async def of_the_catalog(path: Path, wanted: Sequence[Kind], times: int) -> Times:
    """The same pages of the catalog, in its reading thread."""
    gc.freeze()  # as the server does: else collecting garbage looks through all that is loaded here
    catalog = Catalog(path)
    catalog.open()
    found: Times = {}
    for kind in wanted:
        series = []
        for _ in range(SEARCHES if kind.searches else times):
            work = partial(listing_rows.list_files, query=kind.make())
            began = time.perf_counter()
            await catalog.read(work)
            series.append((time.perf_counter() - began) * 1_000)
        found[kind.name] = Series.of(series)
    await asyncio.to_thread(catalog.close)
    return found


# --------------------------------------------------------------------------------------------------- reporting


def page_table(found: Sequence[Measured]) -> Table:
    columns = [
        "ms, over HTTP",
        *(f"{m.count:,}: {what}" for m in found for what in ("p50", "p99", "catalog alone, p99")),
    ]
    cells = [
        [name, *(number(value) for m in found for value in _three(m.pages[name], m.alone[name]))]
        for name in found[0].pages
    ]
    return Table.of(columns, cells)


def _three(served: Series, alone: Series) -> tuple[float, float, float]:
    return served.median, served.percentile(99), alone.percentile(99)


def beside_table(found: Sequence[Measured]) -> Table:
    columns = ["ms beside a search", "rows", "p50", "p99", "without: p50", "p99"]
    cells = [
        [name, f"{m.count:,}", *map(number, (*_two(m.beside[name]), *_two(m.quiet[name])))]
        for name in found[0].quiet
        for m in found
    ]
    return Table.of(columns, cells)


def _two(times: Series) -> tuple[float, float]:
    return times.median, times.percentile(99)


def listing_table(found: Sequence[Measured]) -> Table:
    columns = ["all files as NDJSON", "rows a second", "server grew by MiB", "server's peak MiB"]
    cells = [[f"{m.count:,}", number(m.rows_a_second), number(m.grown_mib), number(m.peak_mib)] for m in found]
    return Table.of(columns, cells)


def notes(found: Sequence[Measured]) -> list[str]:
    """What makes each curve, and how it came out."""

    def came_to(kind: str) -> str:
        times = [f"{number(m.pages[kind].median)} ms with {m.count:,} files" for m in found]
        return f"{kind}: {', '.join(times)}"

    last = found[-1]
    return [
        "By name: the index of names is entered where the page begins, and read on for as many rows as it has. In the"
        f" median, {came_to('by name, of a folder, 100')}; {came_to('by name, deep, 1,000')}.",
        f"By size or time: deep pages enter their own index the same way; of a folder, its {FOLDER_FILES:,} names at"
        f" most are looked up and sorted. In the median, {came_to('by size, deep, 100')}.",
        "A search by a part of a name reads on in the index of names until it has found enough, which is never for one"
        " that finds nothing. It has a thread of its own: what it costs others is the processor that it takes. In the"
        f" median, {came_to('search, nothing')}.",
        "All files as NDJSON are pages of 1,000 one after another: the server grew by"
        f" {number(last.grown_mib)} MiB while it sent {last.count:,}.",
    ]


def main() -> None:
    options = parser("catalog", __doc__)
    options.add_argument("--rows", type=int, nargs="+", default=[1_000, 100_000, TARGET_ROWS])
    options.add_argument("--times", type=int, default=300, help="how often each page is asked for")
    chosen = options.parse_args()
    with scratch("catalog") as folder:
        found = [measure(folder, count, chosen.times) for count in chosen.rows]
    curves = {
        name: [(float(m.count), m.pages[name].percentile(99)) for m in found]
        for name in ("by name, of a folder, 100", "by name, deep, 1,000", "by size, deep, 100", "search, nothing")
    }
    report = Report(
        "catalog",
        [page_table(found), beside_table(found), listing_table(found)],
        {"measured": [m.facts() for m in found]},
        [TARGETS[limit].checked(m.page_p99(limit)) for m in found if m.count == TARGET_ROWS for limit in PAGES],
        [Lines("A page of a listing: p99", "files", "ms", curves, log_x=True, log_y=True, limit=LIMIT_MS)],
        notes(found),
    )
    publish(report, record=chosen.record)


if __name__ == "__main__":
    main()
