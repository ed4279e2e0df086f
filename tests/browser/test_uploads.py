"""Sending files from the page, in a real browser: dropped or chosen, many or large, whatever breaks."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, Route, expect

from tests.browser.test_pages import payload
from tests.end_to_end.conftest import Service
from tests.end_to_end.scene import MIB, content, sha256
from tests.end_to_end.test_page_client import hold_before
from tests.links import Link, no_fault
from tests.server import ServerProcess

pytestmark = pytest.mark.asyncio(loop_scope="session")

SIZE: Final = 6 * MIB + 789
CUT: Final = 3 * MIB
HOSTILE: Final = "<img src=x onerror=alert(1)>&amp;"
SOME: Final = re.compile("^(?!0 B)[0-9.]+ .B of ")
NO_PICKERS: Final = "delete window.showOpenFilePicker; delete window.showDirectoryPicker"
"""As in browsers that have no dialogue of theirs that gives handles: a page opens the one of an input."""
PICKER: Final = """
    window.showOpenFilePicker = async () => {
        const folder = await navigator.storage.getDirectory();
        const handle = await folder.getFileHandle("a.bin", {create: true});
        if ((await handle.getFile()).size === 0) {
            const bytes = await (await fetch("/files/source")).arrayBuffer();
            const written = await handle.createWritable();
            await written.write(bytes);
            await written.close();
        }
        return [handle];
    }
