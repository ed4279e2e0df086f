"""Share and request links with the real command, as its makers and those who got one use it."""

import json
import os
import re
import signal
import stat
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from pydantic import SecretStr

import client
from client.link_urls import LinkUrl, NoLink, parse_link
from client.shared_file import _file_name
from client.visitor import visitor_id
from storage.local import LocalStore
from storage.store import FileQuery, utc_now
from tests.client.answering import answering
from tests.client.at_terminal import at_terminal
from tests.client.command import CONTENT, Towline
from tests.links import Link
from tests.server import running
from tests.tokens import token_for
from tests.transfer.seeds import put
from transfer.app import create_app
from transfer.settings import Settings

SECRET = "0123456789ab_" + "0" * 64
URL = re.compile(r"http://127\.0\.0\.1:\d+/[sr]/[0-9a-f]{12}_[0-9a-f]{64}\n")


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[str, LocalStore]]:
    settings = Settings(data=tmp_path / "data", port=0)
    app = create_app(settings)
    async with running(settings, app) as url:
        yield url, app.state.store


@pytest.fixture
def server(served: tuple[str, LocalStore]) -> str:
    return served[0]


@pytest.fixture
def store(served: tuple[str, LocalStore]) -> LocalStore:
    return served[1]


@pytest.fixture
async def alice(store: LocalStore, towline: Towline) -> Towline:
    """The command of somebody with a token, admin scope included."""
    towline.environment["TOWLINE_TOKEN"] = (await token_for(store, "alice")).text
    return towline


@pytest.fixture
def friend(alice: Towline, tmp_path: Path) -> Towline:
    """Somebody without a token, elsewhere."""
    folder = tmp_path / "friend" / "there"
    folder.mkdir(parents=True)
    return Towline(folder, "http://127.0.0.1:9")


@asynccontextmanager
async def way_of(url: str) -> AsyncIterator[tuple[Link, str]]:
    """A way to the server, and the link by that way."""
    parts = urlsplit(url.strip())
    async with Link("127.0.0.1", parts.port or 0) as link:
        yield link, f"{link.url}{parts.path}"


async def first_ack(process: Process) -> int:
    """The first offset that the server has acknowledged, of a command with --json."""
    assert process.stdout is not None
    async for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "ack" and event["offset"]:
            offset: int = event["offset"]
            return offset
    raise AssertionError("it ended")


# -------------------------------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("https://files.example.org/s/{}", "https://files.example.org"),
        (" http://127.0.0.1:8000/s/{}/\n", "http://127.0.0.1:8000"),
        ("HTTPS://files.example.org/towline/s/{}", "https://files.example.org/towline"),
    ],
)
def test_a_link_is_a_server_and_a_secret(url: str, server: str) -> None:
    link = parse_link(url.format(SECRET), "share")
    assert (link.server, link.secret.get_secret_value(), link.link_id) == (server, SECRET, "0123456789ab")
    assert SECRET not in repr(link)


@pytest.mark.parametrize(
    "url", ["", "cat.jpg", "https://x/s/", "https://x/r/{}", "ftp://x/s/{}", "https://x/s/{}0", "https://x/s/{}?a=1"]
)
def test_anything_else_is_no_link_and_is_not_shown(url: str) -> None:
    with pytest.raises(NoLink) as refused:
        parse_link(url.format(SECRET), "share")
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("proposed", "name"),
    [
        ("cat.jpg", "cat.jpg"),
        ("../../etc/passwd", "passwd"),
        ("..", "download"),
        ("a\0b", "download"),
        ("", "download"),
        (None, "download"),
    ],
)
def test_of_the_name_that_a_server_proposes_only_a_plain_one_is_taken(proposed: str | None, name: str) -> None:
    assert _file_name(proposed) == name


# -------------------------------------------------------------------------------------------------------- share links


