"""Text that has made trouble as a name somewhere: more than five hundred of them, the same in each run.

Some are allowed. Whether a text is a name is `transfer.protocol.names`' to say; what is asked here is that none of them
does harm.
"""

from collections.abc import Iterator
from itertools import chain, product
from typing import Final

_TARGETS: Final = ["etc/passwd", "outside.txt", "data/catalog.db", "Windows/win.ini"]
_UP: Final = [
    "../", "..\\", "..//", "../\\", ".../", "....//", "..../", "....\\\\", "./../", ".//..//", "..;/", "..;x/",
    ".;/../", "%2e%2e/", "%2e%2e%2f", "..%2f", "..%5c", "%2e%2e%5c", "%252e%252e%252f", "..%252f",
    "%25252e%25252e%25252f", "..%c0%af", "%c0%ae%c0%ae/", "%c0%2e%c0%2e/", "..%c1%9c", "%e0%80%ae%e0%80%ae/",
    "%f0%80%80%ae%f0%80%80%ae/", "..%ef%bc%8f", "%uff0e%uff0e%u2215", "%u002e%u002e/", "..%00/", "..%0d/", "..%09/",
    "..\0/", "..\t/", "..\n/", ".. /", " ../", "..\u2044", "..\u2215", "..\uff0f", "..\uff3c", "..\u29f5",
    "\uff0e\uff0e/", "\u2024\u2024/", "\u2025/", "\ufe52\ufe52/", ".\u200b./", ".\u00ad./", ".\u0338./", "\u202e../",
    "..\udcaf", "\udcc0\udcaf../", "~/", "~root/", "$HOME/", "${HOME}/", "%HOME%/", "%APPDATA%\\", "/", "//", "///",
    "\\", "\\\\", "C:/", "C:\\", "C:", "c:../", "\\\\?\\C:\\", "\\\\.\\", "//server/share/", "\\\\server\\share\\",
    "file:///", "file:", "http://127.0.0.1/", "//127.0.0.1/", "/proc/self/root/", "/dev/fd/", "/./", "/../",
    "objects/../../", "a/../../", "a/b/../../../", "a/%2e%2e/%2e%2e/",
]  # fmt: skip
_DEVICES: Final = ["con", "PRN", "aux", "nul", "COM1", "com9", "lpt1", "COM¹", "LPT²", "conin$", "CONOUT$", "clock$"]
_COMMANDS: Final = [
    "`id`", "$(id)", "$(touch outside.txt)", "; touch outside.txt", "| touch outside.txt", "& touch outside.txt",
    "&& id", "|| id", "> outside.txt", "< /etc/passwd", "'; id; '", '"; id; "', "a\nid\n", "$IFS$9id", "${IFS}id",
    "{id,-u}", "*", "?", "[a-z]*", "!!", "-rf", "--help", "-", "--", "-o ProxyCommand=id", "@/etc/passwd", "@-",
    "#!/bin/sh", "\\$(id)", "%COMSPEC%", "=cmd|'/c calc'!A1", "+1+cmd|'/c calc'!A1", "@SUM(1+1)*cmd|'/c calc'!A1",
]  # fmt: skip
_FORMATS: Final = [
    "%s%s%s%s%n", "%x%x%x%x", "%d", "%(name)s", "%(levelname)s", "%n", "%p", "{}", "{0}", "{name}",
    "{0.__class__.__mro__}", "{event.__init__.__globals__}", "{{7*7}}", "${7*7}", "#{7*7}", "<%= 7*7 %>",
    "{% import os %}", "{{''.__class__}}", "*{7*7}", "@(7*7)", "${jndi:ldap://127.0.0.1/a}", "$${::-j}ndi",
    "__import__('os')", "[[${7*7}]]", "{php}id{/php}",
]  # fmt: skip
_STATEMENTS: Final = [
    "' OR '1'='1", "' OR 1=1 --", "'; DROP TABLE files; --", '" OR ""="', "') OR ('a'='a",
    "1; ATTACH DATABASE 'outside.db' AS x", "' UNION SELECT * FROM uploads --", "a' AND load_extension('x') --", "%",
    "_", "a%' ESCAPE '", "\\", "''", "';--", "/*", "*/", "--", "\x1a", "NULL", "' || (SELECT sqlite_version()) || '",
    "x'00'", "?1", ":name", "$name", "@name", "CAST(X'2e2e2f' AS TEXT)",
]  # fmt: skip
_MARKUP: Final = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"><svg onload=alert(1)>", "javascript:alert(1)",
    "data:text/html,x", "<!--", "]]>", "<![CDATA[x]]>", "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>",
    "&lt;b&gt;", "&#x2e;&#x2e;/", "--></script>", "a.html", "a.svg", "index.html", "desktop.ini", "autorun.inf",
    ".htaccess", "web.config", "robots.txt", "favicon.ico", "crossdomain.xml",
]  # fmt: skip
_SPLITTERS: Final = [
    "a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rX-Evil: 1", "a\r\n\r\n<html>", "a%0d%0aX-Evil:%201", "a\u560d\u560aX: 1",
    "a\u2028X: 1", "a\u0085X: 1", 'a"; filename=evil.html', 'a"; filename*=UTF-8\'\'evil.html', "a; filename=evil.html",
    "a;b", "a,b", 'a"', "a\\", "a'", "UTF-8''a", "=?UTF-8?Q?a?=", "a HTTP/1.1\r\nHost: evil", "a HTTP/1.1", "a\t",
    "\ta", "a\vb", "a\fb", "a#b", "a?b", "a?download=1", "a&b", "a=b", "a;jsessionid=1",
]  # fmt: skip
_LOG_LINES: Final = [
    "a\n2030-01-01 00:00:00 [error] forged", 'a\n{"level":"error","event":"forged"}', 'a","level":"error","x":"',
    "a level=error event=forged", "a\x1b[2J\x1b[1;31mforged", "a\x1b]0;forged\x07", "a\x9b31m", "a\x08\x08\x08forged",
    "a\rforged", "\x7f", "a\x00b", "\u001b[0m", "a\u2029forged", "Traceback (most recent call last):", "a=b c=d",
    "'a' \"b\"",
]  # fmt: skip
_OF_THE_STORE: Final = [
    "store.json", "catalog.db", "catalog.db-wal", "catalog.db-shm", "catalog.db-journal", "serve.lock", "objects",
    "objects/", "objects/0", "objects/00", "objects/a/" + "a" * 32, "quarantine", "quarantine/x", "towline.toml",
    "lost+found", "STORE.JSON", "Catalog.DB", ".store.json", "store.json.tmp", "objects\u2215a", "data", "data/objects",
    ".", "..", "...", "....", ". .", ".. ", " ..", "./a", "a/.", "a/..", "a//b", "a/",
]  # fmt: skip
_LOOK_ALIKES: Final = [
    "café", "cafe\u0301", "\u1e9b\u0323", "\u212bngstrom", "\u00c5ngstrom", "A\u030angstrom", "\ufb01le", "file",
    "FILE", "ﬁle", "\uff46ile", "straße", "STRASSE", "\u0130stanbul", "istanbul", "i\u0307stanbul", "\u03c3\u03c2",
    "\u03a3", "раураl", "paypal", "\u1f82", "\u0345\u0301", "e\u0301\u0323", "e\u0323\u0301", "\uac00", "\u1100\u1161",
    "\u2126", "\u03a9", "\u00b5", "\u03bc", "\u017f", "\u2460", "①", "½", "x²", "a\u0300" * 30, "\u0300", "\u0300a",
    "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324", "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\U0001f1e9\U0001f1ea",
]  # fmt: skip
_INVISIBLE: Final = [
    *map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C]),
    *map(chr, [*range(0x200B, 0x200E), 0x2060, 0xFEFF, 0xAD, 0x180E, *range(0x2061, 0x2065), 0x206A, 0xFFF9, 0xFFFB]),
    *map(chr, [0xE0001, 0xE0020, 0xE007F, 0xFE0F, 0xE0100, 0x034F, 0x115F, 0x3164, 0xFFA0, 0x2800]),
    *map(chr, [0x2028, 0x2029, 0x85, 0xA0, 0x1680, 0x2003, 0x202F, 0x205F, 0x3000]),
]
_NO_CHARACTERS: Final = [
    "\ud800", "\udfff", "\udc80", "\ud83d", "\udbff\ud800", "\ufffe", "\uffff", "\ufdd0", "\U0001fffe", "\U0010ffff",
    "\ue000", "\U000f0000", "\U00050000", "\ufffd",
]  # fmt: skip
_WIDTHS: Final = ["a", "é", "€", "😀"]
_LENGTHS: Final = [0, 1, 254, 255, 256, 1_023, 1_024, 1_025, 4_096]


