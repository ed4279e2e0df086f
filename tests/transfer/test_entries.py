import json
from datetime import UTC, datetime

from storage.store import FilePage, StoredFile
from transfer.entries import file_entry, lines_json, page_json
from transfer.files import FileListing
from transfer.protocol.digest import digest_bytes
from transfer.protocol.messages import FileEntry
from transfer.protocol.names import Name

FILES = [
    StoredFile(
        file_id="1",
        name=Name.parse('photos/été "1".jpg'),
        size=(1 << 53) - 1,
        digest=digest_bytes(b"", "blake3"),
        content_type="image/jpeg",
        modified=datetime(1900, 1, 2, 3, 4, 5, tzinfo=UTC),
        created=datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC),
        owner="ann",
        uploader="bob",
        via="a link",
        metadata={"camera": "Ünï\u2028\n"},
    ),
    StoredFile(
        file_id="2",
        name=Name.parse("bare"),
        size=0,
        digest=digest_bytes(b""),
        content_type="text/plain",
        modified=None,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        owner="ann",
        uploader="ann",
        metadata={},
    ),
]


PAGE = FilePage(FILES, "here", ["photos/été/", "z/"])


def test_a_page_has_the_entries_that_complete_shows() -> None:
    listing = FileListing(folders=PAGE.folders, files=[file_entry(file) for file in FILES], next="here")
    assert json.loads(page_json(PAGE)) == json.loads(listing.model_dump_json())
    assert FileListing.model_validate_json(page_json(PAGE), strict=False) == listing


def test_lines_are_the_same_entries_each_with_its_end() -> None:
    lines = lines_json(PAGE).splitlines(keepends=True)
    assert [line[-1:] for line in lines] == [b"\n"] * 4
    assert [json.loads(line) for line in lines[:2]] == [{"folder": "photos/été/"}, {"folder": "z/"}]
    assert [FileEntry.model_validate_json(line) for line in lines[2:]] == list(map(file_entry, FILES))
    assert lines_json(FilePage([], None)) == b""
