"""Has schemathesis ask a server everything that its `/openapi.json` describes, rightly and wrongly.

    ./run api [--examples N] [--seed N]

No answer has a status of 5xx, a type or a shape that is not described, and the server's log has nothing that an
operator would look into.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import client
from storage.granting import opened_grants
from storage.store import utc_now
from tests.packages import NotInstalled, installed
from tests.server import ServerProcess, alarms, http_client
from transfer.access.principal import SCOPES
from transfer.grants.issuing import new_token

FOLDER: Final = Path(__file__).parent
REQUIREMENTS: Final = FOLDER / "requirements.txt"
CONFIGURATION: Final = FOLDER / "schemathesis.toml"
EXAMPLES: Final = 20
SEED: Final = 1
FILES: Final = 20


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="./run api", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--examples", type=int, default=EXAMPLES, help=f"for each operation; {EXAMPLES} by default")
    parser.add_argument("--seed", type=int, default=SEED, help=f"for other examples; {SEED} by default")
    options = parser.parse_args(arguments)
    try:
        schemathesis = installed(REQUIREMENTS)
    except NotInstalled as failed:
        print(f"api: {failed}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="towline-api-") as folder:
        return asyncio.run(ask(Path(folder), schemathesis, options.examples, options.seed))


async def ask(folder: Path, schemathesis: Path, examples: int, seed: int) -> int:
    """Ask a server everything. Returns the exit code."""
    async with ServerProcess(folder / "data") as server:
        token, grant = new_token("api", SCOPES, now=utc_now())
        with opened_grants(folder / "data") as grants:
            grants.add(grant)
        await fill(server.url, folder, token.text)
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION)]
        command += ["run", f"{server.url}/openapi.json", "--max-examples", str(examples), "--seed", str(seed)]
        command += ["--generation-database", "none", "--warnings", "off", "--suppress-health-check", "all"]
        environment = os.environ | {"PYTHONPATH": str(schemathesis), "API_TOKEN": token.text}
        process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=environment)
        code = await process.wait()
        async with http_client(server.url) as http:
            (await http.get("/health/ready")).raise_for_status()
        for line in (found := alarms(server.log_lines)):
            print(f"api: the server logged {line}", file=sys.stderr)
        return int(code != 0 or bool(found))


async def fill(url: str, folder: Path, token: str) -> None:
    """Some files to be listed, downloaded, renamed and deleted."""
    (folder / "cargo.txt").write_text("cargo")
    async with client.connect(url, token=token) as connection:
        for number in range(FILES):
            await connection.upload(folder / "cargo.txt", name=f"{number}/cargo.txt")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
