import base64
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.listing import MAX_CURSOR_LENGTH, Position, make_cursor, position_of, read_cursor
from storage.store import FileQuery, SortKey, StoredFile
from transfer.protocol.digest import digest_bytes
from transfer.protocol.names import Name

SORTS: list[SortKey] = ["name", "size", "created", "modified"]
MOMENT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)


def a_file(
    name: str = "photos/cat.jpg", size: int = 7, modified: datetime | None = None, created: datetime = MOMENT
) -> StoredFile:
    return StoredFile(
        file_id="0",
        name=Name.parse(name),
        size=size,
        digest=digest_bytes(b""),
        content_type="",
        modified=modified,
        created=created,
        owner="",
        uploader="",
        metadata={},
    )


def cursor_of(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize("sort", SORTS)
@given(
    name=st.sampled_from(["a", "ÿ/𝒳 (2)", "x" * 255, "/".join(["😀" * 63] * 4)]),
    size=st.integers(0, 2**63 - 1),
    modified=st.none() | st.datetimes(timezones=st.just(UTC)),
)
def test_a_cursor_is_read_as_the_place_it_was_made_from(
    sort: SortKey, name: str, size: int, modified: datetime | None
) -> None:
    file = a_file(name, size, modified)
    cursor = make_cursor(FileQuery(sort=sort), file)
    assert read_cursor(FileQuery(sort=sort, cursor=cursor)) == position_of(file, sort)
    assert cursor.isascii()
    assert not {"+", "/", "="} & set(cursor)


def test_a_time_in_another_zone_is_the_same_place() -> None:
    elsewhere = MOMENT.astimezone(timezone(timedelta(hours=5, minutes=45)))
    query = FileQuery(sort="modified")
    assert make_cursor(query, a_file(modified=elsewhere)) == make_cursor(query, a_file(modified=MOMENT))


def test_no_cursor_is_the_beginning() -> None:
    assert read_cursor(FileQuery()) is None


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "é",
        "a",
        "====",
        "YQ==YQ==",
        "\ud800",
        base64.urlsafe_b64encode(b"name\n\n\xff").decode(),
        "A" * (MAX_CURSOR_LENGTH + 1),
        cursor_of("name\n\n"),
        cursor_of("name\n1\na"),
        cursor_of("name\n\n../a"),
        cursor_of("name\n\na\n"),
        cursor_of("owner\n\na"),
        cursor_of("size\n\na"),
        cursor_of("size\n-1\na"),
        cursor_of(f"size\n{2**63}\na"),
        cursor_of("size\n" + "9" * 2_000 + "\na"),
        cursor_of("created\n\na"),
        cursor_of("created\nyesterday\na"),
        cursor_of("created\n2026-01-01T00:00:00\na"),
        cursor_of("modified\n0001-01-01T00:00:00+14:00\na"),
    ],
    ids=range(21),
)
def test_anything_else_is_refused_in_the_same_words(sort: SortKey, cursor: str) -> None:
    with pytest.raises(ValueError, match=r"^the cursor is not one of this listing$"):
        read_cursor(FileQuery(sort=sort, cursor=cursor))


@given(st.text(), st.sampled_from(SORTS))
def test_no_text_makes_reading_fail_otherwise(text: str, sort: SortKey) -> None:
    for cursor in (text, cursor_of(text.encode(errors="replace").decode()), cursor_of(f"{sort}\n")):
        with pytest.raises(ValueError, match="the cursor"):
            read_cursor(FileQuery(sort=sort, cursor=cursor))


def test_an_absent_time_comes_before_every_other() -> None:
    earliest = datetime.min.replace(tzinfo=UTC)
    ranks = [Position(value, "a").rank for value in (None, earliest, datetime(1969, 12, 31, tzinfo=UTC), MOMENT)]
    assert ranks == sorted(set(ranks))


@pytest.mark.parametrize(("first", "second"), [((1, "b"), (2, "a")), ((1, "a"), (1, "b")), ((1, "Z"), (1, "a"))])
def test_a_place_follows_another_in_the_direction_of_the_listing(
    first: tuple[int, str], second: tuple[int, str]
) -> None:
    before, after = Position(*first), Position(*second)
    rising, falling = FileQuery(sort="size"), FileQuery(sort="size", descending=True)
    assert after.follows(before, rising)
    assert before.follows(after, falling)
    assert not after.follows(before, falling)
    assert not before.follows(before, rising)
    assert not before.follows(before, falling)
