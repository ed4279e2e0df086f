"""Rounds take turns, and each run has the same preparation right before it."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest

from bench.rounds import interleaved, warm


def test_candidates_take_turns_each_after_a_preparation_of_its_own() -> None:
    happened: list[str] = []

    def run(name: str) -> int:
        happened.append(name)
        return len(happened)

    def preparing(sources: Iterable[Path]) -> None:
        happened.extend(map(str, sources))

    candidates = {name: partial(run, name) for name in "ab"}
    results = interleaved(candidates, 2, sources=[Path("cargo")], warm_up=1, preparing=preparing)
    assert happened[1::2] == ["b", "a", "a", "b", "b", "a"], "each round begins with the next one"
    assert happened[::2] == ["cargo"] * 6
    assert results == {"a": [6, 12], "b": [8, 10]}, "rounds to warm up count for nobody"


def test_what_a_candidate_raises_ends_the_measurement() -> None:
    with pytest.raises(ZeroDivisionError):
        interleaved({"a": lambda: 1 // 0}, 1, preparing=lambda _: None)


def test_a_source_that_is_not_there_is_an_error_and_not_a_cold_cache(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "cargo").write_bytes(bytes(3 << 20))
    warm(tmp_path)
    warm(tmp_path / "folder" / "cargo")
    with pytest.raises(FileNotFoundError):
        warm(tmp_path / "gone")
