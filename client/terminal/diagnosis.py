"""What is to be thought of what `towline doctor` has seen: for each thing a verdict, a sentence, and what mends it.

Pure: it looks at nothing itself. A problem is what costs people transfers; a note is what they may want to know.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import JsonValue

from client.http import WhoAmI
from client.terminal import mending
from client.terminal.exchange import Exchange
from client.terminal.mending import Mending
from client.terminal.probes import Early, Idle, Sizes, Speed
from client.terminal.wording import Facts, size_words
from transfer.protocol.errors import TransferError
from transfer.protocol.limits import PROTOCOL

Verdict = Literal["ok", "note", "problem", "unknown"]
CLOCK_SECONDS: Final = 60.0
"""Tokens and links that end by the clock are off by as much."""
QUOTA_SHARE: Final = 0.95
CERTIFICATE_DAYS: Final = 14
SLOW_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about one thing. `facts` are for machines."""

    check: str
    verdict: Verdict
    sentence: str
    mending: Mending = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)

    @property
    def told(self) -> Facts:
        """All of it, for machines."""
        told: dict[str, JsonValue] = {"check": self.check, "verdict": self.verdict, "message": self.sentence}
        told |= self.facts
        if self.mending:
            told["mending"] = {kind: list(lines) for kind, lines in self.mending.items()}
        return told


# -------------------------------------------------------------------------------------------------- the way, by HTTP


def of_address(server: str, seen: Exchange) -> Finding:
    """That somebody answers there, and how long it took to get through to them."""
    taken = seen.connected_after * 1e3
    facts: Facts = {"connect_ms": round(taken, 3), "tls": seen.tls}
    return Finding("address", "ok", f"{urlsplit(server).netloc} answers, connected in {taken:.3g} ms", facts=facts)


def of_tls(server: str, seen: Exchange, now: datetime) -> Finding:
    """Whether others on the way read along. On this machine there are none."""
    if seen.tls is None:
        if _is_here(server):
            return Finding("tls", "ok", "none, and none needed: the server is on this machine")
        sentence = "none: everybody on the way can read files and tokens"
        return Finding("tls", "note", sentence, mending.TLS)
    if seen.valid_until is None:
        return Finding("tls", "ok", f"{seen.tls}, the certificate is trusted")
    days = (seen.valid_until - now).days
    facts: Facts = {"valid_until": seen.valid_until.isoformat()}
    if days < CERTIFICATE_DAYS:
        return Finding("tls", "problem", f"{seen.tls}, but the certificate ends in {days} days: renew it", facts=facts)
    return Finding("tls", "ok", f"{seen.tls}, the certificate is trusted, for {days} days more", facts=facts)


def of_server(seen: Exchange) -> Finding:
    """Whether it is a Towline server that answers, by its `/health/live`."""
    if seen.status == 200 and _text_of(seen.body, "status") == "live":
        return Finding("server", "ok", "it is a Towline server")
    facts: Facts = {"status": seen.status}
    if seen.status in (502, 503, 504):
        sentence = f"a proxy answers HTTP {seen.status}: it does not reach the server behind it"
        return Finding("server", "problem", sentence, mending.LOST_SERVER, facts)
    if 300 <= seen.status < 400:
        sentence = f"it redirects to {seen.headers.get('location', 'nowhere')}: give that as the server"
        return Finding("server", "problem", sentence, facts=facts)
    if (said := _text_of(seen.body, "detail")) is not None:
        return Finding("server", "problem", f"it refuses to be asked (HTTP {seen.status}): {said}", facts=facts)
    sentence = f"no Towline server: GET /health/live is answered with HTTP {seen.status}; check host, port and path"
    return Finding("server", "problem", sentence, facts=facts)


def of_between(seen: Exchange) -> Finding:
    """Who else has handled the answer. Towline itself has neither of these headers."""
    names = [value for name in ("server", "via") if (value := seen.headers.get(name))]
    names += ["Cloudflare"] if "cf-ray" in seen.headers and "cloudflare" not in names else []
    facts: Facts = {"named": list(names)}
    if not names:
        return Finding("between", "ok", "nothing between here and the server gives its name", facts=facts)
    return Finding("between", "ok", f"a proxy is in between: {', '.join(names)}", facts=facts)


