"""Files that would run, or style a page, if a browser took them for what they say they are.

All of them report to a page that is theirs: `{home}` in a content is the URL that is asked for when it has run, and
`{script}` is a script that asks for it.
"""

import zlib
from dataclasses import dataclass
from typing import Final

_SCRIPT: Final = "try{fetch('{home}',{mode:'no-cors'})}catch(e){};try{self.pwned=1;document.title='pwned'}catch(e){};"
_HTML: Final = "<!doctype html><title>a</title><script>{script}</script>"
_XHTML: Final = '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>a</title></head><body><script>{script}</script></body></html>'
_SVG: Final = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"{attributes}>{content}</svg>'
_STYLE: Final = "@import url({home});"

DOCUMENT: Final = frozenset(["navigation", "iframe", "sandboxed iframe", "embed", "object", "popup", "blob"])
SNIFFED: Final = DOCUMENT - {"blob"}
OLD_SCRIPT: Final = frozenset(["script", "worker", "shared worker"])
SCRIPT: Final = OLD_SCRIPT | {"module", "module worker", "import", "service worker"}
STYLE: Final = frozenset(["style sheet", "import of a style sheet"])
NOTHING: Final = frozenset[str]()
"""Where nothing runs today, but did in some browser, or may."""


@dataclass(frozen=True)
class HostileFile:
    """What is uploaded, and in which places it runs where a server serves it as what it says it is."""

    name: str
    content_type: str | None
    template: str
    runs_in: frozenset[str]
    encoding: str = "latin-1"

    @property
    def tag(self) -> str:
        """A short name of its own, for URLs."""
        return f"{zlib.crc32(f'{self.name} {self.content_type}'.encode()):08x}"

    def content(self, home: str) -> bytes:
        """What it asks for at `home` when it runs."""
        text = self.template.replace("{script}", _SCRIPT).replace("{home}", f"{home}/{self.tag}")
        return text.encode(self.encoding)


def _svg(content: str, attributes: str = "") -> str:
    return _SVG.replace("{attributes}", attributes).replace("{content}", content)


_SVG_SCRIPT: Final = _svg("<script>{script}</script>")
_PDF: Final = (
    "%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R/OpenAction<</S/JavaScript"
    "/JS(app.launchURL\\('{home}',true\\))>>>>endobj\n"
    "2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\n"
    "trailer<</Root 1 0 R>>\n%%EOF\n"
)
_MHTML: Final = (
    'From: a\r\nMIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=x; type="text/html"\r\n\r\n'
    f"--x\r\nContent-Type: text/html\r\nContent-Location: http://a/\r\n\r\n{_HTML}\r\n--x--\r\n"
)
_PARTS: Final = (
    f"--x\r\nContent-Type: text/html\r\n\r\n{_HTML}\r\n--x\r\nContent-Type: text/html\r\n\r\n{_HTML}\r\n--x--\r\n"
)
_XSLT: Final = (
    '<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="#s"?>'
    "<!DOCTYPE d [<!ATTLIST xsl:stylesheet id ID #REQUIRED>]>"
    '<d><xsl:stylesheet id="s" version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:template match="/">'
    f"{_XHTML}</xsl:template></xsl:stylesheet></d>"
)
_WASM: Final = "\0asm\1\0\0\0"
_HTML_WITHOUT_SCRIPT: Final = (
    "<!doctype html><img src={home}><link rel=stylesheet href={home}><iframe src={home}></iframe>"
    "<meta http-equiv=refresh content='0;url={home}'>"
)
_SVG_AS_IMAGE: Final = _svg(
    '<image href="{home}" width="9" height="9"/><foreignObject width="9" height="9">'
    "<body xmlns='http://www.w3.org/1999/xhtml' onload=\"{script}\"/></foreignObject>"
)

