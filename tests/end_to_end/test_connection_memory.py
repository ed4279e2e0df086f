"""What a connection holds: many are connected, and most say nothing most of the time; some send thousands of files."""

import gc
import tracemalloc

import client
from tests.end_to_end.conftest import Service
from tests.end_to_end.scene import MIB, content
from transfer.operation import Operation


async def test_an_upload_whose_client_pauses_keeps_nothing_of_its_last_message(service: Service) -> None:
    whole = content(3 * MIB)
    chunk = whole[MIB : 2 * MIB]
    async with service.connected() as peer:
        await peer.hold("a", len(whole), whole[:MIB])
        tracemalloc.start()
        try:
            await peer.send(chunk)
            await peer.acked(2 * MIB)
            kept = max(trace.size for trace in tracemalloc.take_snapshot().traces)
        finally:
            tracemalloc.stop()
        assert kept < len(chunk)


async def test_operations_that_are_over_wait_for_no_garbage_collection(service: Service) -> None:
    async with client.connect(service.url) as connection:
        await connection.upload(b"before", name="before")
        gc.collect()
        gc.disable()
        try:
            for number in range(8):
                await connection.upload(content(100 if number % 2 else 2 * MIB, number), name=f"{number}")
            left = [thing for thing in gc.get_objects() if isinstance(thing, Operation)]
        finally:
            gc.enable()
    assert len(left) <= 1  # the last one, whose frames may still come
