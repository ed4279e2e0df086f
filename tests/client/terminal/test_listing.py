"""`towline ls`: what it shows of which files, and how it lays them out."""

import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import client
from client.terminal.columns import fitted, in_columns, in_rows, in_rows_or_blocks, width_of
from tests.client.at_terminal import at_terminal
from tests.client.command import Towline
from tests.server import running
from transfer.settings import Settings

NAMES = [f"photos/2026/{number}.jpg" for number in range(40)]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[str]:
    async with running(Settings(data=tmp_path / "data", port=0)) as url:
        yield url


@pytest.mark.parametrize(("width", "columns"), [(0, 1), (20, 1), (40, 2), (80, 4), (200, 9)])
def test_columns_are_read_downwards_and_fit_into_the_width(width: int, columns: int) -> None:
    names = [*NAMES, "кот.jpg", "日本語.txt"]
    lines = in_columns(names, width)
    assert max(map(width_of, lines)) <= max(width, *map(width_of, names))
    cells = [line.split() for line in lines]
    assert [row[number] for number in range(len(cells[0])) for row in cells if number < len(row)] == names
    assert len(cells[0]) == columns


def test_a_wide_letter_moves_no_column() -> None:
    wide, narrow = in_rows([["日本", "x"], ["abcd", "y"]])
    assert (wide, narrow) == ("日本  x", "abcd  y")
    assert in_columns([], 80) == []


async def uploaded(server: str, *names: str, size: int = 0) -> None:
    async with client.connect(server) as connection:
        for number, name in enumerate(names):
            await connection.upload(random.Random(name).randbytes(size + number), name=name)


async def test_ls_prints_a_name_on_each_line_for_programs(towline: Towline, server: str) -> None:
    await uploaded(server, "b c.txt", "a.txt")
    assert (await towline("ls")).out == "a.txt\nb c.txt\n"
    assert (await towline("ls", "b")).out == "b c.txt\n"
    assert (await towline("ls", "x")).out == ""


async def test_long_tells_size_time_and_name_below_one_another(towline: Towline) -> None:
    towline.environment["TZ"] = "UTC"
    for name, size in [("cat.jpg", 3_000_000), ("dog.jpg", 5)]:
        os.utime(towline.write(f"фото/{name}", b"x" * size), (1_700_000_000, 1_700_000_000))
    await towline("upload", "фото")
    assert (await towline("ls", "--long")).out == (
        " 3.0 MB  2023-11-14 22:13  фото/cat.jpg\n5 bytes  2023-11-14 22:13  фото/dog.jpg\n"
    )


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--sort", "size"], "c b a"),
        (["--sort", "size", "--reverse"], "a b c"),
        (["--sort", "created"], "c b a"),
        (["--reverse"], "c b a"),
        (["--search", "B"], "b"),
    ],
    ids=" ".join,
)
async def test_ls_sorts_and_searches(towline: Towline, server: str, options: list[str], shown: str) -> None:
    await uploaded(server, "c", "b", "a")
    assert (await towline("ls", *options)).out.split() == shown.split()
    as_json = (await towline("ls", *options, "--json")).objects
    assert [file["name"] for file in as_json] == shown.split()


def test_a_row_that_does_not_fit_becomes_a_block() -> None:
    rows = [["3f9a", "share", "cat.jpg"], ["77d2", "request", "anywhere at all"]]
    assert in_rows_or_blocks(rows, 80) == in_rows_or_blocks(rows, None) == in_rows(rows)
    assert in_rows_or_blocks(rows, 24) == ["3f9a\n    share, cat.jpg", "77d2\n    request, anywhere at\n    all"]
    assert in_rows_or_blocks([], 24) == []


def test_a_sentence_is_broken_between_words_and_no_word_is() -> None:
    assert fitted("see TOWLINE_SERVER or a-very-long-word", 20) == "see TOWLINE_SERVER\nor a-very-long-word"
    assert fitted("see TOWLINE_SERVER", 10) == "see\nTOWLINE_SERVER"
    assert fitted("see TOWLINE_SERVER", None) == "see TOWLINE_SERVER"


async def test_an_error_fits_into_a_narrow_terminal(towline: Towline) -> None:
    towline.environment |= {"COLUMNS": "40", "NO_COLOR": "1", "TOWLINE_SERVER": "http://127.0.0.1:1"}
    for command in (["ls"], ["rm", "x"]):
        async with at_terminal(towline, *command) as terminal:
            shown = await terminal.until("what is wrong")
        assert "towline: the server cannot be reached:\r\n" in shown


async def test_a_terminal_gets_columns_and_is_told_what_there_is(towline: Towline, server: str) -> None:
    towline.environment["COLUMNS"] = "36"
    async with at_terminal(towline, "ls") as terminal:
        assert "nothing is here yet: `towline upload\r\nFILE` sends" in await terminal.until("something")
    await uploaded(server, "a", "b", "c", "d", "x" * 30)
    async with at_terminal(towline, "ls") as terminal:
        assert await terminal.until("d\r\n") == f"a  c  {'x' * 30}\r\nb  d\r\n"
    async with at_terminal(towline, "ls", "--long") as terminal:
        *lines, _ = (await terminal.until("5 files, .*\n")).split("\r\n")
    assert lines[3].endswith("  d")
    assert lines[5] == "    " + "x" * 30
