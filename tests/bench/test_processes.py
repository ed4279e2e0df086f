"""What a process used is counted with its children's part, and what it must not see is kept from it."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.processes import MIB, Failed, Service, finish, free_port, usage_of, user_environment

BURN = "import time\nwhile time.process_time() < 0.2: pass\n"
TWO = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}], check=True)\n{BURN}"
HOLD = f"m = bytearray({64 * MIB})\n"


def test_a_command_has_the_cpu_seconds_of_its_children_too() -> None:
    assert finish([sys.executable, "-c", TWO]).usage.cpu_seconds >= 0.4


@pytest.mark.parametrize("waits", ["'wait'", "''"], ids=["children that ended", "children that live"])
def test_what_runs_has_the_cpu_seconds_of(waits: str) -> None:
    child = f"{BURN}print(flush=True); input()"
    script = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=-1, stdout=-1)\n"
        f"child.stdout.readline()\nif {waits}: child.communicate(b'\\n')\n"
        "print(flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=-1, stdout=-1) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert usage_of(process.pid).cpu_seconds >= 0.2
        process.communicate(b"\n")


def test_peak_memory_is_what_was_held_though_it_was_given_back() -> None:
    peaks = [finish([sys.executable, "-c", f"{hold}del m\n{BURN}"]).usage.peak_mib for hold in ("m = 1\n", HOLD)]
    assert peaks[1] - peaks[0] >= 60


def test_a_command_that_fails_is_told_with_what_it_said() -> None:
    with pytest.raises(Failed, match=r"(?s)ended with 3.*no such luck"):
        finish([sys.executable, "-c", "import sys; print('no such luck', file=sys.stderr); sys.exit(3)"])


def test_a_service_that_does_not_start_is_told_with_what_it_said() -> None:
    with (
        pytest.raises(Failed, match=r"(?s)ended with 1.*no such port"),
        Service([sys.executable, "-c", "import sys; sys.exit('no such port')"], port=free_port()),
    ):
        pass


def test_a_persons_environment_configures_neither_towline_nor_python(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOWLINE_PORT", "PYTHONPATH", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "1")
    assert not {"TOWLINE_PORT", "PYTHONPATH", "HTTPS_PROXY"} & user_environment().keys()
    assert user_environment(TOWLINE_PORT="2")["TOWLINE_PORT"] == "2"


def test_the_output_of_a_command_is_kept(tmp_path: Path) -> None:
    assert finish([sys.executable, "-c", "import os; print(os.getcwd())"], folder=tmp_path).output == f"{tmp_path}\n"
