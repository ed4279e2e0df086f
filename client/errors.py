"""What a client raises beside the protocol's own errors (`transfer.protocol.errors`)."""

from transfer.protocol.errors import Superseded, Unauthorized


class ClientError(Exception):
    """The root. `str()` says what happened and what to do next."""


class SourceChanged(ClientError):
    """The source is not what it was when it was opened; nothing was published."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"source changed while it was being read: {self.name}; nothing was published, run the same command again"


class GaveUp(ClientError):
    """No progress for too long. What is durable stays on the server."""

    def __init__(self, seconds: float, reason: str) -> None:
        super().__init__(seconds, reason)
        self.seconds = seconds
        self.reason = reason

    def __str__(self) -> str:
        return f"gave up after {self.seconds:.0f} s without progress ({self.reason}): run the same command to go on"


class CannotConnect(ClientError):
    """Trying again would not help: a wrong address, or a server that does not speak towline.v1."""

    def __init__(self, server: str, reason: str) -> None:
        super().__init__(server, reason)
        self.server = server
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot talk to {self.server}: {self.reason}"


class ConnectionBroken(ClientError):
    """The connection is gone; a new one may work, after `retry_after` seconds where the server said so. Transfers
    handle it themselves."""

    def __init__(self, reason: str, *, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class TunnelClosed(ClientError):
    """The other end of a tunnel has closed it: with `code` and `reason`, or broken off (1006)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"the tunnel was closed with {self.code}" + (f": {self.reason}" if self.reason else "")


class KeyringFailed(ClientError):
    """The keyring does not open, or did not do what it was asked."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the keyring cannot be used ({self.reason}): unlock it, or `towline login --store file`"


def stops_everything(error: Exception) -> bool:
    """Whether further transfers of the same run are in vain too."""
    return isinstance(error, CannotConnect | GaveUp | Superseded | ConnectionBroken | Unauthorized)
