"""What of a folder is not to be uploaded: patterns as in a `.gitignore` file (gitignore(5)). No I/O."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec


class Exclusion:
    """Some patterns, of which the last one that matches counts. Raises ValueError for what is none."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._spec = _spec(patterns) if patterns else None

    def covers(self, way: str, *, is_folder: bool) -> bool:
        """Whether a file or folder is excluded: `way` leads there from the folder that was named. What is below an
        excluded folder is never looked at, so that no pattern takes it in again."""
        return self._spec is not None and self._spec.match_file(f"{way}/" if is_folder else way)


def _spec(patterns: Sequence[str]) -> "GitIgnoreSpec":
    from pathspec import GitIgnoreSpec  # takes its time to load, and most uploads exclude nothing

    return GitIgnoreSpec.from_lines(patterns)
