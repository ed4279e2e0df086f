"""Run by test_forbidden_targets.py as a process: a resolver that changes its mind, in a network of its own."""

import asyncio
import json

from tests.namespaces import add_address, enter_namespace
from tests.upstream import Upstream
from transfer.dialing import dial
from transfer.upstreams import WebSocketUrl

PUBLIC = "1.1.1.1"


async def main() -> None:
    asked = 0

    async def resolve(host: str, port: int) -> list[str]:
        nonlocal asked
        asked += 1
        return [PUBLIC] if asked == 1 else ["127.0.0.1"]

    async with Upstream(host=PUBLIC) as public, Upstream(port=public.port) as inner:
        url = WebSocketUrl("ws", "rebound.example.org", public.port)
        connection = await dial(url, allow_private=False, headers={}, subprotocols=[], resolve=resolve, seconds=30)
        async with connection:
            await connection.send("through")
            answer = await connection.recv()
        connected = [there.local_address[0] for there in public.connections]
        print(json.dumps({"asked": asked, "connected": connected, "inner": len(inner.connections), "answer": answer}))


if __name__ == "__main__":
    enter_namespace()
    add_address(PUBLIC)
    asyncio.run(main())
