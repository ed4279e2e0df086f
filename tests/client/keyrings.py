"""Keyrings for the command under test, chosen by PYTHON_KEYRING_BACKEND."""

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError, PasswordSetError


class FolderKeyring(KeyringBackend):
    """Keeps everything in $TOWLINE_TEST_KEYRING."""

    priority = 5

    def _all(self) -> dict[str, str]:
        kept: dict[str, str] = json.loads(_path().read_text()) if _path().exists() else {}
        return kept

    def _write(self, kept: dict[str, str]) -> None:
        _path().write_text(json.dumps(kept))

    def get_password(self, service: str, username: str) -> str | None:
        return self._all().get(f"{service} {username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self._write(self._all() | {f"{service} {username}": password})

    def delete_password(self, service: str, username: str) -> None:
        kept = self._all()
        if kept.pop(f"{service} {username}", None) is None:
            raise PasswordDeleteError("not found")
        self._write(kept)


class LockedKeyring(KeyringBackend):
    """Nobody unlocks it."""

    priority = 5

    def get_password(self, service: str, username: str) -> str | None:
        raise KeyringLocked("Failed to unlock the collection!")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise PasswordSetError(f"cannot keep {password}")

    def delete_password(self, service: str, username: str) -> None:
        raise KeyringLocked("Failed to unlock the collection!")


class DeadKeyring(LockedKeyring):
    """Its service has gone, and says so in its own way."""

    def get_password(self, service: str, username: str) -> str | None:
        raise LookupError("org.freedesktop.DBus.Error.ServiceUnknown")


def _path() -> Path:
    return Path(os.environ["TOWLINE_TEST_KEYRING"])
