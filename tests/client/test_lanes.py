"""Work side by side: its results in one stream, and one end for all."""

import asyncio

import pytest

from client.lanes import Lanes


async def test_results_of_all_lanes_come_as_they_are_told() -> None:
    lanes: Lanes[str] = Lanes()
    second = asyncio.Event()

    async def one() -> None:
        await second.wait()
        lanes.tell("one")

    async def two() -> None:
        lanes.tell("two")
        second.set()

    assert [result async for result in lanes.results(one, two)] == ["two", "one"]


async def test_one_that_fails_ends_the_others_after_its_results() -> None:
    lanes: Lanes[str] = Lanes()
    ended: list[str] = []

    async def waiting() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("waiting")

    async def failing() -> None:
        lanes.tell("before")
        raise OSError("gone")

    results = lanes.results(waiting, failing)
    assert await anext(results) == "before"
    with pytest.raises(OSError, match="gone"):
        await anext(results)
    assert ended == ["waiting"]


async def test_leaving_the_results_ends_all_lanes() -> None:
    lanes: Lanes[str] = Lanes()
    ended: list[str] = []

    async def telling() -> None:
        lanes.tell("first")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("telling")

    results = lanes.results(telling)
    assert await anext(results) == "first"
    await results.aclose()  # type: ignore[attr-defined]
    assert ended == ["telling"]