async def test_a_link_stands_alone_on_stdout_and_is_downloaded_without_a_token(
    alice: Towline, friend: Towline, store: LocalStore
) -> None:
    await put(store, "photos/été.jpg", CONTENT, algorithm="blake3")
    shared = await alice("share", "photos/été.jpg", "--downloads", "3")
    assert URL.fullmatch(shared.out)
    assert "anybody who has this link downloads photos/été.jpg: expires " in shared.err
    ended = await friend("download", shared.out.strip())
    assert "été.jpg: done, 3.0 MB" in ended.err
    assert friend.read("été.jpg") == CONTENT
    listed = await alice("links", "--json")
    (link,) = listed.objects
    assert (link["kind"], link["name"], link["begun"], link["downloads"]) == ("share", "photos/été.jpg", 1, 3)
    assert shared.out.strip().rpartition("_")[2] not in listed.out


async def test_a_link_lasts_a_week_unless_it_is_told_otherwise(alice: Towline, store: LocalStore) -> None:
    await put(store, "a")
    for options in ([], ["--expires", "12h"], ["--expires", "never"]):
        await alice("share", "a", *options, "--quiet")
    made = await store.grants.list(kind="share")
    ends = [None if link.expires is None else link.expires - link.created for link in made]
    assert ends == [None, timedelta(hours=12), timedelta(days=7)]


async def test_a_download_by_a_link_for_one_goes_on_after_a_break(
    alice: Towline, friend: Towline, store: LocalStore
) -> None:
    await put(store, "cat.jpg", CONTENT)
    shared = await alice("share", "cat.jpg", "--downloads", "1")
    async with way_of(shared.out) as (way, url):
        way.cut_after(downstream=1_500_000)
        await friend("download", url)
    assert friend.read("cat.jpg") == CONTENT
    (link,) = await store.grants.list(kind="share")
    assert link.begun == 1
    assert 0 < link.resumed_bytes < len(CONTENT)
    again = await friend("download", shared.out.strip(), "-o", "again", code=1)
    assert "nothing is shared at this address" in again.err


async def test_asking_why_a_link_was_refused_does_not_count_as_a_download() -> None:
    heads: list[str] = []
    async with answering("503 Service Unavailable", "text/plain", b"away", heads=heads) as url:
        with pytest.raises(client.GaveUp):
            await client.download_shared(f"{url}/s/{SECRET}", give_up_after=0)
    assert [head.split(" ", 1)[0] for head in heads] == ["HEAD", "GET"]
    assert "if-none-match: *\r\n" in heads[1].lower()


async def test_a_link_that_is_used_up_leaves_no_empty_file_behind(
    alice: Towline, friend: Towline, store: LocalStore
) -> None:
    await put(store, "cat.jpg", CONTENT)
    url = (await alice("share", "cat.jpg", "--downloads", "1")).out.strip()
    async with httpx2.AsyncClient() as http, http.stream("GET", url, headers={"Range": "bytes=0-0"}) as begun:
        assert begun.status_code == 206
    ended = await friend("download", url, code=1)
    assert "nothing is shared at this address" in ended.err
    assert os.listdir(friend.folder) == []


async def test_a_password_comes_from_the_environment(alice: Towline, friend: Towline, store: LocalStore) -> None:
    await put(store, "cat.jpg", CONTENT)
    alice.environment["TOWLINE_LINK_PASSWORD"] = "open sesame"
    url = (await alice("share", "cat.jpg", "--password")).out.strip()
    lacking = await friend("download", url, code=1)
    assert "this link asks for a password: give it in TOWLINE_LINK_PASSWORD" in lacking.err
    friend.environment["TOWLINE_LINK_PASSWORD"] = "close sesame"
    wrong = await friend("download", url, "--json", code=1)
    assert wrong.the("error")["code"] == "password_wanted"
    friend.environment["TOWLINE_LINK_PASSWORD"] = "open sesame"
    await friend("download", url)
    assert friend.read("cat.jpg") == CONTENT


async def test_a_password_is_typed_unseen(alice: Towline, friend: Towline, store: LocalStore) -> None:
    await put(store, "cat.jpg", CONTENT)
    async with at_terminal(alice, "share", "cat.jpg", "--password") as terminal:
        shown = await terminal.until("password for the link: ")
        terminal.type("open sesame\n")
        shown += await terminal.until("once more: ")
        terminal.type("open sesame\n")
        shown += await terminal.until(r"/s/\S+\r\n")
        assert await terminal.process.wait() == 0
    url = re.search(r"http://\S+/s/\S+", shown)
    assert url is not None
    async with at_terminal(friend, "download", url[0]) as terminal:
        shown += await terminal.until("password of the link: ")
        terminal.type("open sesame\n")
        shown += await terminal.until("done")
        assert await terminal.process.wait() == 0
    assert friend.read("cat.jpg") == CONTENT
    assert "sesame" not in shown


