"""What a connection holds while its client says nothing: many are connected, and most say nothing most of the time."""

import tracemalloc

from tests.end_to_end.conftest import Service
from tests.end_to_end.scene import MIB, content


async def test_an_upload_whose_client_pauses_keeps_nothing_of_its_last_message(service: Service) -> None:
    whole = content(3 * MIB)
    chunk = whole[MIB : 2 * MIB]
    async with service.connected() as client:
        await client.hold("a", len(whole), whole[:MIB])
        tracemalloc.start()
        try:
            await client.send(chunk)
            await client.acked(2 * MIB)
            kept = max(trace.size for trace in tracemalloc.take_snapshot().traces)
        finally:
            tracemalloc.stop()
        assert kept < len(chunk)
