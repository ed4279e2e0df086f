"""Where a client's token comes from: what a program gives, a file, TOWLINE_TOKEN, or what `towline login` kept.

The first of these that is there is the only one that counts. A token is no argument of a command: everybody on the
machine can read those.
"""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from client.credentials import Source
from client.errors import ClientError
from client.kept_tokens import KeptTokens
from transfer.protocol import limits
from transfer.protocol.tokens import parse_token

ENVIRONMENT: Final = "TOWLINE_TOKEN"
TokenGiven = str | Callable[[], str | None]
"""A token, or a function that gives the newest one (None: none); it is called in a thread, about every half minute."""


class BadToken(ClientError):
    """What should be a token is none. Says where it stands, and does not show it."""

    def __init__(self, origin: str, problem: str) -> None:
        super().__init__(origin, problem)
        self.origin = origin
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.origin} is no token: {self.problem}"


def token_source(
    server: str,
    *,
    given: TokenGiven | None = None,
    file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    warn: Callable[[str], None] = lambda sentence: None,
) -> Source:
    """The source for a server, by what there is. Raises BadToken for a text that is given and is none."""
    if given is not None:
        return _given(given)
    if file is not None:
        return Source(TokenFile(file, warn).read, f"that of {file}", "put a new one there")
    if text := environment.get(ENVIRONMENT):
        return Source(lambda: checked(text, ENVIRONMENT), f"that of {ENVIRONMENT}", "put a new one there")
    remedy = f"`towline login {server}` keeps a new one"
    return Source(lambda: KeptTokens().find(server), "the one that `towline login` kept", remedy)


def checked(text: str, origin: str) -> SecretStr:
    """A text as a token. Raises BadToken."""
    try:
        return parse_token(text)
    except ValueError as refused:
        raise BadToken(origin, str(refused)) from None


def _given(token: TokenGiven) -> Source:
    origin, remedy = "the one that the program gave", "give a new one"
    if isinstance(token, str):
        secret = checked(token, "what was given")
        return Source(lambda: secret, origin, remedy)

    def ask() -> SecretStr | None:
        text = token()
        return None if text is None else checked(text, "what the program's function gave")

    return Source(ask, origin, remedy)


class TokenFile:
    """The first line of a file is the token. A pipe is read once; a file that others can read is told of, once, and
    used: a container's secrets are often mounted so, and cannot be changed."""

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self._path = path
        self._warn = warn
        self._of_pipe: SecretStr | None = None
        self._warned = False

    def read(self) -> SecretStr:
        """Raises BadToken, OSError."""
        if self._of_pipe is not None:
            return self._of_pipe
        with self._path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            line = file.readline(limits.MAX_TOKEN_BYTES + 3)
        token = checked(line.decode("utf-8", "replace").strip(), f"the first line of {self._path}")
        if not stat.S_ISREG(mode):
            self._of_pipe = token
        elif mode & (stat.S_IRGRP | stat.S_IROTH):
            self._tell(mode)
        return token

    def _tell(self, mode: int) -> None:
        if not self._warned:
            self._warned = True
            shown = f"{stat.S_IMODE(mode):04o}"
            self._warn(f"others can read the token in {self._path}, whose mode is {shown}: chmod 600 {self._path}")
