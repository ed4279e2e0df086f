"""Where the peers come from: Node's and Python's by hash from the registries, Debian's as the machine has them."""

import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Final

from bench.processes import user_environment
from tests.packages import NotInstalled, installed

FOLDER: Final = Path(__file__).parent
REQUIREMENTS: Final = FOLDER / "requirements.txt"
BASE_PYTHON: Final = str(getattr(sys, "_base_executable", None) or sys.executable)
"""Not .venv's, so that a peer finds its own packages and not ours."""


class Missing(Exception):
    """A peer cannot be had on this machine; `str()` says what to do about it."""


def debian(program: str, package: str) -> str:
    """The path of a program that Debian packages. Raises Missing."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    found = shutil.which(program, path=path)
    if found is None:
        raise Missing(f"there is no {program} here: apt-get install {package}")
    return found


def python_environment(home: Path) -> dict[str, str]:
    """For BASE_PYTHON with the peers' packages, and a home folder without anybody's configuration. Raises Missing."""
    try:
        packages = installed(REQUIREMENTS)
    except NotInstalled as failed:
        raise Missing(str(failed)) from None
    home.mkdir(exist_ok=True)
    return user_environment(PYTHONPATH=str(packages), HOME=str(home), XDG_CONFIG_HOME=str(home))


def node_modules() -> Path:
    """The folder with package-lock.json's packages and our scripts, beside `node_modules`. Raises Missing."""
    npm = debian("npm", "npm")
    files = [FOLDER / name for name in ("package.json", "package-lock.json", "tus_server.js", "tus_upload.js")]
    version = sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:12]
    folder = Path(sys.prefix) / f"peers-node-{version}"
    if not folder.exists():
        unfinished = folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        for file in files:
            shutil.copy(file, unfinished)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        result = subprocess.run(command, cwd=unfinished, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise Missing(f"the packages of package-lock.json could not be installed:\n{result.stderr}")
        unfinished.rename(folder)
    return folder


def version_of(*command: str) -> str:
    """The first line of what a program says of its version."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return result.stdout.partition("\n")[0].strip()
