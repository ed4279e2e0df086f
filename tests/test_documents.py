"""The documents say what is so: their commands, their Python and their transcripts run against real servers.

Fenced blocks are told apart by the words after the fence; tests/howto/ runs those of docs/howto/:

- `console`: each line after `$ ` runs in a shell, one after the other in one folder; what follows it is what it prints.
- `console server`: a server is started in that folder, or killed and started again.
- `console setup`: not run here; its `./run` commands must exist.
- `toml`: what may stand in `towline.toml`.
- `transcript`: what a client (C) sends on `/ws` and a server (S) answers; `---` is a break and a new connection.

`…` stands for any text, and alone on a line for any lines. The server in the documents is http://127.0.0.1:8000.
"""

import asyncio
import json
import os
import re
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Iterator, Mapping
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from pydantic import JsonValue
from pydantic.fields import FieldInfo
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.consoles import SHOWN_URL, Terminal
from tests.fences import FENCED, Block, blocks
from tests.server import CHECKOUT, running
from transfer import __version__
from transfer.access.jwt_settings import JwtSettings
from transfer.protocol import limits
from transfer.protocol.errors import ERRORS
from transfer.protocol.messages import ProxyHeader, ReadyMessage, UploadHeader
from transfer.settings import ProxySettings, Settings, load_settings

DOCUMENTS: Final = [CHECKOUT / "README.md", CHECKOUT / "CHANGELOG.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
README: Final = CHECKOUT / "README.md"
TUTORIAL: Final = CHECKOUT / "docs" / "tutorial.md"
PROTOCOL: Final = CHECKOUT / "docs" / "protocol.md"
SURVIVES: Final = CHECKOUT / "docs" / "survives.md"
BACKUPS: Final = CHECKOUT / "docs" / "howto" / "backups.md"
OPERATIONS: Final = CHECKOUT / "docs" / "operations.md"

_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^()\s]+)\)")
_HEADING = re.compile(r"^#+ (?P<title>.*)$", re.MULTILINE)


def by_name(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix()


# ------------------------------------------------------------------------------------------------------------- links


def links(document: Path) -> Iterator[str]:
    text = FENCED.sub("", document.read_text())
    return (match["target"] for match in _LINK.finditer(text) if "://" not in match["target"])


def anchors(document: Path) -> set[str]:
    """How GitHub calls the headings of a document."""
    titles = (match["title"].lower() for match in _HEADING.finditer(FENCED.sub("", document.read_text())))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_links_lead_to_what_is_there(document: Path) -> None:
    for link in links(document):
        path, _, anchor = link.partition("#")
        target = document if not path else document.parent / path
        assert target.exists(), f"{document.name} links to {link}"
        assert not anchor or anchor in anchors(target), f"{document.name} links to {link}"


def test_every_claim_of_survival_is_linked_to_a_test() -> None:
    table = SURVIVES.read_text().partition("| what it survives |")[2].partition("\n\n")[0]
    rows = table.splitlines()[2:]
    assert len(rows) >= 7
    for row in rows:
        assert re.search(r"\]\(\.\./tests/[a-z_/]+/test_[a-z_]+\.py\) \|$", row), row


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_each_run_command_exists(document: Path) -> None:
    loader = SourceFileLoader("run", str(CHECKOUT / "run"))
    spec = spec_from_loader("run", loader)
    assert spec is not None
    run = module_from_spec(spec)
    loader.exec_module(run)
    named = set(re.findall(r"\./run ([a-z]+)", document.read_text()))
    assert named <= set(run.COMMANDS)


def test_the_tutorial_shows_this_version() -> None:
    (setup,) = blocks(TUTORIAL, "console setup")
    assert f"towline {__version__}\n" in setup.text


# ---------------------------------------------------------------------------------------------------------- consoles


@pytest.fixture
async def terminal(tmp_path: Path) -> AsyncIterator[Terminal]:
    async with Terminal(tmp_path) as terminal:
        yield terminal


@pytest.mark.parametrize("document", [README, TUTORIAL, BACKUPS], ids=by_name)
async def test_what_the_consoles_show_is_what_happens(document: Path, terminal: Terminal) -> None:
    shown = blocks(document, "console", "console server")
    assert {block.info for block in shown} == {"console", "console server"}
    for block in shown:
        await terminal.type(block)


def test_no_block_has_a_word_after_its_fence_that_nobody_looks_at() -> None:
    known = {"", "sh", "console", "console server", "console setup", "python", "toml", "transcript"}
    known |= {"nginx", "caddy", "unit", "html"}  # of docs/howto/: tests/howto/ runs them
    for document in DOCUMENTS:
        infos = {match["info"] for match in FENCED.finditer(document.read_text())}
        assert {info for info in infos if not re.fullmatch(r"(sh|unit|js) [a-z-]+\.[a-z]+", info)} <= known, (
            document.name
        )


# ---------------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize("block", [block for document in DOCUMENTS for block in blocks(document, "toml")])
def test_the_settings_that_are_shown_are_taken(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "towline.toml").write_text(block.text)
    monkeypatch.chdir(tmp_path)
    assert load_settings().model_fields_set  # it has some, and all of them are known


# ------------------------------------------------------------------------------------------------------------ Python


async def test_the_readmes_python_uploads_and_downloads(tmp_path: Path) -> None:
    (snippet,) = blocks(README, "python")
    assert len(snippet.text.splitlines()) == 6
    (tmp_path / "cargo.bin").write_bytes(b"cargo" * 100_000)
    async with running(Settings(data=tmp_path / "data", port=0)) as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-c", snippet.text.replace(SHOWN_URL, url)),
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
            stdout=PIPE,
            stderr=STDOUT,
        )
        output, _ = await process.communicate()
    assert re.fullmatch(r"500000 sha256:[0-9a-f]{64} copy\.bin\n", output.decode())
    assert (tmp_path / "copy.bin").read_bytes() == (tmp_path / "cargo.bin").read_bytes()


# ------------------------------------------------------------------------------------------------------- transcripts


class Line(NamedTuple):
    """`C` sends `text`, `S` answers it; `-` is a new connection."""

    who: str
    text: str


def lines(block: Block) -> list[Line]:
    """The lines of a transcript; what is indented belongs to the line before."""
    joined = re.sub(r"\n +", "", block.text)
    return [Line(line[0], line.partition("→ ")[2]) for line in joined.splitlines()]


class Replay:
    """Sends what the client of a transcript sends, and sees that a server answers what the transcript says."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._meanings: dict[str, JsonValue] = {}
        """What ids stand for that are another one each time."""

    async def send(self, text: str) -> None:
        if (chunk := re.fullmatch(r"<(\d+) × ([0-9a-f]{2})>", text)) is not None:
            await self.connection.send(bytes.fromhex(chunk[2]) * int(chunk[1]))
            return
        message: dict[str, JsonValue] = json.loads(text)
        meant = {key: self._meanings.get(str(value), value) for key, value in message.items()}
        await self.connection.send(json.dumps(meant))

    async def expect(self, text: str) -> None:
        expected: dict[str, JsonValue] = json.loads(text)
        message: dict[str, JsonValue] = json.loads(await self.connection.recv())
        while message["type"] == "ack" and message["offset"] != expected.get("offset"):
            message = json.loads(await self.connection.recv())
        assert self._is_meant(expected, message), f"{json.dumps(message)}\ninstead of\n{text}"

    def _is_meant(self, expected: JsonValue, found: JsonValue, key: str = "") -> bool:
        if isinstance(expected, dict) and isinstance(found, dict):
            return expected.keys() == found.keys() and all(
                self._is_meant(value, found[key], key) for key, value in expected.items()
            )
        if isinstance(expected, str) and isinstance(found, str) and expected.endswith("…"):
            if key in ("upload_id", "lease"):
                return self._meanings.setdefault(expected, found) == found
            return found.startswith(expected.removesuffix("…"))
        return expected == found


def first_name(transcript: Block) -> str:
    return str(json.loads(lines(transcript)[0].text)["name"])


@pytest.mark.parametrize("transcript", blocks(PROTOCOL, "transcript"), ids=first_name)
async def test_a_server_answers_as_the_transcripts_say(transcript: Block, tmp_path: Path) -> None:
    async with running(Settings(data=tmp_path / "data", port=0)) as url:
        address = url.replace("http:", "ws:") + "/ws"
        protocols = [Subprotocol(limits.PROTOCOL)]
        async with connect(address, subprotocols=protocols, compression=None, proxy=None) as connection:
            replay = Replay(connection)
            for line in lines(transcript):
                if line.who == "-":
                    replay.connection.transport.abort()
                    replay.connection = await connect(address, subprotocols=protocols, compression=None, proxy=None)
                elif line.who == "C":
                    await replay.send(line.text)
                else:
                    await replay.expect(line.text)
        await replay.connection.close()


# ------------------------------------------------------------------------------------------------------------ tables


def first_cells(document: Path, heading: str) -> list[str]:
    """The names in the first column of the table with this heading."""
    table = document.read_text().partition(f"| {heading} |")[2].partition("\n\n")[0]
    cells = [row.split("|")[1] for row in table.splitlines()[2:]]
    return [name for cell in cells for name in re.findall(r"`([a-z_]+)`", cell)]


def test_the_protocol_lists_every_field_of_a_header_and_of_ready() -> None:
    common = {"type", "ref"}
    assert set(first_cells(PROTOCOL, "header field")) == UploadHeader.model_fields.keys() - common
    assert set(first_cells(PROTOCOL, "header field of `proxy`")) == ProxyHeader.model_fields.keys() - common
    assert set(first_cells(PROTOCOL, "field of `ready`")) == ReadyMessage.model_fields.keys() - common


def test_the_protocols_error_table_is_what_the_classes_say() -> None:
    table = PROTOCOL.read_text().partition("| code | when |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]
    for code, _, _, retryable, close in rows:
        error = ERRORS[code.strip("`")]
        assert (retryable == "yes", close) == (error.retryable, str(error.close_code or "")), code
    told = {row[0].strip("`") for row in rows}
    reserved = PROTOCOL.read_text().partition("\n## Reserved\n")[2]
    assert all(f"`{code}`" in reserved for code in ERRORS.keys() - told)


TLS: Final = ["tls_cert", "tls_key"]
PAGES: Final = ["allowed_hosts", "allowed_origins"]
PROXIED: Final = ["forwarded_peers"]
LIMITS: Final = [
    *("handshake_timeout", "max_head_bytes", "max_head_fields", "auth_timeout", "header_timeout", "message_timeout"),
    *("min_upload_rate", "rate_period", "max_connections", "max_connections_per_address"),
    *(
        "max_unfinished_uploads",
        "max_event_streams",
        "max_file_bytes",
        "receive_budget_bytes",
        "window",
        "pending_expiry",
    ),
]


RATES: Final = [
    *("connection_rate", "connection_burst", "header_rate", "header_burst"),
    *("request_rate", "request_burst", "rate_limit_bytes"),
]


def settings_table(heading: str, fields: Mapping[str, FieldInfo]) -> str:
    """A table of docs/operations.md, as the settings say it."""
    rows = [f"| `{name}` | {_default(field)} | {field.description} |\n" for name, field in fields.items()]
    return f"| {heading} | default | what it is |\n| --- | --- | --- |\n" + "".join(rows) + "\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "has to be set"
    if isinstance(field.default, dict):
        return ", ".join(f"`{key}`" for key in field.default)
    if isinstance(field.default, int | float):
        return f"{field.default:,.0f}"
    return f"`{field.default}`" if field.default else "none"


@pytest.mark.parametrize(
    "table",
    [
        *(
            settings_table("setting", {name: Settings.model_fields[name] for name in names})
            for names in (TLS, PAGES, PROXIED, LIMITS, RATES)
        ),
        settings_table("setting of `[proxy]`", ProxySettings.model_fields),
        settings_table("setting of `[jwt]`", JwtSettings.model_fields),
    ],
    ids=["tls", "pages", "proxied", "limits", "rates", "proxy", "jwt"],
)
def test_the_tables_for_operators_are_what_the_settings_say(table: str) -> None:
    assert table in OPERATIONS.read_text(), f"the table should be\n\n{table}"


def test_the_protocols_sizes_are_those_of_the_code() -> None:
    text = PROTOCOL.read_text()
    assert f"a frame of {limits.MAX_TEXT_FRAME_BYTES // limits.KIB} KiB ({limits.MAX_TEXT_FRAME_BYTES:,} bytes)" in text
    assert f"A message is at most {limits.MAX_HEADER_BYTES // limits.KIB} KiB" in text
    assert f"Beyond {limits.MAX_MESSAGE_BYTES // limits.MIB} MiB any message" in text
    assert f"accept text frames of {limits.MAX_REPLY_BYTES // limits.MIB} MiB" in text
    assert f"at most {limits.MAX_UNANSWERED} unanswered operations" in text
    assert f"a window of {limits.FIRST_WINDOW // limits.MIB} MiB" in text
    assert f"A file of at most {limits.SMALL_FILE_BYTES // limits.MIB} MiB" in text
