"""A file system on a loop device whose power can be cut.

`cut` shuts the file system down without flushing its log or its pages (the GOINGDOWN ioctl of XFS, which ext4 has
too): from then on every call fails with EIO, and what was not synced is gone at the next mount. Needs root.
"""

import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Final, Literal, Self

FileSystem = Literal["ext4", "xfs"]
FILE_SYSTEMS: Final[tuple[FileSystem, ...]] = ("ext4", "xfs")
SHUTDOWN: Final = 0x8004587D
"""XFS_IOC_GOINGDOWN and EXT4_IOC_SHUTDOWN, _IOR('X', 125, uint32_t)."""
NO_LOG_FLUSH: Final = struct.pack("I", 2)
_MIB: Final = 1 << 20
_SMALLEST: Final[dict[FileSystem, int]] = {"ext4": 16 * _MIB, "xfs": 320 * _MIB}
_MAKE: Final[dict[FileSystem, list[str]]] = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"]}


def lacking(kind: FileSystem = "ext4") -> str | None:
    """What this machine lacks for a loop disk of this kind; None when nothing."""
    if os.geteuid() != 0:
        return "only root may mount a file system: run it as root"
    if shutil.which(_MAKE[kind][0]) is None:
        return f"there is no {_MAKE[kind][0]}: install {'xfsprogs' if kind == 'xfs' else 'e2fsprogs'}"
    if not Path("/dev/loop-control").exists():
        return "this kernel has no loop devices"
    return None


class LoopDisk:
    """A file system of `size` bytes (XFS takes 320 MiB at least), mounted on `path` while entered."""

    def __init__(self, folder: Path, kind: FileSystem, size: int = 320 * _MIB) -> None:
        self.kind = kind
        self.path = folder / f"{kind}-disk"
        self.cuts = 0
        self._size = max(size, _SMALLEST[kind])
        self._image = Path()

    def __enter__(self) -> Self:
        self.path.mkdir()
        # in memory where that is possible: what is synced is then synced at once, and the cut loses the same
        roomy = "/dev/shm" if os.access("/dev/shm", os.W_OK) else self.path.parent
        descriptor, image = tempfile.mkstemp(prefix="towline-", suffix=".img", dir=roomy)
        self._image = Path(image)
        try:
            os.truncate(descriptor, self._size)
            os.close(descriptor)
            _run(*_MAKE[self.kind], image)
            self.mount()
        except BaseException:
            self._image.unlink()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # whether or not it looks mounted: a file system that was shut down does not
        subprocess.run(["umount", "--lazy", str(self.path)], check=False, capture_output=True)
        self._image.unlink()

    def mount(self) -> None:
        _run("mount", "-o", "loop,noatime", str(self._image), str(self.path))

    def unmount(self) -> None:
        """Orderly: everything is flushed first, unless the power was cut. Nobody may have anything open on it."""
        _run("umount", str(self.path))

    def cut(self) -> None:
        """The power is gone, now. Whoever still writes gets EIO."""
        self.cuts += 1
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, NO_LOG_FLUSH)
        finally:
            os.close(descriptor)

    def restore(self) -> None:
        """The power is back: what is there now is what was durable."""
        self.unmount()
        self.mount()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
