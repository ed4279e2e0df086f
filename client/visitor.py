"""Who one is to request links: for each link another text that nobody guesses, and the same each time, so that the same
command goes on with its upload.

They come from one secret, in the file `visitor` beside what `towline login` kept. Whoever gives out two links cannot
see that one person has come through both.
"""

import errno
import hmac
import os
import secrets
from collections.abc import Callable, Mapping
from typing import Final

from client.kept_tokens import config_folder
from client.link_urls import LinkUrl
from client.private_file import read_private, write_private

FILE: Final = "visitor"
SECRET_BYTES: Final = 32


def visitor_id(link: LinkUrl, warn: Callable[[str], None], environment: Mapping[str, str] = os.environ) -> str:
    """How one is known through a link; another one each time, and `warn` is told so, where the secret cannot be kept.
    Blocks. Raises NotPrivate."""
    try:
        secret = _secret(environment)
    except OSError as failed:
        why = (failed.strerror or str(failed)).lower()
        warn(f"{failed.filename}: {why}: after an interruption the same command will begin anew")
        secret = secrets.token_bytes(SECRET_BYTES)
    return hmac.digest(secret, link.link_id.encode(), "sha256").hex()


def _secret(environment: Mapping[str, str]) -> bytes:
    """Raises NotPrivate, OSError."""
    fresh = secrets.token_bytes(SECRET_BYTES)
    folder = config_folder(environment)
    if folder is None:
        raise OSError(errno.ENOENT, "there is no home folder", FILE)
    kept = read_private(folder / FILE)
    if kept is None or len(kept) != SECRET_BYTES:
        write_private(folder / FILE, fresh)
        return fresh
    return kept
