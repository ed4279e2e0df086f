"""What holds for all tests."""

import signal

from hypothesis import settings

# A shell starts what runs in its background with Ctrl-C ignored, and every process that a test starts would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Nothing is timed in a test: what took long may have waited for the machine.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")