@pytest.mark.parametrize("command", ["share", "download"])
async def test_ctrl_c_ends_a_command_that_asks_for_a_password_at_once(
    alice: Towline, store: LocalStore, command: str
) -> None:
    await put(store, "cat.jpg", CONTENT)
    arguments = ["share", "cat.jpg", "--password"]
    if command == "download":
        alice.environment["TOWLINE_LINK_PASSWORD"] = "open sesame"
        arguments = ["download", (await alice(*arguments)).out.strip()]
        del alice.environment["TOWLINE_LINK_PASSWORD"]
    async with at_terminal(alice, *arguments) as terminal:
        await terminal.until(" the link: ")
        terminal.process.send_signal(signal.SIGINT)
        assert await terminal.process.wait() == 130


async def test_without_a_terminal_no_password_is_made_up(alice: Towline, store: LocalStore) -> None:
    await put(store, "cat.jpg", CONTENT)
    ended = await alice("share", "cat.jpg", "--password", code=1)
    assert "there is no terminal to type a password at: give it in TOWLINE_LINK_PASSWORD" in ended.err
    assert await store.grants.list(kind="share") == []


# ------------------------------------------------------------------------------------------------------ request links


async def test_somebody_without_a_token_uploads_by_a_link(alice: Towline, friend: Towline, store: LocalStore) -> None:
    await put(store, "bids/cat.jpg", b"another")
    asked = await alice("request", "--into", "bids/", "--size", "10MB")
    assert URL.fullmatch(asked.out)
    assert "anybody who has this link uploads into bids/: expires " in asked.err
    friend.write("cat.jpg")
    ended = await friend("upload", "cat.jpg", "--to", asked.out.strip())
    assert ended.err.splitlines()[-1] == "cat.jpg: done, 3.0 MB (3.0 MB sent)"
    listing = await store.list_files(FileQuery())
    assert {str(file.name): file.owner for file in listing.files}.items() >= {"bids/cat (2).jpg": "alice"}.items()
    friend.write("more/large.bin", CONTENT * 3)
    refused = await friend("upload", "more", "--to", asked.out.strip(), code=1)
    assert "bids" not in refused.err + refused.out


async def test_the_same_command_goes_on_by_a_link_and_a_stranger_does_not(
    alice: Towline, friend: Towline, store: LocalStore, tmp_path: Path
) -> None:
    url = (await alice("request", "--into", "bids/")).out.strip()
    friend.write("cat.jpg")
    async with way_of(url) as (way, by_way):
        way.hold_after(upstream=2_000_000)
        async with friend.begun("upload", "cat.jpg", "--to", by_way, "--json") as process:
            acked = await first_ack(process)
    stranger = Towline(friend.folder, "http://127.0.0.1:9")
    stranger.environment["XDG_CONFIG_HOME"] = str(tmp_path / "stranger")
    ended = await stranger("upload", "cat.jpg", "--name", "cat.jpg", "--to", url, "--json")
    assert ended.the("ready")["offset"] == 0
    ended = await friend("upload", "cat.jpg", "--to", url, "--json")
    offset = ended.the("ready")["offset"]
    assert isinstance(offset, int)
    assert offset >= acked
    kept = Path(friend.environment["XDG_CONFIG_HOME"]) / "towline" / "visitor"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_one_is_the_same_by_one_link_and_another_by_each(tmp_path: Path) -> None:
    links = [LinkUrl("http://x", SecretStr(f"{number:012x}_{'0' * 64}")) for number in range(2)]
    environment = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    first, other, again = (visitor_id(link, pytest.fail, environment) for link in (links[0], links[1], links[0]))
    assert first == again != other
    assert re.fullmatch("[0-9a-f]{64}", first)


