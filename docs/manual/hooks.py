"""What mkdocs calls while it builds the site: the documents link to files that are none, and these become pages too."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from manual.links import DOCUMENTS, SOURCES, for_the_site, linked

_CHECKOUT: Final = Path(__file__).resolve().parents[2]
_UNSEARCHED: Final = "---\nsearch:\n  exclude: true\n---\n\n"
_LANGUAGES: Final = {".py": "python", ".mjs": "javascript", ".js": "javascript"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each file of the checkout that a document links to."""
    for path in sorted(set(_linked_files(files))):
        files.append(File.generated(config, f"{SOURCES}{path}.md", content=_as_page(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Have the links of a page lead where the site has what they lead to."""
    uri: str = page.file.src_uri
    document = uri.removeprefix(SOURCES).removesuffix(".md") if uri.startswith(SOURCES) else DOCUMENTS + uri

    def page_of(path: str) -> str | None:
        inside = path.removeprefix(DOCUMENTS) if path.startswith(DOCUMENTS) else f"{SOURCES}{path}.md"
        return inside if files.get_file_from_path(inside) is not None else None

    return for_the_site(markdown, document, page_of)


def _linked_files(files: Files) -> Iterator[str]:
    for file in files.documentation_pages():
        for path in linked(file.content_string, DOCUMENTS + file.src_uri):
            if not path.startswith(DOCUMENTS) and (_CHECKOUT / path).is_file():
                yield path


def _as_page(path: str) -> str:
    text = (_CHECKOUT / path).read_text()
    if path.endswith(".md"):
        return _UNSEARCHED + text
    fence = "~~~~"
    return f"{_UNSEARCHED}# {path}\n\n{fence}{_LANGUAGES.get(Path(path).suffix, 'text')}\n{text}{fence}\n"