HOSTILE_FILES: Final = [
    # Documents
    HostileFile("page.html", "text/html", _HTML, DOCUMENT),
    HostileFile("guessed.html", None, _HTML, DOCUMENT),
    HostileFile("guessed.htm", None, _HTML, DOCUMENT),
    HostileFile("page", "text/html", _HTML, DOCUMENT),
    HostileFile("no-extension", None, _HTML, NOTHING),
    HostileFile("capitals", "TEXT/HTML", _HTML, DOCUMENT),
    HostileFile("parameters", "text/html; x=y; charset=utf-8", _HTML, DOCUMENT),
    HostileFile("comma.html", "text/plain,text/html", _HTML, DOCUMENT),
    HostileFile("without-script.html", "text/html", _HTML_WITHOUT_SCRIPT, DOCUMENT),
    HostileFile("image.html", "text/html", '<img src=x onerror="{script}">', DOCUMENT),
    HostileFile(
        "base.html", "text/html", "<base href='{home}'><a autofocus onfocus=\"{script}\" href=x>a</a>", NOTHING
    ),
    HostileFile("utf-7.html", "text/html;charset=utf-7", "+ADw-script+AD4-{script}+ADw-/script+AD4-", NOTHING),
    HostileFile("utf-16.html", "text/html;charset=utf-16le", "\ufeff" + _HTML, DOCUMENT, "utf-16-le"),
    HostileFile("utf-16-mark.html", "text/html", "\ufeff" + _HTML, DOCUMENT, "utf-16-be"),
    HostileFile("iso-2022.html", "text/html;charset=iso-2022-jp", _HTML, DOCUMENT),
    HostileFile("page.xhtml", "application/xhtml+xml", _XHTML, DOCUMENT),
    HostileFile("guessed.xhtml", None, _XHTML, NOTHING),
    HostileFile("wap.xhtml", "application/vnd.wap.xhtml+xml", _XHTML, NOTHING),
    HostileFile("text.xml", "text/xml", _XHTML, DOCUMENT),
    HostileFile("application.xml", "application/xml", _XHTML, DOCUMENT),
    HostileFile("feed.rss", "application/rss+xml", _XHTML, frozenset(["blob"])),
    HostileFile("feed.atom", "application/atom+xml", _XHTML, frozenset(["blob"])),
    HostileFile("any.xml", "application/x-any+xml", _XHTML, NOTHING),
    HostileFile("formula.mml", "application/mathml+xml", _XHTML, NOTHING),
    HostileFile("transformed.xml", "text/xml", _XSLT, NOTHING),
    HostileFile("transform.xsl", "text/xsl", _XHTML, NOTHING),
    HostileFile("drawing.svg", "image/svg+xml", _SVG_SCRIPT, DOCUMENT),
    HostileFile("guessed.svg", None, _SVG_SCRIPT, DOCUMENT),
    HostileFile("loaded.svg", "image/svg+xml", _svg("", ' onload="{script}"'), DOCUMENT),
    HostileFile("foreign.svg", "image/svg+xml", _SVG_AS_IMAGE, DOCUMENT),
    HostileFile("drawing.xml", "text/xml", _SVG_SCRIPT, DOCUMENT),
    HostileFile("mail.mhtml", "multipart/related;boundary=x", _MHTML, NOTHING),
    HostileFile("mail.eml", "message/rfc822", _MHTML, NOTHING),
    HostileFile("parts", "multipart/x-mixed-replace;boundary=x", _PARTS, NOTHING),
    HostileFile("document.pdf", "application/pdf", _PDF, NOTHING),
    HostileFile("guessed.pdf", None, _PDF, NOTHING),
    HostileFile("pdf-and-page.pdf", "text/html", "%PDF-1.7\n" + _HTML, DOCUMENT),
    # Pages whose type says that they are none
    HostileFile("page.txt", "text/plain", _HTML, NOTHING),
    HostileFile("page.bin", "application/octet-stream", _HTML, NOTHING),
    HostileFile("page.any", "*/*", _HTML, SNIFFED),
    HostileFile("page.unknown", "unknown/unknown", _HTML, SNIFFED),
    HostileFile("page.unknown2", "application/unknown", _HTML, SNIFFED),
    HostileFile("page.png", "image/png", _HTML, NOTHING),
    HostileFile("page.json", "application/json", _HTML, NOTHING),
    HostileFile("page.jpg", "text/html", "\xff\xd8\xff\xe0\0\x10JFIF\0" + _HTML, DOCUMENT - {"embed"}),
    HostileFile("photo.jpg", "image/jpeg", "\xff\xd8\xff\xe0\0\x10JFIF\0" + _HTML, NOTHING),
    # Scripts
    HostileFile("script.js", "text/javascript", "{script}", SCRIPT),
    HostileFile("guessed.js", None, "{script}", SCRIPT),
    HostileFile("guessed.mjs", None, "{script}", SCRIPT),
    HostileFile("application.js", "application/javascript", "{script}", SCRIPT),
    HostileFile("old.js", "application/x-ecmascript", "{script}", SCRIPT),
    HostileFile("script.txt", "text/plain", "{script}", OLD_SCRIPT),
    HostileFile("script.bin", "application/octet-stream", "{script}", OLD_SCRIPT),
    HostileFile("script.png", "image/png", "{script}", NOTHING),
    HostileFile("script.html", "text/html", "{script}", OLD_SCRIPT),
    HostileFile("polyglot.gif", "image/gif", "GIF89a=1;{script}", NOTHING),
    HostileFile("polyglot.js", "text/javascript", "GIF89a=1;{script}", OLD_SCRIPT),
    HostileFile("padded.json", "application/json", "{script}", OLD_SCRIPT),
    HostileFile("caller.js", "text/javascript", "onfetch=()=>0;{script}", OLD_SCRIPT | {"service worker"}),
    HostileFile("component.htc", "text/x-component", "<script>{script}</script>", NOTHING),
    HostileFile("app.webmanifest", "application/manifest+json", '{"start_url":"{home}"}', NOTHING),
    HostileFile("code.wasm", "application/wasm", _WASM, NOTHING),
    HostileFile("movie.swf", "application/x-shockwave-flash", "FWS\6" + _HTML, NOTHING),
    HostileFile("applet.jar", "application/java-archive", "PK\3\4", NOTHING),
    HostileFile("app.hta", "application/hta", _HTML, NOTHING),
    HostileFile("shortcut.url", "application/internet-shortcut", "[InternetShortcut]\r\nURL={home}\r\n", NOTHING),
    HostileFile("stream", "text/event-stream", "data: {home}\n\n", NOTHING),
    HostileFile("cache.appcache", "text/cache-manifest", "CACHE MANIFEST\n{home}\n", NOTHING),
    # Style sheets
    HostileFile("style.css", "text/css", _STYLE, STYLE),
    HostileFile("guessed.css", None, _STYLE, STYLE),
    HostileFile("style.txt", "text/plain", _STYLE, NOTHING),
    HostileFile("style.html", "text/html", _STYLE, NOTHING),
]
