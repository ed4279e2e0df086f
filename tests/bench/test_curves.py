"""What is said of a curve follows from what was measured."""

from bench import catalog, many, sizes
from bench.figures import Series
from bench.processes import Transfer, Usage

ECHO = Series.of([0.001, 0.002])


def test_the_notes_of_many_clients_say_how_it_came_out() -> None:
    crowds = [many.Crowded(n, 41, 123, ECHO, n / 1_000, mib_a_second=rate) for n, rate in ((1, 50), (10, 99), (700, 7))]
    _, memory, waiting, at_once = many.notes(crowds)
    assert "With 700: 41.0 KiB idle, 123 KiB" in memory
    assert "with 700 it takes 70%" in waiting
    assert "fastest with 10 of them: 99.0 MiB/s" in at_once


def test_the_notes_of_the_catalog_say_how_pages_grew() -> None:
    kinds = ("by name, of a folder, 100", "by name, deep, 1,000", "by size, deep, 100", "search, nothing")
    found = [
        catalog.Measured(count, {kind: Series.of([median]) for kind in kinds}, {}, {}, {}, 1.0, 2.5, 99.0)
        for count, median in ((1_000, 3.0), (50_000, 4.0))
    ]
    *curves, stream = catalog.notes(found)
    assert all(f"{kind}: 3.00 ms with 1,000 files, 4.00 ms with 50,000" in " ".join(curves) for kind in kinds)
    assert "grew by 2.50 MiB while it sent 50,000" in stream


def test_the_notes_of_sizes_go_from_the_smallest_to_the_largest() -> None:
    def run(seconds: float) -> list[Transfer]:
        return [Transfer(seconds, Usage(1.0, 50.0), Usage(2.0, seconds))]

    uploads = {"1 MiB": run(0.5), "100 MiB": run(2.0), "1 GiB": run(8.0)}
    seconds, speed, memory = sizes.notes(uploads, [])
    assert "takes 0.25 CPU s, the last of 2 GiB 2.50" in sizes.notes(uploads, [0.25, 2.5])[2]
    assert "1 MiB took 0.50 s, 1 GiB 8.00 s" in seconds
    assert "1 GiB: 128 MiB/s and 3.00 CPU s/GiB" in speed
    assert "1 GiB: 50.0 and 8.00" in memory
