"""Writes `docs/reference/` from the code, and builds the documents as a site.

    ./run docs [--serve [ADDRESS]]

A link or an anchor that leads nowhere is an error, and so is a page that would ask another server for anything.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from manual.outside import requests_outside
from manual.reference import bring_up_to_date
from tests.packages import NotInstalled, installed

CHECKOUT: Final = Path(__file__).resolve().parents[2]
REQUIREMENTS: Final = Path(__file__).with_name("requirements.txt")
SITE: Final = CHECKOUT / "site"
ADDRESS: Final = "127.0.0.1:8001"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="./run docs", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--serve",
        nargs="?",
        const=ADDRESS,
        metavar="ADDRESS",
        help=f"show the site in a browser, by default at {ADDRESS}, and build it anew when a document changes",
    )
    options = parser.parse_args(arguments)
    for page in bring_up_to_date():
        print(f"wrote {page.relative_to(CHECKOUT)}")
    try:
        packages = installed(REQUIREMENTS)
    except NotInstalled as failed:
        print(f"docs: {failed}", file=sys.stderr)
        return 1
    if options.serve is not None:
        return mkdocs(packages, "serve", "--dev-addr", options.serve)
    return mkdocs(packages, "build", "--clean") or look_at(SITE)  # --quiet would keep `strict` from counting warnings


def mkdocs(packages: Path, *arguments: str) -> int:
    """Run mkdocs; returns its exit code."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(packages), str(CHECKOUT / "docs")]),
        "NO_MKDOCS_2_WARNING": "1",
    }
    return subprocess.run([sys.executable, "-m", "mkdocs", *arguments], cwd=CHECKOUT, env=environment).returncode


def look_at(site: Path) -> int:
    """Say where the site is, unless a page of it would ask another server for something."""
    found = sorted(requests_outside(site))
    for page, address in found:
        print(f"docs: {page.relative_to(site)} asks {address}", file=sys.stderr)
    if not found:
        print(f"{sum(1 for _ in site.rglob('*.html'))} pages: {(site / 'index.html').relative_to(CHECKOUT)}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