def _all() -> Iterator[str]:
    yield from (up * (1 + number % 4) + _TARGETS[number % 4] for number, up in enumerate(_UP))
    yield from (up * 3 for up in _UP)
    yield from (shape.format(device) for device, shape in product(_DEVICES, ("{}", "a/{}.txt", "{} :a")))
    yield from chain(_COMMANDS, _FORMATS, _STATEMENTS, _MARKUP, _SPLITTERS, _LOG_LINES, _OF_THE_STORE)
    yield from chain(_LOOK_ALIKES, _NO_CHARACTERS)
    yield from (f"{chr(code)}a" for code in [*range(0x20), *range(0x7F, 0xA0)])
    yield from (shape.format(text) for text, shape in product(_INVISIBLE, ("a{}b.exe", "{}a")))
    yield from (
        f"a{end}" for end in (".", "..", " ", " .", ". ", "\u00a0", "::$DATA", ":stream", ":", "/ ", "/a.", "~1")
    )
    for width, length in product(_WIDTHS, _LENGTHS):
        yield width * (length // len(width.encode()))
        yield "/".join([width * (200 // len(width.encode()))] * (length // 201 + 1))
    yield "/".join("a" * 512)
    yield "/".join([".."] * 300)


HOSTILE_NAMES: Final = list(dict.fromkeys(_all()))
"""Each once."""
