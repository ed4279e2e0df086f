"""What holds for all tests."""

import os
import signal

from hypothesis import settings

# A shell starts what runs in its background with Ctrl-C ignored, and every process that a test starts would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Whoever runs the tests may be logged in somewhere: no test sends their token anywhere.
os.environ.pop("TOWLINE_TOKEN", None)
os.environ["XDG_CONFIG_HOME"] = os.path.join(os.devnull, "config")

# Nothing is timed in a test: what took long may have waited for the machine.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")
