import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.terminal.exclusion import Exclusion
from client.terminal.selection import Selection, select


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A folder that everybody may enter, while this process is one that may not read everything."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o777)
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if was_root:
            os.seteuid(0)
        shutil.rmtree(folder)


def write(*paths: str) -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(path)


def names(selection: Selection) -> list[str]:
    return [item.name for item in selection.items]


def reasons(selection: Selection) -> dict[str, str]:
    return {str(skipped.path): skipped.reason for skipped in selection.skipped}


def failures(selection: Selection) -> list[str]:
    return [str(skipped.path) for skipped in selection.skipped if skipped.failed]


def test_a_file_is_called_by_its_last_part(here: Path) -> None:
    write("a/b/cat.jpg")
    selection = select([Path("a/b/cat.jpg")])
    assert names(selection) == ["cat.jpg"]
    assert selection.items[0].path == Path("a/b/cat.jpg")
    assert selection.size == len("a/b/cat.jpg")


def test_the_files_of_a_folder_are_called_by_their_way_from_it(here: Path) -> None:
    write("x/photos/cat.jpg", "x/photos/2026/dog.jpg", "x/photos/2026/a/b.jpg", "x/other.jpg")
    wanted = ["photos/2026/a/b.jpg", "photos/2026/dog.jpg", "photos/cat.jpg"]
    assert names(select([Path("x/photos")])) == wanted
    assert names(select([Path("x/photos/")])) == wanted
    assert names(select([here / "x" / "photos"])) == wanted


