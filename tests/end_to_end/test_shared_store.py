"""Several subjects in one store: what is left of a quota, and what others' files are to one, over real connections."""

import pytest

from storage.errors import NotFound
from tests.end_to_end.conftest import Service, chunks, eof, header, small
from tests.end_to_end.test_access import entered
from tests.tokens import token_for
from transfer.protocol.limits import MIB
from transfer.protocol.names import Name

CONTENT = bytes(range(256)) * 8192
OTHER = CONTENT[::-1]


async def test_what_is_over_the_quota_is_refused_before_its_first_byte(service: Service) -> None:
    token = await token_for(service.store, "alice", quota=3 * MIB)
    async with entered(service, token) as peer:
        await peer.complete(CONTENT, await peer.begin("a", len(CONTENT)))
        await peer.send(header("b", 2 * MIB))
        refused = await peer.refused("quota_exceeded")
        assert [refused[fact] for fact in ("needed", "available", "limit")] == [2 * MIB, MIB, 3 * MIB]
        assert not refused["retryable"]
        await peer.complete(CONTENT[:MIB], await peer.begin("c", MIB))


async def test_of_small_files_sent_without_waiting_those_that_fit_are_stored(service: Service) -> None:
    token = await token_for(service.store, "alice", quota=10)
    async with entered(service, token) as peer:
        await peer.send(*(frame for name in "abc" for frame in small(name, b"1234")))
        await peer.hear("complete")
        await peer.hear("complete")
        refused = await peer.refused("quota_exceeded")
        assert refused["available"] == 2
    assert await service.store.usage("alice") == 8


async def test_a_stream_over_the_quota_goes_on_from_its_ack_once_there_is_room(service: Service) -> None:
    token = await token_for(service.store, "alice", quota=3 * MIB)
    async with entered(service, token) as peer:
        await peer.complete(CONTENT, await peer.begin("a", len(CONTENT)))
        await peer.begin("stream", None)
        await peer.send(CONTENT[:MIB])
        await peer.acked(MIB)
        await peer.send(CONTENT[MIB:])
        await peer.refused("quota_exceeded")
        await service.store.delete(Name.parse("a"))
        ready = await peer.begin("stream", None)
        assert ready["offset"] == MIB
        await peer.send(*chunks(CONTENT[MIB:]), eof(CONTENT))
        await peer.hear("complete")
    assert await service.store.usage("alice") == len(CONTENT)


async def test_somebody_elses_file_is_replaced_by_who_may_delete_it(service: Service) -> None:
    alice = await token_for(service.store, "alice")
    bob = await token_for(service.store, "bob", ["upload", "read"])
    async with entered(service, alice) as peer:
        await peer.complete(CONTENT, await peer.begin("a", len(CONTENT)))
    async with entered(service, bob) as peer:
        await peer.send(header("a", MIB, if_exists="replace"))
        assert (await peer.refused("forbidden"))["scope"] == "delete"
        await peer.send(*small("a", b"small", if_exists="replace"))
        assert (await peer.refused("forbidden"))["scope"] == "delete"
    carol = await token_for(service.store, "carol", ["upload", "delete"])
    async with entered(service, carol) as peer:
        await peer.complete(OTHER, await peer.begin("a", len(OTHER), if_exists="replace"))
    file = await service.store.find(Name.parse("a"))
    assert file is not None
    assert file.owner == "carol"


@pytest.mark.parametrize("content", [CONTENT, OTHER[:MIB]], ids=["same", "other"])
async def test_who_may_only_upload_learns_nothing_of_what_is_there(service: Service, content: bytes) -> None:
    alice, bob = await token_for(service.store, "alice"), await token_for(service.store, "bob", ["upload"])
    async with entered(service, alice) as peer:
        await peer.complete(CONTENT, await peer.begin("a", len(CONTENT)))
        await peer.complete(CONTENT, await peer.begin("folder/secret", len(CONTENT)))
    async with entered(service, bob) as peer:
        await peer.send(header("a", len(content), digest=eof(content)["digest"]))
        assert (await peer.refused("exists")).keys() == {"type", "code", "message", "retryable"}
        await peer.send(header("folder", len(content)))
        below = await peer.refused("exists")
        assert below.keys() == {"type", "code", "message", "retryable"}
        assert "secret" not in below["message"]
        ready = await peer.begin("a", len(content), if_exists="rename")
        assert "existing" not in ready
        await peer.send(*chunks(content), eof(content))
        complete = await peer.hear("complete")
        assert "unchanged" not in complete
        assert complete["file"]["name"] == "a (2)"


async def test_an_upload_is_its_subjects(service: Service) -> None:
    alice = await token_for(service.store, "alice")
    async with entered(service, alice) as peer:
        ready = await peer.begin("a", len(CONTENT))
    with pytest.raises(NotFound):
        await service.store.cancel(ready["upload_id"], "bob")
    await service.store.cancel(ready["upload_id"], "alice")
