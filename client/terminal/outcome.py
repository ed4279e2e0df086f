"""How a command ends: its exit code, and the sentence for what went wrong."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from client.downloader import DamagedContent
from client.errors import CannotConnect, ConnectionBroken, GaveUp, KeyringFailed, SourceChanged, TunnelClosed
from client.kept_tokens import UnreadableCredentials
from client.link_urls import NoLink
from client.partial import TargetBusy, TargetTaken
from client.private_file import NotPrivate
from client.shared_file import PasswordWanted
from client.token_sources import BadToken
from transfer.protocol.errors import Exists, Superseded, TransferError


class Exit(IntEnum):
    """Exit codes. RESUMABLE is sysexits' EX_TEMPFAIL: the same command goes on where this one ended."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    RESUMABLE = 75
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Outcome:
    """What ended a command, or one file of several. `code` is for machines and stays the same."""

    exit: Exit
    code: str
    message: str


NAME_TAKEN_ADVICE: Final = "use --if-exists replace|rename, or another name"
_SERVERS_ADVICE = ": choose if_exists replace or rename"
CODES: Final[Mapping[type[BaseException], str]] = {
    GaveUp: "gave_up",
    ConnectionBroken: "unreachable",
    CannotConnect: "cannot_connect",
    SourceChanged: "source_changed",
    TargetTaken: "target_taken",
    TargetBusy: "target_busy",
    DamagedContent: "damaged_content",
    TunnelClosed: "tunnel_closed",
    NoLink: "no_link",
    PasswordWanted: "password_wanted",
    BadToken: "bad_token",
    NotPrivate: "not_private",
    KeyringFailed: "keyring_failed",
    UnreadableCredentials: "unreadable_credentials",
    KeyboardInterrupt: "interrupted",
    OSError: "os_error",
}
"""What a command's own errors are called for machines, the first that fits. Those of the server have their codes."""
OTHER: Final = "failed"


def outcome_of(error: BaseException) -> Outcome:
    """What an error means for whoever typed the command."""
    match error:
        case Superseded():
            message = f"{error}: it goes on there; run the same command to take it back"
            return Outcome(Exit.RESUMABLE, error.code, message)
        case Exists() if "digest" in error.facts:
            message = error.message.removesuffix(_SERVERS_ADVICE)
            return Outcome(Exit.FAILED, error.code, f"{message}: {NAME_TAKEN_ADVICE}")
        case TransferError():
            return Outcome(Exit.FAILED, error.code, str(error))
        case GaveUp():
            return Outcome(Exit.RESUMABLE, _code_of(error), str(error))
        case ConnectionBroken():
            advice = "--server or TOWLINE_SERVER says where it is, `towline doctor` what is wrong"
            return Outcome(Exit.FAILED, _code_of(error), f"the server cannot be reached: {error}; {advice}")
        case KeyboardInterrupt():
            return Outcome(Exit.INTERRUPTED, _code_of(error), "interrupted: run the same command to go on")
        case OSError():
            return Outcome(Exit.FAILED, _code_of(error), _system_words(error))
        case _:
            return Outcome(Exit.FAILED, _code_of(error), str(error))


def _code_of(error: BaseException) -> str:
    return next((code for kind, code in CODES.items() if isinstance(error, kind)), OTHER)


def _system_words(error: OSError) -> str:
    words = os.strerror(error.errno).lower() if error.errno else str(error)
    return f"{os.fsdecode(error.filename)}: {words}" if isinstance(error.filename, str | bytes) else words
