import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import evidence, secret_scan
from tests.evidence import Kind
from tests.server import CHECKOUT, http_client, running
from transfer import logs
from transfer.settings import Settings

TOKEN = f"towline_{'0a' * 6}_{'1b' * 32}"
LINK = f"/s/{'0a' * 6}_{'1b' * 32}"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJlLW9mLWl0"
UPLOAD_ID = "4f" * 16


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(evidence.FOLDER, str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("kind", ["log", "error", "command"])
@pytest.mark.parametrize("leak", [TOKEN, LINK, JWT], ids=["token", "link", "JWT"])
def test_what_looks_like_a_secret_is_found(folder: Path, kind: Kind, leak: str) -> None:
    evidence.keep(kind, f"something with {leak!r} in it")
    (finding,) = secret_scan.findings(folder)
    assert finding.kind == kind
    assert leak not in str(finding)


@pytest.mark.parametrize("kind", ["log", "error", "command"])
@pytest.mark.parametrize("leak", [UPLOAD_ID, "correct horse", 'with "quotes"'])
def test_what_a_test_was_told_is_found(folder: Path, kind: Kind, leak: str) -> None:
    evidence.keep(kind, json.dumps({"event": leak}))
    assert secret_scan.findings(folder) == []
    evidence.secret(leak)
    assert [finding.kind for finding in secret_scan.findings(folder)] == [kind]


def test_of_an_id_that_is_cut_nothing_is_found_nor_of_one_that_somebody_types(folder: Path) -> None:
    evidence.reply({"type": "ready", "upload_id": UPLOAD_ID})
    evidence.keep("log", UPLOAD_ID[:6] + "…")
    evidence.keep("command", json.dumps(["towline", "cancel", UPLOAD_ID]))
    assert secret_scan.findings(folder) == []


def test_a_link_is_typed_where_it_is_used_and_nowhere_else(folder: Path) -> None:
    evidence.secret(LINK.removeprefix("/s/"))
    evidence.keep("command", json.dumps(["towline", "download", f"http://127.0.0.1:80{LINK}"]))
    evidence.keep("command", json.dumps(["towline", "upload", "a", "--to", f"http://127.0.0.1:80{LINK}", "--json"]))
    assert secret_scan.findings(folder) == []
    evidence.keep("command", json.dumps(["towline", "ls", f"http://127.0.0.1:80{LINK}"]))
    assert secret_scan.findings(folder) != []


def test_logs_and_commands_of_this_process_are_kept(folder: Path) -> None:
    logs.logger("towline.test").error("kept", field="value")
    subprocess.run([sys.executable, "-c", ""], check=True)
    assert [json.loads(line).get("field") for line in evidence.found(folder, "log")] == ["value"]
    assert [sys.executable, "-c", ""] in map(json.loads, evidence.found(folder, "command"))


async def test_errors_over_http_are_kept(folder: Path, tmp_path: Path) -> None:
    async with running(Settings(data=tmp_path / "data")) as url, http_client(url) as http:
        await http.get("/files/nothing")
        await http.get("/files")
    (error,) = evidence.found(folder, "error")
    assert json.loads(error)["code"] == "not_found"


def test_where_little_was_looked_at_nothing_is_proven(folder: Path) -> None:
    assert len(secret_scan.too_little(folder)) == len(secret_scan.FEWEST)
    command = [sys.executable, "-m", "tests.secret_scan", str(folder)]
    assert subprocess.run(command, cwd=CHECKOUT, stdout=subprocess.DEVNULL, check=False).returncode == 1
