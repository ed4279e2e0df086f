"""Loading a command, which is most of what a short one costs."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import gc, sys
from towline import main
sys.argv = ["towline", "--version"]
try:
    main()
except SystemExit:
    print(gc.isenabled(), gc.get_freeze_count() > 10_000, gc.get_stats()[2]["collections"] == 0)
"""


def test_what_a_command_loads_is_never_looked_through_for_garbage(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True True True"
