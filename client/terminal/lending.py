"""What the towline command lends to commands of the service that deal with a server elsewhere: a request to it."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from client.errors import ClientError
from client.terminal.options import connection_to
from client.terminal.outcome import outcome_of
from transfer.protocol.messages import read_object


def lend(
    server: str,
    ca_file: Path | None,
    token_file: Path | None,
    method: str,
    path: str,
    fields: Mapping[str, JsonValue] | None,
) -> JsonValue:
    """Send a request with the user's token, and return what the answer says. Raises TransferError, ConnectionError."""

    async def ask() -> bytes:
        async with connection_to(server, ca_file, token_file) as connection:
            return await connection.ask(method, path, fields)

    try:
        content = asyncio.run(ask())
    except ClientError as failed:
        raise ConnectionError(outcome_of(failed).message) from failed
    return read_object(content.decode()) if content else None
