"""What holds for all tests, and the search for secrets in what they leave."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from tests import evidence, secret_scan

# A shell starts what runs in its background with Ctrl-C ignored, and every process that a test starts would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Whoever runs the tests may be logged in somewhere: no test sends their token anywhere, or leaves
# among their things what uploads of it there were.
os.environ.pop("TOWLINE_TOKEN", None)
os.environ["XDG_CONFIG_HOME"] = os.path.join(os.devnull, "config")
os.environ["XDG_STATE_HOME"] = os.path.join(os.devnull, "state")

# Nothing is timed in a test: what took long may have waited for the machine.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")

COMPLAINTS = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """The process that begins chooses the folder; those that run tests for it find it in their environment. The crash
    suite has processes and logs of its own kind."""
    if not hasattr(config, "workerinput") and not any("tests/crash" in argument for argument in config.args):
        os.environ[evidence.FOLDER] = tempfile.mkdtemp(prefix="towline-evidence-")
    if evidence.FOLDER in os.environ:
        evidence.watch()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Search, when all is over."""
    config = session.config
    if hasattr(config, "workerinput") or evidence.FOLDER not in os.environ:
        return
    folder = Path(os.environ.pop(evidence.FOLDER))
    all_ran = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not config.option.keyword
    complaints = [*map(str, secret_scan.findings(folder)), *(secret_scan.too_little(folder) if all_ran else [])]
    config.stash[COMPLAINTS] = [*complaints, secret_scan.summary(folder)]
    if complaints and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    shutil.rmtree(folder)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash.get(COMPLAINTS, []):
        terminalreporter.section("secrets")
        for line in lines:
            terminalreporter.line(line)
