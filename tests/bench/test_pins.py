"""What only measurements need is pinned by hash, and names no host to get it from."""

import json

import pytest

from tests.server import CHECKOUT

BENCH = CHECKOUT / "bench"


def test_each_of_nodes_packages_is_pinned_by_its_content_alone() -> None:
    packages = json.loads((BENCH / "peers" / "package-lock.json").read_text())["packages"]
    others = {path: package for path, package in packages.items() if path}
    assert others
    assert [path for path, package in others.items() if "integrity" not in package or "resolved" in package] == []


@pytest.mark.parametrize("folder", ["peers", "plots"])
def test_each_of_pythons_packages_is_pinned_by_hash(folder: str) -> None:
    text = (BENCH / folder / "requirements.txt").read_text().replace("\\\n", "")
    entries = [line for line in text.splitlines() if not line.startswith("#")]
    assert entries
    assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []
