"""Links of documents lead somewhere on the site too, and a page that would fetch something from elsewhere is found."""

from pathlib import Path

import pytest
from manual.links import for_the_site, linked
from manual.outside import requests_outside

PAGES = {"docs/design.md": "design.md", "docs/howto/nginx.md": "howto/nginx.md", "run": "source/run.md"}


@pytest.mark.parametrize(
    ("document", "text", "expected"),
    [
        ("docs/design.md", "[run](../run)", "[run](source/run.md)"),
        ("docs/howto/nginx.md", "[run](../../run)", "[run](../source/run.md)"),
        ("docs/howto/nginx.md", "[why](../design.md#why)", "[why](../design.md#why)"),
        ("run", "[why](docs/design.md#why)", "[why](../design.md#why)"),
        ("docs/design.md", "[tests](../tests/)", "tests"),
        ("docs/design.md", "[wrong](nowhere.md)", "[wrong](nowhere.md)"),
        ("docs/design.md", "[here](#why) [RFC](https://example.org/)", "[here](#why) [RFC](https://example.org/)"),
        ("docs/design.md", "```console server\n$ [a](../run)\n```", "```console\n$ [a](../run)\n```"),
    ],
    ids=["file", "deeper", "document", "back", "folder", "wrong", "kept", "code"],
)
def test_a_link_leads_to_the_page_of_what_it_leads_to(document: str, text: str, expected: str) -> None:
    assert for_the_site(text, document, PAGES.get) == expected


def test_what_a_document_links_to_is_a_path_of_the_checkout() -> None:
    text = "[a](../run) [b](design.md#x) [c](https://example.org/)\n```\n[d](no)\n```\n[e](../tests/api/)"
    assert list(linked(text, "docs/security.md")) == ["run", "docs/design.md", "tests/api"]


@pytest.mark.parametrize(
    "markup",
    [
        '<script src="https://example.org/a.js"></script>',
        '<img src="//example.org/a.png">',
        '<link rel="stylesheet" href="http://example.org/a.css">',
    ],
)
def test_what_a_page_would_fetch_from_elsewhere_is_found(markup: str, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(f'<a href="https://example.org/">no</a><img src="a.png">{markup}')
    ((page, address),) = requests_outside(tmp_path)
    assert page.name == "a.html"
    assert "//example.org/a." in address


def test_what_a_style_sheet_would_fetch_from_elsewhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("a { background: url(a.png) } b { background: url('https://example.org/a.png') }")
    assert [address for _, address in requests_outside(tmp_path)] == ["https://example.org/a.png"]
