"""The safeties that the crash suite has to miss when they are not there, and the tests that miss them."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Change:
    """Some words of a file, and what stands there instead."""

    file: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """The product without one safety, and the tests of which one at least must fail."""

    safety: str
    changes: tuple[Change, ...]
    caught_by: tuple[str, ...]


_CUTS: Final = "test_power_cuts.py::test_nothing_that_was_acknowledged_is_lost_when_the_power_is_cut"
_POWER: Final = (f"{_CUTS}[0-ext4]", f"{_CUTS}[0-xfs]")
_DELETED: Final = "test_power_cuts.py::test_a_deleted_file_does_not_come_back_as_something_unknown"
_KILLS: Final = ("test_kills.py::test_nothing_that_was_acknowledged_is_lost_when_the_server_is_killed[0]",)
_ORDER: Final = ("test_order_of_writing.py::test_an_upload_is_durable_before_each_answer",)
_DELAYED: Final = ("test_delayed_writes.py::test_nothing_is_written_after_the_lease_moved_on[False]",)
_RACES: Final = "test_races.py"
_ROT: Final = ("test_bit_rot.py::test_damage_below_the_offset_is_sent_again_and_never_published",)

MUTANTS: Final = (
    Mutant(
        "the fdatasync of a durable point",
        (
            Change(
                "storage/writer.py",
                "            await self._on_disk(os.fdatasync, self._descriptor)\n",
                "            await self._on_disk(os.fstat, self._descriptor)\n",
            ),
        ),
        _POWER,
    ),
    Mutant(
        "the syncfs of small files",
        (Change("storage/objects.py", "if _libc.syncfs(descriptors[0]):", "if not descriptors:"),),
        _POWER,
    ),
    Mutant(
        "the folder sync of a new object",
        (Change("storage/local.py", "self._objects.sync_entries([object_id])", "self._objects.sync_entries([])"),),
        _ORDER,
    ),
    Mutant(
        "the folder sync of a deletion",
        (Change("storage/objects.py", "        self.sync_entries(object_ids)\n\n    def sync", "\n    def sync"),),
        (f"{_DELETED}[ext4]", f"{_DELETED}[xfs]"),
    ),
    Mutant(
        "the fsync before a file is published",
        (Change("storage/writer.py", "        os.fsync(self._descriptor)\n", ""),),
        _ORDER,
    ),
    Mutant(
        "the catalog's synchronous=FULL",
        (
            Change("storage/connecting.py", '"synchronous=FULL", "busy', '"synchronous=NORMAL", "busy'),
            Change("storage/connecting.py", "if cursor.fetchone() != (2,):", "if cursor.fetchone() != (1,):"),
        ),
        _POWER,
    ),
    Mutant(
        "the comparison of digests",
        (
            Change("storage/writer.py", "        if actual != digest:\n", "        if False:\n"),
            Change("storage/batch.py", "if actual != small.digest:", "if False:"),
        ),
        ("test_chaos.py", "test_model.py::test_a_store_is_what_its_model_is[no_disk_of_its_own]"),
    ),
    Mutant(
        "the check of the epoch",
        (
            Change(
                "storage/upload_rows.py",
                "sa.update(uploads).where(uploads.c.upload_id == upload_id, uploads.c.epoch == epoch)",
                "sa.update(uploads).where(uploads.c.upload_id == upload_id)",
            ),
            Change(
                "storage/upload_rows.py",
                'uploads.c.epoch == sa.bindparam("of_epoch")',
                'uploads.c.epoch >= sa.bindparam("of_epoch")',
            ),
            Change(
                "storage/upload_rows.py",
                "sa.delete(uploads).where(uploads.c.upload_id == upload_id, uploads.c.epoch == epoch)",
                "sa.delete(uploads).where(uploads.c.upload_id == upload_id)",
            ),
        ),
        (f"{_RACES}::test_a_holder_that_goes_on_sending_is_fenced_by_a_newcomer_at_another_server",),
    ),
    Mutant(
        "the drain before the lease moves",
        (Change("storage/lease.py", "while self._running:", "while not self._running and self.fenced is None:"),),
        _DELAYED,
    ),
    Mutant(
        "the lock between two processes",
        (
            Change(
                "storage/lease.py",
                "        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
                "        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)\n",
            ),
        ),
        (f"{_RACES}::test_who_has_locked_an_object_keeps_every_other_writer_out",),
    ),
    Mutant(
        "the truncate at recovery",
        (Change("storage/recovery.py", "os.ftruncate(descriptor, furthest)", "os.fstat(descriptor)"),),
        _KILLS,
    ),
    Mutant(
        "the check of the last leaf at resume",
        (
            Change(
                "storage/resuming.py",
                "if found is None or _recorded(state, start, end, leaf_size) not in (None, found):",
                "if found is None:",
            ),
        ),
        _ROT,
    ),
    Mutant(
        "the check of the other leaves after a resume",
        (Change("storage/writer.py", "if recorded is not None and checksum.tail_or_leaf != recorded:", "if False:"),),
        _ROT,
    ),
    Mutant(
        "the reservation of space",
        (Change("storage/space.py", "if outstanding > available:", "if False:"),),
        ("test_full_disk.py::test_of_eight_that_say_their_size_as_many_win_as_fit",),
    ),
)
