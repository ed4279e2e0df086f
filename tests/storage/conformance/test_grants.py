"""Tokens and links are kept as they were handed out; what was revoked stays so, and downloads are counted."""

from dataclasses import replace
from datetime import timedelta

import pytest

from storage import grant_rows, memory_grants
from storage.errors import NotFound, TooManyLinks
from storage.grants import REMEMBERED_FOR, Grant
from storage.store import Store
from tests.storage.conformance.asking import ANN, BOB, Kept, ManualClock, ask, found, put, upload
from transfer.protocol.names import Name

SIZE = 100


@pytest.fixture
def token(clock: ManualClock) -> Grant:
    return Grant(
        grant_id="70ce2",
        kind="token",
        secret_hash=bytes(range(32)),
        subject=ANN,
        created=clock.now,
        expires=clock.now + timedelta(days=1, microseconds=7),
        scopes=("upload", "read"),
        prefix="ann/",
        quota=1 << 40,
        account_quota=1 << 41,
    )


@pytest.fixture
def share(clock: ManualClock) -> Grant:
    return Grant(
        grant_id="54a2e",
        kind="share",
        secret_hash=b"\x01" * 32,
        subject=ANN,
        created=clock.now,
        file_id="0123456789abcdef",
        downloads=2,
        password_hash="$argon2id$…",
    )


async def test_they_come_back_as_they_were(kept: Kept, token: Grant, share: Grant) -> None:
    await kept.store.grants.add(token)
    await kept.store.grants.add(share)
    async for store in kept.before_and_after_reopening():
        assert await store.grants.find(token.grant_id) == token
        assert await store.grants.find(share.grant_id) == share
        assert await store.grants.find("another") is None


async def test_a_list_is_of_a_kind_and_a_subject_and_has_the_newest_first(
    store: Store, token: Grant, share: Grant
) -> None:
    newer = replace(token, grant_id="newer", created=token.created + timedelta(microseconds=1))
    bobs = replace(token, grant_id="bobs", subject=BOB, created=token.created - timedelta(days=1))
    for grant in (token, newer, bobs, replace(share, created=bobs.created - timedelta(days=1))):
        await store.grants.add(grant)

    async def ids(**which: str) -> list[str]:
        return [grant.grant_id for grant in await store.grants.list(**which)]  # type: ignore[arg-type]

    assert await ids() == ["newer", token.grant_id, "bobs", share.grant_id]
    assert await ids(kind="token") == ["newer", token.grant_id, "bobs"]
    assert await ids(subject=ANN) == ["newer", token.grant_id, share.grant_id]
    assert await ids(kind="token", subject=BOB) == ["bobs"]
    assert await ids(kind="request") == []


async def test_who_revokes_a_token_revokes_its_links_once(kept: Kept, clock: ManualClock, token: Grant) -> None:
    grants = kept.store.grants
    link = replace(token, grant_id="link", kind="request", parent=token.grant_id)
    other = replace(token, grant_id="other")
    for grant in (token, link, other):
        await grants.add(grant)
    assert await grants.revoked_of(["other", "link", token.grant_id, "nobody"]) == {"nobody"}
    at = clock.now
    await grants.revoke(token.grant_id)
    clock.advance(60)
    await grants.revoke(token.grant_id)
    async for store in kept.before_and_after_reopening():
        assert await store.grants.revoked_of(["other", "link", token.grant_id]) == {"link", token.grant_id}
        assert [grant.revoked for grant in await store.grants.list()] == [at, at, None]


async def test_who_revokes_a_link_leaves_its_token(store: Store, token: Grant) -> None:
    await store.grants.add(token)
    await store.grants.add(replace(token, grant_id="link", kind="request", parent=token.grant_id))
    await store.grants.revoke("link")
    assert await store.grants.revoked_of([token.grant_id, "link"]) == {"link"}