def of_clock(seen: Exchange) -> Finding:
    """How far the two clocks are apart, as far as `Date` tells: it has whole seconds."""
    try:
        theirs = parsedate_to_datetime(seen.headers.get("date", ""))
    except ValueError:
        return Finding("clock", "unknown", "the answer has no Date to compare clocks by")
    offset = (theirs.replace(tzinfo=theirs.tzinfo or UTC) - seen.asked_at).total_seconds() + 0.5
    facts: Facts = {"server_ahead_seconds": round(offset, 1)}
    if abs(offset) <= CLOCK_SECONDS:
        return Finding("clock", "ok", f"the same as here, to {max(1.0, abs(offset)):.0f} s", facts=facts)
    way = "ahead of" if offset > 0 else "behind"
    advice = "tokens and links end at the wrong time: let NTP set both (timedatectl set-ntp true)"
    return Finding("clock", "problem", f"the server's is {abs(offset):.0f} s {way} this one: {advice}", facts=facts)


def of_disk(seen: Exchange) -> Finding:
    """What the server says of its store, by `/health/ready`."""
    facts: Facts = {"status": seen.status}
    if seen.status == 200 and _text_of(seen.body, "status") == "ready":
        return Finding("disk", "ok", "the server can write", facts=facts)
    if (said := _text_of(seen.body, "detail")) is not None:
        sentence = f"{said}: see the server's log; what was acknowledged is safe"
        return Finding("disk", "problem", sentence, facts=facts)
    return Finding("disk", "unknown", f"GET /health/ready is answered with HTTP {seen.status}", facts=facts)


def of_upgrade(seen: Exchange) -> Finding:
    """Whether a WebSocket can be opened, by what an upgrade of `/ws` is answered with."""
    facts: Facts = {"status": seen.status}
    if seen.status == 101:
        if seen.headers.get("sec-websocket-protocol") == PROTOCOL:
            return Finding("upgrade", "ok", f"a WebSocket opens, and speaks {PROTOCOL}", facts=facts)
        sentence = f"a WebSocket opens, but {PROTOCOL} was not agreed on: something takes Sec-WebSocket-Protocol out"
        return Finding("upgrade", "problem", sentence, mending.UPGRADE, facts)
    code, said = _text_of(seen.body, "code"), _text_of(seen.body, "detail")
    if code is not None and said is not None and seen.status not in (400, 404, 426):
        return Finding("upgrade", "problem", f"the server refuses it (HTTP {seen.status}): {said}", facts=facts)
    sentence = f"HTTP {seen.status} instead of 101: what is in between does not pass WebSockets on"
    return Finding("upgrade", "problem", sentence, mending.UPGRADE, facts)


# --------------------------------------------------------------------------------------------- the way, by WebSocket


def of_access(caller: WhoAmI) -> Finding:
    """What the caller may do, and how much room is left to them."""
    facts: Facts = caller.model_dump(mode="json")
    who = f"{caller.subject} may {', '.join(caller.scopes) or 'nothing'}"
    if caller.quota is None or caller.used is None:
        return Finding("access", "ok", who, facts=facts)
    room = f"{size_words(caller.used)} of a quota of {size_words(caller.quota)} are used"
    if caller.used >= QUOTA_SHARE * caller.quota:
        advice = "`towline rm` makes room, or ask the server's operator for more"
        return Finding("access", "problem", f"{who}; {room}: {advice}", facts=facts)
    return Finding("access", "ok", f"{who}; {room}", facts=facts)


def of_round_trips(seconds: list[float]) -> Finding:
    """How far away the server is, by texts that it sent back."""
    least, most = min(seconds) * 1e3, max(seconds) * 1e3
    facts: Facts = {"min_ms": round(least, 3), "max_ms": round(most, 3), "count": len(seconds)}
    sentence = f"{least:.3g} ms at best, {most:.3g} ms at worst, of {len(seconds)}"
    if least > SLOW_SECONDS * 1e3:
        return Finding("round trip", "problem", f"{sentence}: that is a loaded link or server", facts=facts)
    return Finding("round trip", "ok", sentence, facts=facts)


