"""Ctrl-C before a program has been loaded: a module that it imports sends the signal, as people do in that moment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server import CHECKOUT

TOWLINE = Path(sys.executable).with_name("towline")
SIGNALLING = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"


@pytest.mark.parametrize(
    ("command", "loads"),
    [
        ([TOWLINE, "--version"], "websockets"),
        ([sys.executable, "-m", "bench", "catalog"], "argparse"),
        ([sys.executable, "-m", "bench.catalog"], "sqlalchemy"),
    ],
    ids=["towline", "bench", "bench.catalog"],
)
def test_ctrl_c_while_a_program_is_loaded_ends_it_with_130_and_no_word(
    command: list[str | Path], loads: str, tmp_path: Path
) -> None:
    (tmp_path / f"{loads}.py").write_text(SIGNALLING)
    path = os.pathsep.join([str(tmp_path), str(CHECKOUT)])
    done = subprocess.run(
        command, cwd=CHECKOUT, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
