"""The client that the pages use, run by Node against a real server: what it sends arrives whole, whatever breaks."""

import asyncio
import json
import re
import shutil
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.end_to_end.conftest import Service, serving
from tests.end_to_end.node import OPTION, found_node
from tests.end_to_end.scene import MIB, content, sha256
from tests.links import Fault, Happening, Link, Passage, no_fault
from tests.tokens import request_link, token_for

SCRIPT: Final = Path(__file__).with_name("page_client.mjs")
MODULES: Final = Path(__file__).parents[2] / "transfer" / "web"
SIZE: Final = 8 * MIB + 12_345
CUT: Final = 5 * MIB
WINDOW: Final = 2 * MIB
VISITOR: Final = "0123456789abcdef"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def node() -> str:
    return found_node("the page's client")


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A server that takes little without acknowledging it."""
    async with serving(tmp_path, {"window": WINDOW}) as service:
        yield service


@pytest.fixture
async def link(service: Service) -> AsyncIterator[Link]:
    """A way to it that can be cut."""
    async with Link("127.0.0.1", service.port) as link:
        yield link


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The modules, where Node takes them for modules as browsers do."""
    folder = tmp_path / "web"
    shutil.copytree(MODULES, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "cargo.bin"
    write_version(path, 0)
    return path


def write_version(path: Path, version: int) -> None:
    path.write_bytes(content(SIZE, seed=version))


def change_one_byte(path: Path) -> bytes:
    """Of its second leaf; returns what it has then."""
    changed = bytearray(path.read_bytes())
    changed[MIB + 7] ^= 1
    path.write_bytes(changed)
    return bytes(changed)


class Run:
    """The client at work, and what it has said."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.said: list[Json] = []

    @property
    def durable(self) -> list[int]:
        return [line["durable"] for line in self.said if "durable" in line]

    @property
    def waited(self) -> list[str]:
        return [line["waiting"] for line in self.said if "waiting" in line]

    async def until(self, key: str) -> Json:
        """The next line that has this key."""
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.said.append(json.loads(line))
            if key in self.said[-1]:
                return self.said[-1]
        assert self.process.stderr is not None
        raise AssertionError(f"no {key}: {self.said[-5:]} {(await self.process.stderr.read()).decode()}")

    async def completed(self) -> Json:
        entry: Json = (await self.until("complete"))["complete"]
        return entry

    async def write(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        await self.process.stdin.drain()

    async def say(self, **what: str) -> None:
        """Have this done, and wait until it is."""
        await self.write(json.dumps(what))
        await self.until(*what)

    async def end(self) -> None:
        """Wait until it has ended by itself."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        _, stderr = await self.process.communicate()
        assert self.process.returncode == 0, stderr.decode()


async def start(node: str, folder: Path, server: str, *sources: Path, **options: object) -> Run:
    command = [node, OPTION, str(SCRIPT), str(folder), *map(str, sources)]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    assert process.stdin is not None
    said = {"url": server.replace("http", "ws") + "/ws", **options}
    process.stdin.write(json.dumps(said).encode() + b"\n")
    return Run(process)


async def begun_and_killed(node: str, folder: Path, link: Link, source: Path, **options: object) -> None:
    """Run it until half of the source has passed, then end it, as when a page is closed."""
    link.hold_after(upstream=CUT)
    run = await start(node, folder, link.url, source, **options)
    await link.until(lambda link: link.upstream_bytes >= CUT)
    run.process.kill()
    await run.process.communicate()
    link.cut()
    await link.until(lambda link: link.open_connections == 0)


async def test_it_sends_files_over_one_connection(
    node: str, folder: Path, link: Link, service: Service, source: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    run = await start(node, folder, link.url, source, empty)
    assert (await run.completed())["digest"] == sha256(source)
    assert (await run.completed())["size"] == 0
    await run.end()
    assert [durable for durable in run.durable if 0 < durable < SIZE], "it says how far it is"
    assert link.connections == 1
    assert await service.stored("cargo.bin") == content(SIZE)
    assert await service.stored("empty") == b""


async def test_after_a_break_it_goes_on_where_the_server_is(
    node: str, folder: Path, link: Link, service: Service, source: Path
) -> None:
    link.cut_after(upstream=CUT)
    run = await start(node, folder, link.url, source)
    assert (await run.completed())["digest"] == sha256(source)
    await run.end()
    assert link.connections == 2
    assert len(run.waited) == 1
    assert link.upstream_bytes < SIZE + WINDOW + MIB, "what was acknowledged is not sent again"
    assert await service.stored("cargo.bin") == content(SIZE)


async def test_no_more_than_the_window_is_on_its_way(node: str, folder: Path, link: Link, source: Path) -> None:
    acked = on_its_way = 0

    def watch_up(passage: Passage, piece: bytes) -> Iterator[bytes | Happening]:
        nonlocal on_its_way
        on_its_way = max(on_its_way, passage.passed_bytes + len(piece) - acked)
        yield piece

    def watch_down(passage: Passage, piece: bytes) -> Iterator[bytes | Happening]:
        nonlocal acked
        acked = max([acked, *map(int, re.findall(rb'"type":"ack","offset":([0-9]+)', piece))])
        yield piece

    link.upstream.fault, link.downstream.fault = watch_up, watch_down
    run = await start(node, folder, link.url, source)
    assert (await run.completed())["digest"] == sha256(source)
    await run.end()
    assert WINDOW <= on_its_way < WINDOW + MIB // 64, "the window, its headers and the upgrade"


async def test_while_it_is_refused_it_waits_and_tries_again(node: str, folder: Path, link: Link, source: Path) -> None:
    link.refusing = True
    run = await start(node, folder, link.url, source)
    await link.until(lambda link: link.refused_connections >= 3)
    link.refusing = False
    assert (await run.completed())["digest"] == sha256(source)
    await run.end()


async def test_when_the_answer_is_lost_it_finds_the_file_complete(
    node: str, folder: Path, link: Link, service: Service, tmp_path: Path
) -> None:
    source = tmp_path / "note.txt"
    source.write_bytes(b"a note")
    cuts = 0

    def cut_before_complete(passage: Passage, piece: bytes) -> Iterator[bytes | Happening]:
        nonlocal cuts
        if b'"complete"' in piece and not cuts:
            cuts += 1
            yield Passage.cut
        yield piece

    link.downstream.fault = cut_before_complete
    run = await start(node, folder, link.url, source)
    assert (await run.completed())["name"] == "note.txt"
    assert (cuts, link.connections) == (1, 2)
    assert await service.names() == ["note.txt"]
    await run.end()


async def test_begun_anew_it_goes_on_where_a_closed_page_was(
    node: str, folder: Path, link: Link, service: Service, source: Path
) -> None:
    await begun_and_killed(node, folder, link, source)
    run = await start(node, folder, link.url, source)
    assert (await run.completed())["digest"] == sha256(source)
    await run.end()
    assert 0 < run.durable[0] < CUT
    assert await service.names() == ["cargo.bin"]


async def test_another_file_of_the_same_name_is_never_spliced_with_the_first(
    node: str, folder: Path, link: Link, service: Service, source: Path
) -> None:
    await begun_and_killed(node, folder, link, source)
    write_version(source, 1)
    run = await start(node, folder, link.url, source)
    assert (await run.completed())["digest"] == sha256(source)
    await run.end()
    assert 0 in run.durable, "what was of the other one is sent once more"
    assert await service.stored("cargo.bin") == content(SIZE, seed=1)


async def test_an_upload_that_is_dropped_meanwhile_begins_again(
    node: str, folder: Path, link: Link, service: Service, source: Path
) -> None:
    link.hold_after(upstream=CUT)
    run = await start(node, folder, link.url, source)
    await link.until(lambda link: link.upstream_bytes >= CUT)
    (upload,) = await service.unfinished()
    link.refusing = True
    link.cut()
    await link.until(lambda link: link.refused_connections > 0)
    async with service.http() as http:
        assert (await http.delete(f"/uploads/{upload['upload_id']}")).status_code == 204
    link.thaw()
    link.refusing = False
    assert (await run.completed())["digest"] == sha256(source)
    await run.end()


async def test_a_taken_name_is_given_a_number(node: str, folder: Path, service: Service, source: Path) -> None:
    async with service.connected() as peer:
        ready = await peer.begin("cargo.bin", 5)
        await peer.complete(b"other", ready)
    run = await start(node, folder, service.url, source)
    assert (await run.completed())["name"] == "cargo (2).bin"
    await run.end()
    assert await service.stored("cargo.bin") == b"other"


async def test_a_refusal_is_final_and_keeps_nobody_else_waiting(
    node: str, folder: Path, service: Service, source: Path, tmp_path: Path
) -> None:
    forbidden = tmp_path / "NUL"
    forbidden.write_bytes(b"a")
    run = await start(node, folder, service.url, forbidden, source)
    refused = await run.until("refused")
    assert refused["refused"] == "invalid_name"
    assert "NUL" in refused["message"]
    await run.completed()
    await run.end()
    assert run.waited == []


async def test_of_a_file_that_has_changed_only_the_leaves_that_differ_are_sent_again(
    node: str, folder: Path, link: Link, service: Service, source: Path
) -> None:
    await begun_and_killed(node, folder, link, source)
    changed = change_one_byte(source)
    run = await start(node, folder, link.url, source)
    assert (await run.completed())["digest"] == sha256(source)
    await run.end()
    states = [line["state"] for line in run.said if line.get("state") in ("checking", "sending")]
    assert states[0] == "checking", "before anything is added to what is there"
    assert link.upstream_bytes < SIZE + WINDOW + 2 * MIB
    assert await service.stored("cargo.bin") == changed


async def test_what_is_sent_again_goes_on_after_a_break_in_the_leaf_that_it_was_in(
    node: str, folder: Path, link: Link, service: Service, source: Path
) -> None:
    async with service.connected() as peer:
        await peer.leave_unfinished("cargo.bin", SIZE, content(CUT, seed=1))
    link.cut_after(upstream=CUT - MIB // 4)
    run = await start(node, folder, link.url, source)
    assert (await run.completed())["digest"] == sha256(source)
    await run.end()
    assert link.connections == 2
    assert link.upstream_bytes < SIZE + WINDOW + 1.5 * MIB, "all of it, what was on its way, and the rest of a leaf"
    assert min(run.durable) >= 0
    after_break = run.said.index(next(line for line in run.said if "waiting" in line))
    assert min(line["durable"] for line in run.said[after_break:] if "durable" in line) > MIB
    assert await service.stored("cargo.bin") == content(SIZE)


async def test_what_differs_where_no_checksum_was_is_found_at_the_end_and_mended(
    node: str, folder: Path, link: Link, service: Service, tmp_path: Path
) -> None:
    source = tmp_path / "cargo.bin"
    source.write_bytes(content(3 * MIB))
    async with service.connected() as peer:
        await peer.leave_unfinished("cargo.bin", 3 * MIB, content(MIB) + b"otherwise")
    run = await start(node, folder, link.url, source)
    assert (await run.completed())["digest"] == sha256(source)
    await run.end()
    assert link.upstream_bytes < 3.5 * MIB, "what was there, and one leaf once more"


@pytest.mark.parametrize("is_that_one", [True, False], ids=["that one", "another"])
async def test_where_a_certain_file_is_meant_no_other_one_takes_its_place(
    node: str, folder: Path, service: Service, source: Path, is_that_one: bool
) -> None:
    async with service.connected() as peer:
        ready = await peer.leave_unfinished("cargo.bin", SIZE, content(CUT, seed=0 if is_that_one else 1))
    run = await start(node, folder, service.url, source, uploadId=ready["upload_id"], mustMatch=True)
    if is_that_one:
        assert (await run.completed())["digest"] == sha256(source)
    else:
        assert (await run.until("refused"))["refused"] == "other_file"
        assert (await service.unfinished())[0]["offset"] == CUT, "what is there stays for the right one"
    await run.end()


# ----------------------------------------------------------------------------------------------------------- many files


async def test_small_files_follow_one_another_without_waiting_for_answers(
    node: str, folder: Path, link: Link, service: Service, tmp_path: Path
) -> None:
    sources = [tmp_path / f"{number}.txt" for number in range(20)]
    for source in sources:
        source.write_bytes(source.name.encode() * 100)
    answers = link.downstream
    headers = 0

    def hold_answers(passage: Passage, piece: bytes) -> Iterator[bytes | Happening]:
        if b'"complete"' in piece and headers < len(sources):
            yield Passage.hold
        yield piece

    def count_headers(passage: Passage, piece: bytes) -> Iterator[bytes | Happening]:
        nonlocal headers
        yield piece
        headers += passage.passed_bytes > 20 * 300

    answers.fault, link.upstream.fault = hold_answers, count_headers
    run = await start(node, folder, link.url, *sources)
    await link.until(lambda link: link.upstream_bytes > 20 * 300)
    link.thaw()
    for source in sources:
        assert (await run.completed())["digest"] == sha256(source)
    await run.end()
    assert link.connections == 1
    assert len(await service.names()) == 20


async def test_a_small_file_that_is_cancelled_before_its_turn_is_not_sent(
    node: str, folder: Path, link: Link, service: Service, tmp_path: Path
) -> None:
    sources = [tmp_path / f"{number}" for number in range(6)]
    for source in sources:
        source.write_bytes(content(MIB, seed=int(source.name)))
    link.downstream.fault = hold_before(b'"complete"')
    run = await start(node, folder, link.url, *sources)
    await link.until(lambda link: link.upstream_bytes > 4 * MIB)
    await run.say(cancel="4")
    link.downstream.fault = no_fault
    link.thaw()
    for _ in range(5):
        await run.completed()
    await run.end()
    assert sorted(await service.names()) == ["0", "1", "2", "3", "5"]


async def test_small_files_survive_a_break_and_one_that_is_refused(
    node: str, folder: Path, link: Link, service: Service, tmp_path: Path
) -> None:
    names = ["a", "NUL", *"bcdef"]
    for name in names:
        (tmp_path / name).write_bytes(name.encode() * 20_000)
    link.cut_after(upstream=50_000)
    run = await start(node, folder, link.url, *(tmp_path / name for name in names))
    assert (await run.until("refused"))["refused"] == "invalid_name"
    while len([line for line in run.said if "complete" in line]) < 6:
        await run.completed()
    await run.end()
    assert link.connections == 2
    assert sorted(await service.names()) == list("abcdef")


async def test_several_connections_carry_several_files(
    node: str, folder: Path, link: Link, service: Service, tmp_path: Path
) -> None:
    sources = [tmp_path / name for name in ("a.bin", "b.bin", "small")]
    for source, size in zip(sources, (3 * MIB, 3 * MIB, 100), strict=True):
        source.write_bytes(content(size))
    run = await start(node, folder, link.url, *sources, connections=2)
    for _ in sources:
        await run.completed()
    await run.end()
    assert link.connections == 2
    assert sorted(await service.names()) == ["a.bin", "b.bin", "small"]


# -------------------------------------------------------------------------------------------------- stopping, going on


async def test_paused_it_keeps_what_is_there_and_resumed_it_goes_on(
    node: str, folder: Path, link: Link, service: Service, source: Path
) -> None:
    link.hold_after(upstream=CUT)
    run = await start(node, folder, link.url, source)
    await link.until(lambda link: link.upstream_bytes >= CUT)
    await run.say(pause="cargo.bin")
    assert (await service.unfinished())[0]["name"] == "cargo.bin"
    link.thaw()
    await run.say(resume="cargo.bin")
    assert (await run.completed())["digest"] == sha256(source)
    await run.end()
    assert link.connections == 2
    assert link.upstream_bytes < SIZE + WINDOW + MIB


async def test_who_pauses_it_when_it_hears_that_it_begins_has_it_paused(
    node: str, folder: Path, link: Link, service: Service, source: Path
) -> None:
    run = await start(node, folder, link.url, source, pauseAt="connecting")
    while (await run.until("state"))["state"] != "paused":
        pass
    await run.end()
    assert link.connections == 0
    assert await service.names() == []


@pytest.mark.parametrize("is_known", [True, False], ids=["its id is known", "its id is not known yet"])
async def test_cancelled_nothing_of_it_stays(
    node: str, folder: Path, link: Link, service: Service, source: Path, is_known: bool
) -> None:
    if is_known:
        link.hold_after(upstream=CUT)
    else:
        link.downstream.fault = hold_before(b'"ready"')
    run = await start(node, folder, link.url, source)
    await link.until(lambda link: link.upstream_bytes >= (CUT if is_known else 400))
    await run.say(cancel="cargo.bin")
    link.thaw()
    await run.say(drop="cargo.bin")
    await link.until(lambda link: link.open_connections == 0)
    assert await service.unfinished() == []
    await run.end()


def hold_before(mark: bytes) -> Fault:
    """Hold the connection when this is about to pass."""

    def fault(passage: Passage, piece: bytes) -> Iterator[bytes | Happening]:
        if mark in piece:
            yield Passage.hold
        yield piece

    return fault


async def test_who_is_superseded_says_so_and_does_not_come_back(
    node: str, folder: Path, link: Link, service: Service, source: Path
) -> None:
    link.hold_after(upstream=CUT)
    run = await start(node, folder, link.url, source)
    await link.until(lambda link: link.upstream_bytes >= CUT)
    another = await start(node, folder, service.url, source)
    assert (await run.until("refused"))["refused"] == "superseded"
    assert (await another.completed())["digest"] == sha256(source)
    await another.end()
    await run.say(resume="cargo.bin")
    assert (await run.completed())["digest"] == sha256(source), "told to, it asks, and finds it complete"
    await run.end()


async def test_the_function_that_sends_one_file_stops_at_a_signal_and_a_later_call_goes_on(
    node: str, folder: Path, link: Link, service: Service, source: Path
) -> None:
    link.hold_after(upstream=CUT)
    run = await start(node, folder, link.url, source, alone=True)
    await link.until(lambda link: link.upstream_bytes >= CUT)
    await run.write("enough for today")
    assert (await run.until("message"))["message"] == "enough for today"
    link.cut()
    link.thaw()
    await run.end()
    run = await start(node, folder, link.url, source, alone=True, ifExists="error")
    assert (await run.completed())["digest"] == sha256(source)
    await run.end()
    assert 0 < run.durable[0] < CUT


# ------------------------------------------------------------------------------------------------------- who is calling


async def test_a_token_goes_in_the_first_frame(node: str, folder: Path, service: Service, source: Path) -> None:
    token = await token_for(service.store, "alice")
    run = await start(node, folder, service.url, source, token=token.text)
    assert (await run.completed())["owner"] == "alice"
    await run.end()


async def test_a_revoked_token_ends_it_and_another_goes_on(
    node: str, folder: Path, link: Link, service: Service, source: Path
) -> None:
    token, another = await token_for(service.store, "alice"), await token_for(service.store, "alice")
    link.hold_after(upstream=CUT)
    run = await start(node, folder, link.url, source, token=token.text)
    await link.until(lambda link: link.upstream_bytes >= CUT)
    await service.store.grants.revoke(token.grant_id)
    refused = await run.until("refused")
    assert refused["refused"] == "unauthorized"
    assert run.waited == []
    await run.end()
    run = await start(node, folder, service.url, source, token=another.text)
    assert (await run.completed())["digest"] == sha256(source)
    assert run.durable[0] > 0
    await run.end()


async def test_a_request_link_is_shown_as_it_stands_in_its_url_and_a_visitor_goes_on(
    node: str, folder: Path, link: Link, service: Service, source: Path
) -> None:
    await token_for(service.store, "alice")
    secret = await request_link(service.store, "alice", prefix="inbox/")
    credentials = {"token": secret.in_link, "visitor": VISITOR}
    await begun_and_killed(node, folder, link, source, **credentials)
    run = await start(node, folder, link.url, source, **credentials)
    complete = await run.completed()
    assert (complete["name"], complete["digest"]) == ("cargo.bin", sha256(source))
    assert run.durable[0] > 0
    await run.end()