async def test_what_was_never_handed_out_cannot_be_revoked(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.grants.revoke("nobody")


async def test_a_revoked_token_makes_no_links(store: Store, token: Grant) -> None:
    await store.grants.add(token)
    await store.grants.revoke(token.grant_id)
    with pytest.raises(NotFound):
        await store.grants.add(replace(token, grant_id="link", kind="request", parent=token.grant_id))
    assert await store.grants.find("link") is None


async def test_a_token_that_was_revoked_still_was_made(kept: Kept, token: Grant, share: Grant) -> None:
    assert not await kept.store.grants.any_tokens()
    await kept.store.grants.add(share)
    assert not await kept.store.grants.any_tokens()
    await kept.store.grants.add(token)
    await kept.store.grants.revoke(token.grant_id)
    async for store in kept.before_and_after_reopening():
        assert await store.grants.any_tokens()


# --------------------------------------------------------------------------------------------------------- downloads


async def test_as_many_downloads_begin_as_the_link_allows(kept: Kept, share: Grant) -> None:
    await kept.store.grants.add(share)
    assert [await kept.store.grants.begin_download(share.grant_id) for _ in range(3)] == [True, True, False]
    store = await kept.reopen()
    assert not await store.grants.begin_download(share.grant_id)
    assert await store.grants.find(share.grant_id) == replace(share, begun=2)


async def test_a_link_without_a_limit_counts_too(store: Store, share: Grant) -> None:
    await store.grants.add(replace(share, downloads=None))
    assert [await store.grants.begin_download(share.grant_id) for _ in range(3)] == [True] * 3
    assert await store.grants.begin_download(share.grant_id, resumed=10 * SIZE, size=SIZE)
    counted = await store.grants.find(share.grant_id)
    assert counted is not None
    assert counted.begun == 3


async def test_only_what_was_begun_is_resumed(store: Store, share: Grant) -> None:
    await store.grants.add(share)
    grants, link = store.grants, share.grant_id
    assert not await grants.begin_download(link, resumed=1, size=SIZE)
    assert await grants.begin_download(link)
    assert await grants.begin_download(link, resumed=SIZE - 1, size=SIZE)
    assert not await grants.begin_download(link, resumed=2, size=SIZE)
    assert await grants.begin_download(link, resumed=1, size=SIZE)
    assert await grants.begin_download(link)
    assert await grants.begin_download(link, resumed=SIZE, size=SIZE)
    assert not await grants.begin_download(link, resumed=1, size=SIZE)


async def test_what_was_not_sent_may_be_asked_for_again(store: Store, share: Grant) -> None:
    await store.grants.add(share)
    grants, link = store.grants, share.grant_id
    assert await grants.begin_download(link)
    assert await grants.begin_download(link, resumed=SIZE, size=SIZE)
    await grants.not_sent(link, 30)
    assert not await grants.begin_download(link, resumed=31, size=SIZE)
    assert await grants.begin_download(link, resumed=30, size=SIZE)
    await grants.not_sent(link, 10 * SIZE)
    assert await grants.find(link) == replace(share, begun=1)


async def test_a_link_that_is_not_in_force_begins_nothing(store: Store, clock: ManualClock, share: Grant) -> None:
    grants = store.grants
    await grants.add(share)
    await grants.add(replace(share, grant_id="short", expires=clock.now + timedelta(seconds=1)))
    assert await grants.begin_download("short")
    clock.advance(1)
    await grants.revoke(share.grant_id)
    for link in ("short", share.grant_id, "nobody"):
        assert not await grants.begin_download(link)
        assert not await grants.begin_download(link, resumed=0, size=SIZE)


async def test_a_token_is_no_share_link(store: Store, token: Grant) -> None:
    await store.grants.add(token)
    assert not await store.grants.begin_download(token.grant_id)


# --------------------------------------------------------------------------------------------------- whose file it is


async def test_a_share_link_finds_its_content_by_whatever_name(store: Store) -> None:
    file = (await put(store, "a.bin", b"content")).file
    assert await store.find_by_id(file.file_id) == file
    renamed = await store.rename(Name.parse("a.bin"), Name.parse("b.bin"))
    assert await store.find_by_id(file.file_id) == renamed
    await put(store, "b.bin", b"another", if_exists="replace")
    assert await store.find_by_id(file.file_id) is None


async def test_a_file_is_its_subjects_and_says_who_sent_it_and_how(kept: Kept) -> None:
    plain = await put(kept.store, "plain.bin", b"content")
    request = replace(ask("visited.bin", 7, owner="request:1:2"), subject=ANN, via="1")
    _, visited = await upload(kept.store, request, b"content")
    async for store in kept.before_and_after_reopening():
        assert await found(store, "plain.bin") == plain.file
        assert await found(store, "visited.bin") == visited.file
    assert (plain.file.owner, plain.file.uploader, plain.file.via) == (ANN, ANN, None)
    assert (visited.file.owner, visited.file.uploader, visited.file.via) == (ANN, "request:1:2", "1")


async def test_an_upload_that_goes_on_without_a_header_is_still_the_subjects(kept: Kept) -> None:
    request = replace(ask("visited.bin", None, owner="request:1:2"), subject=ANN, via="1")
    async with kept.store.begin(request) as writer:
        await writer.write(0, [b"con"])
        await writer.sync()
    store = await kept.reopen()
    async with store.resume(writer.upload_id, "request:1:2") as writer:
        await writer.write(3, [b"tent"])
        file = (await writer.finish((await put(store, "same.bin", b"content")).file.digest)).file
    assert (file.owner, file.uploader, file.via) == (ANN, "request:1:2", "1")


@pytest.fixture
def _two_links(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (grant_rows, memory_grants):
        monkeypatch.setattr(module, "MAX_LINKS", 2)


@pytest.mark.usefixtures("_two_links")
async def test_a_subject_has_so_many_links_of_a_kind(store: Store, token: Grant, share: Grant) -> None:
    for number in range(2):
        await store.grants.add(replace(share, grant_id=f"share {number}"))
        await store.grants.add(replace(share, grant_id=f"request {number}", kind="request"))
    with pytest.raises(TooManyLinks) as refused:
        await store.grants.add(share)
    assert refused.value.limit == 2
    await store.grants.add(replace(share, grant_id="bob's", subject=BOB))
    for number in range(3):
        await store.grants.add(replace(token, grant_id=f"token {number}"))


async def test_links_are_forgotten_a_month_after_their_end_and_tokens_never(
    kept: Kept, clock: ManualClock, token: Grant, share: Grant
) -> None:
    grants = kept.store.grants
    expiring = replace(share, grant_id="expiring", expires=clock.now + timedelta(days=1))
    for grant in (token, share, expiring, replace(share, grant_id="revoked")):
        await grants.add(grant)
    await grants.revoke("revoked")
    clock.advance((REMEMBERED_FOR + timedelta(days=1)).total_seconds())
    await kept.store.expire()
    assert {grant.grant_id for grant in await grants.list()} == {token.grant_id, share.grant_id, "expiring"}
    clock.advance(1)
    await kept.store.expire()
    async for store in kept.before_and_after_reopening():
        assert {grant.grant_id for grant in await store.grants.list()} == {token.grant_id, share.grant_id}
