"""What somebody types at a terminal, unseen. It blocks, and belongs where no loop runs: there Ctrl-C ends it."""

import sys
from getpass import getpass

from client.errors import ClientError


def at_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin is not None and sys.stdin.isatty()


def typed_unseen(prompt: str) -> str:
    """What is typed behind a prompt on stderr. Raises ClientError for Ctrl-D."""
    try:
        return getpass(prompt, stream=sys.stderr)
    except EOFError:
        raise ClientError("nothing was typed: run the same command again") from None
