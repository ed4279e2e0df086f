"""A contender counts only when the file that arrived is the file that was sent."""

from pathlib import Path

import pytest

from bench.peers.contender import Contender, Source
from bench.processes import Failed, Transfer, Usage


def sending(content: bytes, folder: Path) -> Contender:
    def send() -> Transfer:
        (folder / "arrived").write_bytes(content)
        return Transfer(1.0, Usage(0.25, 1), Usage(0.5, 1))

    return Contender("nothing", send, folder)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    path = tmp_path / "source"
    path.write_bytes(b"cargo")
    return Source.of(path)


def test_what_arrived_as_it_was_sent_counts_and_is_removed(source: Source, tmp_path: Path) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    assert sending(b"cargo", folder).run(source).cpu_seconds == 0.75
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("content", "said"), [(b"carg", "0 files of 5 bytes"), (b"CARGO", "is not what was sent")])
def test_what_arrived_otherwise_is_an_error(source: Source, tmp_path: Path, content: bytes, said: str) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    with pytest.raises(Failed, match=said):
        sending(content, folder).run(source)