"""
"""In place of a dialogue that nobody can answer here: it gives a handle of a file that the browser itself keeps."""


@pytest_asyncio.fixture(loop_scope="session")
async def link(service: Service) -> AsyncIterator[Link]:
    """A way to the server that can be cut."""
    async with Link("127.0.0.1", service.port) as link:
        yield link


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.bin"
    path.write_bytes(content(SIZE))
    return path


async def enter(page: Page, url: str, *, pickers: str = NO_PICKERS) -> None:
    await page.add_init_script(pickers)
    await page.goto(url)
    await expect(page.locator("#uploads")).to_be_visible()


async def send(page: Page, *paths: Path) -> None:
    await page.locator("#pick").set_input_files(list(paths))


async def sent(page: Page, count: int = 1) -> None:
    """Wait until so many have arrived."""
    await expect(page.locator("#sent .done")).to_have_count(count)


async def held(page: Page, link: Link, *sources: Path, at: int = CUT) -> None:
    """Send files until so much has passed, and no more does; some of it is safe."""
    link.hold_after(upstream=at)
    await send(page, *sources)
    await link.until(lambda link: link.upstream_bytes >= at)
    await expect(row(page, sources[0].name).locator(".state")).to_contain_text(SOME)


def grow(source: Path) -> None:
    source.write_bytes(content(SIZE) + bytes(3 * MIB))


def row(page: Page, name: str) -> Locator:
    return page.locator("#sent li").filter(has_text=name)


def button(page: Page, label: str) -> Locator:
    return page.get_by_role("button", name=label)


async def drop(page: Page, *paths: Path) -> None:
    """As when they are dragged from the desktop, onto the end of the page."""
    session = await page.context.new_cdp_session(page)
    size = await page.evaluate("({x: innerWidth / 2, y: innerHeight - 5})")
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        await session.send("Input.dispatchDragEvent", {"type": kind, "data": data, **size})


# ----------------------------------------------------------------------------------------------------- what is taken


async def test_files_and_folders_are_dropped_anywhere(
    page: Page, service: Service, tmp_path: Path, source: Path
) -> None:
    folder = tmp_path / "folder"
    (folder / "within").mkdir(parents=True)
    (folder / "within" / "b.txt").write_bytes(b"cargo")
    (folder / "c.txt").write_bytes(b"more")
    await enter(page, service.url)
    await drop(page, folder, source)
    await sent(page, 3)
    assert sorted(await service.names()) == ["a.bin", "folder/c.txt", "folder/within/b.txt"]
    assert await service.stored("folder/within/b.txt") == b"cargo"


async def test_a_folder_is_chosen_with_all_that_is_in_it(page: Page, service: Service, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "within").mkdir(parents=True)
    (folder / "within" / "b.txt").write_bytes(b"cargo")
    await enter(page, service.url)
    await page.locator("#pick-folder").set_input_files(folder)
    await sent(page)
    assert await service.names() == ["folder/within/b.txt"]


async def test_names_are_text_also_before_the_server_has_seen_them(
    page: Page, service: Service, tmp_path: Path
) -> None:
    source = tmp_path / HOSTILE
    source.write_bytes(b"cargo")
    await enter(page, service.url)
    await send(page, source)
    await sent(page)
    await expect(page.locator("#sent .name")).to_have_text(HOSTILE)
    await expect(page.locator("#news")).to_have_text(f"{HOSTILE} has arrived")
    assert await page.locator("#sent img").count() == 0


async def test_a_thousand_small_files_arrive_and_each_has_its_row(page: Page, service: Service, tmp_path: Path) -> None:
    sources = [tmp_path / "many" / f"{number:04}" for number in range(1_000)]
    sources[0].parent.mkdir()
    for source in sources:
        source.write_bytes(source.name.encode())
    await enter(page, service.url)
    await send(page, *sources)
    await sent(page, 1_000)
    await expect(page.locator("#overall .sum")).to_contain_text("1,000 of 1,000 files")
    assert len(await service.names()) == 1_000
    await button(page, "Remove finished").click()
    await expect(page.locator("#sent li")).to_have_count(0)


async def test_two_different_files_of_one_name_both_arrive(
    page: Page, link: Link, service: Service, tmp_path: Path, source: Path
) -> None:
    await enter(page, link.url)
    await held(page, link, source)
    other = tmp_path / "other" / "a.bin"
    other.parent.mkdir()
    other.write_bytes(b"other")
    await send(page, other)
    await send(page, source)
    await expect(page.locator("#sent li")).to_have_count(2)
    link.thaw()
    await sent(page, 2)
    assert {await service.stored(name) for name in ("a.bin", "a (2).bin")} == {b"other", content(SIZE)}


# ------------------------------------------------------------------------------------------------- stopping, going on


async def test_paused_and_resumed_it_goes_on_from_the_durable_byte(
    page: Page, link: Link, service: Service, source: Path
) -> None:
    await enter(page, link.url)
    await held(page, link, source)
    await button(page, "Pause: a.bin").click()
    await expect(row(page, "a.bin").locator(".state")).to_contain_text("paused at")
    assert await row(page, "a.bin").locator("progress").get_attribute("max") == str(SIZE)
    link.cut()
    link.thaw()
    await button(page, "Resume: a.bin").click()
    await sent(page)
    assert link.upstream_bytes < SIZE + CUT
    assert await service.stored("a.bin") == content(SIZE)


async def test_cancelled_it_can_be_taken_back_or_is_gone(page: Page, service: Service) -> None:
    async with service.connected() as peer:
        await peer.leave_unfinished("a.bin", SIZE, content(CUT))
    await enter(page, service.url)
    await button(page, "Cancel: a.bin").click()
    await button(page, "Undo: a.bin").click()
    await expect(button(page, "Choose the file: a.bin")).to_be_visible()
    assert len(await service.unfinished()) == 1
    await button(page, "Cancel: a.bin").click()
    async with page.expect_response(lambda response: response.request.method == "DELETE"):
        await button(page, "Remove: a.bin").click()
    await expect(page.locator("#sent li")).to_have_count(0)
    assert await service.unfinished() == []
    assert await page.evaluate("document.activeElement.id") == "choose"


async def test_what_arrives_although_it_was_cancelled_says_so(page: Page, link: Link, service: Service) -> None:
    await enter(page, link.url)
    link.downstream.fault = hold_before(b'"complete"')
    await page.locator("#pick").set_input_files(payload("a", b"cargo"))
    await expect(page.locator("#table tbody th")).to_have_text(["a"])
    await button(page, "Cancel: a").click()
    state = row(page, "a").locator(".state")
    await expect(state).to_have_text("cancelled, unless it has arrived already")
    link.downstream.fault = no_fault
    link.thaw()
    await expect(state).to_contain_text("it arrived before it could be cancelled")


async def test_all_are_paused_and_resumed_together(page: Page, link: Link, tmp_path: Path, source: Path) -> None:
    other = tmp_path / "b.bin"
    other.write_bytes(content(SIZE, seed=1))
    await enter(page, link.url)
    await send(page, source, other)
    await link.until(lambda link: link.upstream_bytes >= CUT)
    link.freeze()
    await button(page, "Pause all").click()
    await expect(page.locator("#overall .sum")).to_contain_text("2 paused")
    link.cut()
    await button(page, "Resume all").click()
    await sent(page, 2)


async def test_a_restart_of_the_server_is_survived(page: Page, tmp_path: Path, source: Path) -> None:
    async with ServerProcess(tmp_path / "another") as server, Link("127.0.0.1", server.port) as link:
        await enter(page, link.url)
        await held(page, link, source)
        await server.kill()
        link.cut()
        await expect(row(page, "a.bin").locator(".state")).to_have_text("waiting for the network…")
        await server.restart()
        await sent(page)
        assert link.upstream_bytes < SIZE + CUT


async def test_who_listens_hears_how_it_gets_on(page: Page, link: Link, source: Path) -> None:
    await enter(page, link.url)
    await held(page, link, source)
    news = page.locator("#news")
    await expect(news).to_have_text("25 % of what is sent has arrived")
    link.refusing = True
    link.cut()
    await expect(news).to_have_text("sending waits for the network")
    link.thaw()
    link.refusing = False
    await expect(news).to_contain_text(re.compile("sending goes on|a.bin has arrived"))


async def test_where_nothing_gets_through_any_more_it_says_so_and_goes_on_by_itself(
    page: Page, link: Link, service: Service, source: Path
) -> None:
    await page.clock.install()
    await enter(page, link.url)
    await held(page, link, source)
    await page.clock.fast_forward(20_000)
    await expect(row(page, "a.bin").locator(".state")).to_have_text("waiting for the network…")
    for _ in range(2):  # it has seen that nothing moves, and has seen so for long
        await page.clock.fast_forward(50_000)
    await sent(page)
    assert link.connections > 1
    assert await service.stored("a.bin") == content(SIZE)


async def test_of_two_tabs_with_one_file_the_newcomer_sends_it_and_the_other_says_so(
    page: Page, link: Link, service: Service, source: Path
) -> None:
    await enter(page, link.url)
    await held(page, link, source)
    other = await page.context.new_page()
    await enter(other, service.url)
    await send(other, source)
    await sent(other)
    await expect(row(page, "a.bin").locator(".state")).to_have_text("taken over: another page or program sends it now")
    await expect(button(page, "Take it back: a.bin")).to_be_visible()
    assert await service.names() == ["a.bin"]


# ------------------------------------------------------------------------------------------------------ after a reload


async def test_after_a_reload_the_file_is_chosen_again_and_goes_on(
    page: Page, link: Link, service: Service, source: Path
) -> None:
    await enter(page, link.url)
    await held(page, link, source)
    await page.reload()
    await expect(row(page, "a.bin").locator(".state")).to_contain_text("choose the file again")
    async with page.expect_file_chooser() as choosing:
        await button(page, "Choose the file: a.bin").click()
    await (await choosing.value).set_files(source)
    await sent(page)
    assert link.upstream_bytes < SIZE + CUT
    assert sha256(await service.stored("a.bin")) == sha256(source)


async def test_what_somebody_sends_just_now_is_not_to_be_chosen_again(page: Page, service: Service) -> None:
    await page.clock.install()
    async with service.connected() as peer:
        ready = await peer.hold("a.bin", SIZE, content(SIZE)[:MIB])
        await enter(page, service.url)
        await expect(button(page, "Choose the file: a.bin")).to_be_visible()
        for end in (2 * MIB, 3 * MIB):
            await peer.send(content(SIZE)[end - MIB : end])
            await peer.hear("ack")
            async with page.expect_response("**/uploads"):
                await page.clock.fast_forward(3_000)
        await expect(page.locator("#sent li")).to_have_count(0)
        async with page.expect_response("**/uploads"):
            await page.clock.fast_forward(3_000)
        await expect(button(page, "Choose the file: a.bin")).to_be_visible()
        assert ready["offset"] == 0


async def test_all_are_cancelled_but_what_this_page_has_not_begun(
    page: Page, link: Link, service: Service, tmp_path: Path, source: Path
) -> None:
    async with service.connected() as peer:
        await peer.leave_unfinished("theirs", SIZE, content(CUT))
    other = tmp_path / "b.bin"
    other.write_bytes(content(SIZE, seed=1))
    await enter(page, link.url)
    await expect(button(page, "Choose the file: theirs")).to_be_visible()
    await send(page, source, other)
    await link.until(lambda link: link.upstream_bytes >= CUT)
    link.freeze()
    await button(page, "Cancel all").click()
    await expect(button(page, "Choose the file: theirs")).to_be_visible()
    link.cut()
    await expect(button(page, "Cancel all")).to_be_hidden()


async def test_a_file_that_could_not_be_read_can_be_chosen_once_more(
    page: Page, service: Service, source: Path
) -> None:
    async with service.connected() as peer:
        await peer.complete(content(SIZE), await peer.begin("source", SIZE))
    broken = PICKER.replace("return [handle]", "handle.getFile = fails; return [handle]")
    fails = "const fails = () => Promise.reject(new Error('it is on a stick that is not there'));"
    await enter(page, service.url, pickers=fails + broken)
    await button(page, "Choose files").click()
    await expect(row(page, "a.bin").locator(".state")).to_contain_text("cannot be read")
    await page.evaluate("delete window.showOpenFilePicker")
    await send(page, source)
    await sent(page)
    await expect(page.locator("#sent li")).to_have_count(1)
    assert await service.stored("a.bin") == content(SIZE)


async def test_when_the_file_is_chosen_again_and_has_grown_its_row_tells_the_new_size(
    page: Page, link: Link, source: Path
) -> None:
    await enter(page, link.url)
    await held(page, link, source)
    await button(page, "Pause: a.bin").click()
    grow(source)
    await send(page, source)
    await expect(row(page, "a.bin").locator(".size")).to_have_text("9.4 MB")
    await expect(row(page, "a.bin").locator("progress")).to_have_attribute("max", str(SIZE + 3 * MIB))


async def test_a_picker_that_fails_says_so(page: Page, service: Service) -> None:
    await enter(
        page, service.url, pickers="window.showOpenFilePicker = () => Promise.reject(new Error('no, not here'))"
    )
    await button(page, "Choose files").click()
    await expect(row(page, "What was chosen").locator(".state")).to_have_text("It cannot be read: no, not here.")
    await expect(page.locator("#news")).to_contain_text("no, not here")


async def test_another_file_does_not_take_the_place_of_the_one_that_was_begun(
    page: Page, service: Service, tmp_path: Path, source: Path
) -> None:
    async with service.connected() as peer:
        await peer.leave_unfinished("a.bin", SIZE, content(CUT))
    other = tmp_path / "other.bin"
    await enter(page, service.url)
    for wrong, said in (
        (b"short", "5 B, and the one that was begun"),
        (content(SIZE, seed=1), "not the file that was begun"),
    ):
        other.write_bytes(wrong)
        async with page.expect_file_chooser() as choosing:
            await button(page, "Choose the file: a.bin").click()
        await (await choosing.value).set_files(other)
        await expect(row(page, "a.bin").locator(".state")).to_contain_text(said)
    assert (await service.unfinished())[0]["offset"] == CUT
    await send(page, source)
    await sent(page)
    assert await service.stored("a.bin") == content(SIZE)


async def test_where_the_browser_keeps_a_way_to_the_file_one_click_goes_on(
    page: Page, link: Link, service: Service
) -> None:
    async with service.connected() as peer:
        await peer.complete(content(SIZE), await peer.begin("source", SIZE))
    await enter(page, link.url, pickers=PICKER)
    link.hold_after(upstream=CUT)
    await button(page, "Choose files").click()
    await link.until(lambda link: link.upstream_bytes >= CUT)
    await expect(row(page, "a.bin").locator(".state")).to_contain_text(SOME)
    await page.reload()
    await button(page, "Go on: a.bin").click()
    await sent(page)
    assert link.upstream_bytes < SIZE + CUT
    assert await service.stored("a.bin") == content(SIZE)


# ------------------------------------------------------------------------------------------------------------- and else


async def test_the_memory_of_the_tab_does_not_grow_with_the_file(page: Page, service: Service, tmp_path: Path) -> None:
    source = tmp_path / "large"
    with source.open("wb") as file:
        file.truncate(2 << 30)
    await enter(page, service.url)
    await send(page, source)
    arrived = f"() => document.querySelector('#sent progress')?.value > {768 * MIB}"
    await page.wait_for_function(arrived, timeout=300_000)  # more than it may have, and less than half of the time
    assert await most_memory(page) < 700 * MIB


async def most_memory(page: Page) -> int:
    """Bytes that one of the browser's processes for pages, and for the network, had at most."""
    assert page.context.browser is not None
    session = await page.context.browser.new_browser_cdp_session()
    processes = (await session.send("SystemInfo.getProcessInfo"))["processInfo"]
    return max(peak_of(process["id"]) for process in processes if process["type"] != "browser")