def test_where_nothing_can_be_kept_one_is_told_so(tmp_path: Path) -> None:
    link, told = LinkUrl("http://x", SecretStr(SECRET)), list[str]()
    environment = {"XDG_CONFIG_HOME": os.devnull}
    assert visitor_id(link, told.append, environment) != visitor_id(link, told.append, environment)
    assert all("the same command will begin anew" in sentence for sentence in told)
    assert len(told) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["upload", "x", "--to", "http://127.0.0.1:1/s/" + SECRET], "is the address of a share link: towline download"),
        (["upload", "x", "--to", "http://x/r/" + SECRET, "--if-exists", "replace"], "a link replaces nothing"),
        (["upload", "x", "--to", "http://x/" + SECRET], "that is not the address of a request link"),
        (["upload", "x", "--to", "http://x/r/" + SECRET, "--token-file", "t"], "needs no token"),
        (["download", "http://x/s/" + SECRET, "--token-file", "t"], "needs no token"),
        (["share", "x", "--expires", "soon"], "'soon' is no duration"),
        (["request", "--size", "much"], "'much' is no size"),
    ],
    ids=["kind", "none", "replace", "token", "download", "expires", "size"],
)
async def test_wrong_usage_of_links_says_what_is_wrong(alice: Towline, arguments: list[str], said: str) -> None:
    alice.write("x")
    ended = await alice(*arguments, code=2)
    assert said in re.sub(r"[│\s]+", " ", ended.err)
    assert SECRET not in ended.err


# ------------------------------------------------------------------------------------------------- listing, revoking


async def test_links_are_listed_and_revoked_by_the_first_characters_of_their_ids(
    alice: Towline, friend: Towline, store: LocalStore
) -> None:
    await put(store, "cat.jpg", CONTENT)
    url = (await alice("share", "cat.jpg")).out.strip()
    await alice("request", "--into", "bids")
    request, share = (await alice("links")).out.splitlines()
    assert re.match(r"[0-9a-f]{12}  request  bids/    0 bytes of 10\.7 GB  expires .*  in force$", request)
    assert re.match(r"[0-9a-f]{12}  share    cat\.jpg  0 downloads        +expires .*  in force$", share)
    ended = await alice("unlink", share[:11], "nothing", code=1)
    assert f"{share[:12]}: revoked, cat.jpg" in ended.err
    assert "nothing: there is no such link: towline links --all shows them" in ended.err
    assert "1 more have ended" in (await alice("links")).err
    assert "nothing is shared at this address" in (await friend("download", url, code=1)).err


async def test_a_link_is_revoked_by_its_address(alice: Towline, friend: Towline, store: LocalStore) -> None:
    await put(store, "cat.jpg", CONTENT)
    url = (await alice("share", "cat.jpg")).out.strip()
    assert "revoked, cat.jpg" in (await alice("unlink", url)).err
    assert "nothing is shared at this address" in (await friend("download", url, code=1)).err
    unknown = await alice("unlink", f"http://127.0.0.1:1/s/{SECRET}", code=1)
    assert "there is no such link" in unknown.err
    assert SECRET not in unknown.err


# ------------------------------------------------------------------------------------------------------------ tokens


async def test_an_administrator_deals_with_tokens_from_another_machine(
    alice: Towline, store: LocalStore, server: str
) -> None:
    made = await alice("token", "create", "bob", "--scope", "read", "--expires", "1h", "--server", server)
    secret = made.out.strip()
    (bob,) = await store.grants.list(kind="token", subject="bob")
    assert (bob.scopes, bob.grant_id) == (("read",), secret.split("_")[1])
    assert bob.expires is not None
    assert timedelta(minutes=59) < bob.expires - utc_now() <= timedelta(hours=1)
    listed = await alice("token", "list", "--server", server, "--json")
    assert {token["subject"] for token in listed.objects} == {"alice", "bob"}
    revoked = await alice("token", "revoke", bob.grant_id[:11], "--server", server)
    assert f"revoked token {bob.grant_id} of bob" in revoked.out
    alice.environment["TOWLINE_TOKEN"] = secret
    ended = await alice("token", "list", "--server", server, code=1)
    assert "the token was revoked" in ended.err
    away = await alice("token", "list", "--server", "http://127.0.0.1:9", code=1)
    assert "the server cannot be reached" in away.err
