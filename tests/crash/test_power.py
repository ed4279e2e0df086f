"""The tool before the suite: a cut that loses nothing would show nothing."""

import os

from tests.crash.power import LoopDisk


def test_a_cut_loses_what_was_not_synced_and_nothing_else(disk: LoopDisk) -> None:
    for name in ("synced", "unsynced"):
        descriptor = os.open(disk.path / name, os.O_CREAT | os.O_WRONLY, 0o600)
        os.write(descriptor, b"x" * 100_000)
        if name == "synced":
            os.fsync(descriptor)
        os.close(descriptor)
    disk.cut()
    disk.restore()
    left = {path.name: path.stat().st_size for path in disk.path.iterdir() if path.is_file()}
    assert left.pop("synced") == 100_000
    assert left in ({}, {"unsynced": 0})