def peak_of(pid: int) -> int:
    """The most memory that a process had, in bytes: VmHWM of proc(5)."""
    (peak,) = re.findall(r"VmHWM:\s+([0-9]+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(peak) * 1024


async def test_files_are_sent_paused_and_removed_by_keyboard_alone(page: Page, link: Link, source: Path) -> None:
    page.on("filechooser", lambda _: None)  # from now on Chromium hands them over: a key is quicker than telling it so
    await enter(page, link.url)

    async def reach(label: str) -> None:
        while await page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.textContent") != label:
            await page.keyboard.press("Tab")

    await reach("Choose files")
    link.hold_after(upstream=CUT)
    async with page.expect_file_chooser() as choosing:
        await page.keyboard.press("Enter")
    await (await choosing.value).set_files(source)
    await link.until(lambda link: link.upstream_bytes >= CUT)
    await reach("Pause: a.bin")
    await page.keyboard.press("Space")
    await expect(button(page, "Resume: a.bin")).to_be_focused()
    link.thaw()
    await page.keyboard.press("Space")
    await sent(page)
    await reach("Remove: a.bin")
    await page.keyboard.press("Enter")
    await expect(button(page, "Choose files")).to_be_focused()
    await expect(page.locator("#sent li")).to_have_count(0)


async def test_checksums_wait_until_their_code_comes(page: Page, service: Service, source: Path) -> None:
    refused: list[str] = []

    async def refuse_once(route: Route) -> None:
        if route.request.url in refused:
            await route.continue_()
        else:
            refused.append(route.request.url)
            await route.abort()

    await page.context.route(re.compile("/web/(hash-worker|checksums).js"), refuse_once)
    await enter(page, service.url)
    await send(page, source)
    await sent(page)
    assert len(refused) == 2


async def test_other_pages_import_the_client_and_upload(page: Page, service: Service) -> None:
    await page.goto(service.url)
    entry = await page.evaluate(
        """async () => {
            const { upload } = await import("/client.js");
            return upload(new File(["cargo"], "from-a-script.txt"), { metadata: { by: "me" } });
        }"""
    )
    assert (entry["name"], entry["metadata"]) == ("from-a-script.txt", {"by": "me"})
    assert await service.stored("from-a-script.txt") == b"cargo"
