"""Packages that one suite needs and nobody else: by hash, in a folder of their own, and not in requirements.lock."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path


class NotInstalled(Exception):
    """pip failed; `str()` has what it said."""


def installed(
    requirements: Path, python: Sequence[str] = (sys.executable,), environment: Mapping[str, str] | None = None
) -> Path:
    """The folder with what `requirements` names, for this Python; made when it is not there. It goes with `.venv`, and
    another one takes its place when the requirements change. Raises NotInstalled."""
    version = sha256(requirements.read_bytes()).hexdigest()[:12]
    folder = Path(sys.prefix) / f"{requirements.parent.name}-{version}"
    if not folder.exists():
        unfinished = folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        options = ("--disable-pip-version-check", "--no-input", "--require-hashes", "--no-deps")
        command = [*python, "-m", "pip", "install", *options, "--target", str(unfinished), "-r", str(requirements)]
        result = subprocess.run(
            command, env=environment or os.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        if result.returncode != 0:
            said = result.stdout.decode(errors="replace")
            raise NotInstalled(f"{requirements.name} of {requirements.parent.name} could not be installed:\n{said}")
        unfinished.rename(folder)
    return folder
