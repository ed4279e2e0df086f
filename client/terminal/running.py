"""How a command runs: its work in a loop, what went wrong as one sentence, and an exit code."""

import asyncio
import sys
from collections.abc import Callable, Coroutine

import typer

from client.errors import ClientError
from client.terminal.display import Display, silence
from client.terminal.outcome import Exit, outcome_of
from transfer.protocol.allocator import keep_freed_memory
from transfer.protocol.errors import TransferError


def run(display: Display, work: Callable[[Display], Coroutine[None, None, Exit]]) -> None:
    """Do the work of a command and end the process with its exit code."""
    keep_freed_memory()
    with display:
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.get_loop().set_exception_handler(_unless_interrupted)
                code = runner.run(work(display))
        except BrokenPipeError:  # whoever read our data has enough
            silence(sys.stdout)
            code = Exit.FAILED
        except (TransferError, ClientError, OSError, KeyboardInterrupt) as error:
            outcome = outcome_of(error)
            display.error(outcome)
            code = outcome.exit
    raise typer.Exit(code)


def _unless_interrupted(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """A second Ctrl-C, while the first is being obeyed, comes in the midst of anything, and is no fault of that."""
    if not isinstance(context.get("exception"), KeyboardInterrupt):
        loop.default_exception_handler(context)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop's loop where there is one: of a chunk that the network does not take at once asyncio's makes copies."""
    if sys.platform == "win32":
        return asyncio.new_event_loop
    import uvloop  # by who runs a command, not by who imports the client

    return uvloop.new_event_loop