@pytest.mark.parametrize("path", [".", "..", "deep/.."])
def test_the_files_of_a_folder_without_a_name_of_its_own_are_called_by_what_follows(
    here: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("cat.jpg", "deep/dog.jpg")
    if path == "..":
        monkeypatch.chdir("deep")
    assert names(select([Path(path)])) == ["cat.jpg", "deep/dog.jpg"]


@pytest.mark.parametrize("prefix", ["2026/best", "2026/best/"])
def test_a_prefix_stands_before_every_name(here: Path, prefix: str) -> None:
    write("photos/cat.jpg", "dog.jpg")
    selection = select([Path("photos"), Path("dog.jpg")], prefix=prefix)
    assert names(selection) == ["2026/best/photos/cat.jpg", "2026/best/dog.jpg"]


def test_a_name_is_the_whole_name(here: Path) -> None:
    write("photos/cat.jpg")
    assert names(select([Path("photos/cat.jpg")], name="pets/tom.jpg")) == ["pets/tom.jpg"]


def test_a_folder_that_is_deeper_than_the_stack_is_looked_into(here: Path) -> None:
    deep = Path(*["d"] * 400)
    write(str(deep / "cat.jpg"))
    assert names(select([Path("d")])) == [f"{deep}/cat.jpg"]


def test_links_in_a_folder_are_passed_over_and_that_is_no_failure(here: Path) -> None:
    write("photos/cat.jpg", "secret.txt")
    Path("photos/link").symlink_to(here / "secret.txt")
    Path("photos/round").symlink_to(here / "photos")
    Path("photos/nowhere").symlink_to("nothing")
    selection = select([Path("photos")])
    assert names(selection) == ["photos/cat.jpg"]
    assert sorted(reasons(selection)) == ["photos/link", "photos/nowhere", "photos/round"]
    assert all("symbolic link" in reason for reason in reasons(selection).values())
    assert failures(selection) == []


def test_a_link_that_was_named_is_followed(here: Path) -> None:
    write("photos/cat.jpg")
    Path("tom.jpg").symlink_to("photos/cat.jpg")
    Path("pictures").symlink_to("photos")
    assert names(select([Path("tom.jpg"), Path("pictures")])) == ["tom.jpg", "pictures/cat.jpg"]


def test_a_link_to_nothing_fails_when_it_was_named(here: Path) -> None:
    Path("nowhere").symlink_to("nothing")
    selection = select([Path("nowhere")])
    assert reasons(selection) == {"nowhere": "a symbolic link to nothing"}
    assert failures(selection) == ["nowhere"]


def test_special_files_are_passed_over_in_a_folder_and_fail_when_they_were_named(here: Path) -> None:
    write("photos/cat.jpg")
    os.mkfifo("photos/pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("photos/socket")
        inside = select([Path("photos")])
        named = select([Path("photos/pipe"), Path("/dev/null")])
    assert names(inside) == ["photos/cat.jpg"]
    assert reasons(inside)["photos/pipe"].startswith("a pipe, not a regular file")
    assert reasons(inside)["photos/socket"].startswith("a socket, not a regular file")
    assert failures(inside) == []
    assert reasons(named)["/dev/null"].startswith("a device, not a regular file")
    assert failures(named) == ["photos/pipe", "/dev/null"]


def test_what_is_not_there_fails_and_the_others_are_selected(here: Path) -> None:
    write("cat.jpg")
    selection = select([Path("nothing"), Path("cat.jpg"), Path("cat.jpg/below")])
    assert names(selection) == ["cat.jpg"]
    assert reasons(selection) == {"nothing": "no such file or directory", "cat.jpg/below": "not a directory"}
    assert failures(selection) == ["nothing", "cat.jpg/below"]


def test_what_may_not_be_read_fails_and_the_others_are_selected(nobody: Path) -> None:
    write(*(str(nobody / "photos" / name) for name in ("cat.jpg", "mine.jpg", "locked/dog.jpg")))
    (nobody / "photos/mine.jpg").chmod(0)
    (nobody / "photos/locked").chmod(0)
    try:
        selection = select([nobody / "photos"])
    finally:
        (nobody / "photos/locked").chmod(0o700)
    assert names(selection) == ["photos/cat.jpg"]
    assert {Path(path).name: reason for path, reason in reasons(selection).items()} == {
        "locked": "permission denied",
        "mine.jpg": "permission denied",
    }
    assert len(failures(selection)) == 2


@pytest.mark.parametrize("name", [b"new\nline", b"trailing.", b" space", b"not utf-8: \xff", b"con", b"back\\slash"])
def test_a_file_whose_name_is_refused_fails_and_says_which_rule_it_breaks(here: Path, name: bytes) -> None:
    write("photos/cat.jpg")
    Path("photos", os.fsdecode(name)).write_text("")
    selection = select([Path("photos")])
    assert names(selection) == ["photos/cat.jpg"]
    assert failures(selection) == [f"photos/{os.fsdecode(name)}"]
    assert selection.skipped[0].reason.startswith("it cannot be called that on the server: ")


def test_two_files_with_one_name_are_not_both_sent(here: Path) -> None:
    write("a/cat.jpg", "b/cat.jpg", "c/CAT.jpg")
    selection = select([Path("a/cat.jpg"), Path("b/cat.jpg"), Path("c/CAT.jpg")])
    assert [item.path for item in selection.items] == [Path("a/cat.jpg")]
    assert reasons(selection) == dict.fromkeys(
        ["b/cat.jpg", "c/CAT.jpg"], "it would have the same name on the server as a/cat.jpg"
    )
    assert len(failures(selection)) == 2


def test_a_file_that_was_named_twice_is_sent_once(here: Path) -> None:
    write("cat.jpg")
    selection = select([Path("cat.jpg"), here / "cat.jpg"])
    assert names(selection) == ["cat.jpg"]
    assert selection.skipped == []
    assert selection.size == len("cat.jpg")


def test_an_empty_folder_is_named_and_is_no_failure(here: Path) -> None:
    Path("empty/inside").mkdir(parents=True)
    selection = select([Path("empty")])
    assert selection.items == []
    assert reasons(selection) == {"empty": "there is no file in it"}
    assert failures(selection) == []


def excluding(*patterns: str) -> Selection:
    return select([Path("photos"), Path("notes.tmp")], exclusion=Exclusion(patterns))


def test_what_matches_a_pattern_is_left_out_with_all_that_is_below_it(here: Path) -> None:
    write(
        "photos/cat.jpg",
        "photos/a.tmp",
        "photos/2026/b.tmp",
        "photos/cache/c.jpg",
        "photos/2026/cache/d.jpg",
        "notes.tmp",
    )
    write("photos/cache.jpg", "photos/2026/keep.tmp")
    os.mkfifo("photos/cache/pipe")
    selection = excluding("*.tmp", "!keep.tmp", "cache/", "/cat.jpg")
    assert names(selection) == ["photos/2026/keep.tmp", "photos/cache.jpg"]
    assert sorted(map(str, selection.excluded)) == [
        "notes.tmp",
        "photos/2026/b.tmp",
        "photos/2026/cache",
        "photos/a.tmp",
        "photos/cache",
        "photos/cat.jpg",
    ]
    assert selection.skipped == []


def test_a_pattern_of_a_way_begins_at_the_folder_that_was_named(here: Path) -> None:
    write("photos/2026/a", "photos/old/2026/a", "notes.tmp")
    assert names(excluding("/2026")) == ["photos/old/2026/a", "notes.tmp"]
    assert names(excluding("old/2026/a", "notes.*")) == ["photos/2026/a"]


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="!"):
        Exclusion(["!"])