def of_early(early: Early) -> Finding:
    """Whether a small message gets through by itself."""
    facts: Facts = {"seconds": early.seconds, "held_bytes": early.held_bytes}
    if early.held_bytes is None and early.seconds is not None:
        return Finding(
            "buffering", "ok", f"none: a small message is back after {early.seconds * 1e3:.3g} ms", facts=facts
        )
    if early.held_bytes is not None:
        sentence = f"something keeps messages until {size_words(early.held_bytes)} have gathered: acks come late"
        return Finding("buffering", "problem", sentence, mending.BUFFERING, facts)
    sentence = "messages do not come back at all, though the WebSocket is open"
    return Finding("buffering", "problem", sentence, mending.BUFFERING, facts)


def of_full_disk(refused: TransferError) -> Finding:
    """That the server's store takes nothing, in its own words."""
    advice = "`towline rm` makes room, or whoever runs the server does"
    return Finding("upload", "problem", f"{refused}: {advice}", facts={"code": refused.code, **refused.facts})


def of_events(status: int, seconds: float | None) -> Finding:
    """Whether the stream of events begins at once, by when the first of it came."""
    facts: Facts = {"status": status, "seconds": seconds}
    if status != 200:
        return Finding("events", "unknown", f"the stream of events is not to be had here (HTTP {status})", facts=facts)
    if seconds is None:
        sentence = "something keeps answers until many bytes of them have gathered: what happens is told late"
        return Finding("events", "problem", sentence, mending.BUFFERING, facts)
    return Finding("events", "ok", f"the stream of events begins after {seconds * 1e3:.3g} ms", facts=facts)


def of_no_echo(reason: str) -> Finding:
    """That no WebSocket opens at `/echo`: `/proxy/…` and `/events` are most likely not passed on either."""
    answer = reason.partition(": ")[0]
    sentence = f"a WebSocket opens at /ws, but not at /echo ({answer}): pass them on at every path, not at /ws alone"
    return Finding("echo", "problem", sentence, mending.UPGRADE)


def of_sizes(sizes: Sizes) -> Finding:
    """Whether the messages that uploads are made of get through."""
    facts: Facts = {"passed_bytes": sizes.passed, "failed_bytes": sizes.failed, "ended": sizes.ended}
    if sizes.failed is None:
        return Finding("message size", "ok", f"messages of {size_words(sizes.passed)} get through", facts=facts)
    what = f"up to {size_words(sizes.passed)} get through" if sizes.passed else "none get through"
    if not sizes.ended:
        slow = (
            f"of messages, {what} in time, {size_words(sizes.failed)} do not: a slow link, or something that holds them"
        )
        return Finding("message size", "note", slow, facts=facts)
    sentence = f"of messages, {what}; {size_words(sizes.failed)} do not ({sizes.ended})"
    chunk_size = max(1_024, sizes.passed)
    return Finding("message size", "problem", sentence, mending.filled(mending.SIZES, chunk_size=chunk_size), facts)


def of_speed(speed: Speed) -> Finding:
    """How many bytes a second move one way."""
    facts: Facts = {"bytes_per_second": round(speed.rate), "measured_by": speed.measured_by}
    bound = "at least " if speed.is_bound else ""
    sentence = f"{bound}{size_words(int(speed.rate))}/s, by {speed.measured_by}"
    return Finding(speed.check, "ok", sentence, facts=facts)


def of_idle(idle: Idle) -> Finding:
    """Whether a silent connection stays."""
    facts: Facts = {"seconds": idle.seconds, "ended_after": idle.ended_after}
    if idle.ended_after is None:
        return Finding("idle", "ok", f"a silent connection is still there after {idle.seconds:g} s", facts=facts)
    sentence = f"a silent connection is cut after {idle.ended_after:.1f} s ({idle.ended})"
    return Finding("idle", "problem", sentence, mending.IDLE, facts)


def unknown(check: str, why: str) -> Finding:
    """What could not be looked at."""
    return Finding(check, "unknown", why)


def _is_here(server: str) -> bool:
    host = urlsplit(server).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _text_of(body: bytes, field_name: str) -> str | None:
    """A text in a JSON object; None where it is no such object."""
    try:
        found: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    value = found.get(field_name) if isinstance(found, Mapping) else None
    return value if isinstance(value, str) else None
