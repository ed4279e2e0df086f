"""The `towline` command from its first moment on; what it does is in `client.cli`.

Outside of `client`, for importing anything of the client loads all of it, which takes a while.
"""

import gc
import sys


def main() -> None:
    """Run the command. Ctrl-C while it is still being loaded ends it as later: with 130, and without a traceback."""
    gc.disable()  # what is loaded stays: looking for garbage in it takes a tenth of the time
    try:
        from client.cli import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    gc.freeze()
    gc.enable()
    run()
