"""The user's keyring: that of the desktop, or whatever the package keyring was told to use. The only module that
imports it, and imported only by those who use one: looking for a keyring takes a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Self

import keyring
from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError
from pydantic import SecretStr

from client.errors import ClientError, KeyringFailed
from transfer.protocol.tokens import parse_token

SERVICE: Final = "towline"


def has_keyring() -> bool:
    """Whether there is one that the package recommends: not one that keeps nothing, or keeps it in the clear."""
    with _in_words():
        return bool(keyring.get_keyring().priority >= 1)


class Keyring:
    """Tokens by the server that they are for. Methods block, and raise KeyringFailed."""

    def __init__(self, backend: KeyringBackend) -> None:
        self._backend = backend

    @classmethod
    def of_user(cls) -> Self:
        """Raises KeyringFailed where there is none."""
        if not has_keyring():
            raise KeyringFailed("there is none here")
        return cls(keyring.get_keyring())

    def find(self, server: str) -> SecretStr | None:
        with _in_words():
            text = self._backend.get_password(SERVICE, server)
        try:
            return None if text is None else parse_token(text)
        except ValueError as refused:
            raise KeyringFailed(f"what it has for {server} is no token: {refused}") from None

    def keep(self, server: str, token: SecretStr) -> None:
        with _in_words(hidden=token.get_secret_value()):
            self._backend.set_password(SERVICE, server, token.get_secret_value())

    def forget(self, server: str) -> bool:
        """Returns whether there was one."""
        with _in_words():
            try:
                self._backend.delete_password(SERVICE, server)
            except PasswordDeleteError:  # also what a keyring says that has none
                return False
            return True


@contextmanager
def _in_words(hidden: str = "") -> Iterator[None]:
    """Whatever fails says so without `hidden`, which a keyring may repeat."""
    try:
        yield
    except ClientError:
        raise
    except Exception as failed:  # noqa: BLE001 - each desktop's service fails in its own way
        reason = str(failed).rstrip(".") or type(failed).__name__
        raise KeyringFailed(reason.replace(hidden, "…") if hidden else reason) from None
