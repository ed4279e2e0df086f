"""How the operator writes upstreams, and what a client's text is compared with."""

import pytest
from pydantic import ValidationError

from transfer.upstreams import Upstream, WebSocketUrl, route_to_name, route_to_url

UPSTREAMS = {
    "feed": Upstream.model_validate("wss://feed.example.org/v1?all"),
    "inner": Upstream.model_validate({"url": "ws://10.0.0.5:9000/", "allow_private": True}),
    "echo": Upstream.model_validate("/echo"),
}


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("ws://a", WebSocketUrl("ws", "a", 80, "/")),
        ("wss://a", WebSocketUrl("wss", "a", 443, "/")),
        ("WSS://Feed.Example.org:443/V1?a=/b", WebSocketUrl("wss", "feed.example.org", 443, "/V1?a=/b")),
        ("ws://a?q", WebSocketUrl("ws", "a", 80, "/?q")),
        ("ws://[::1]:65535/%41", WebSocketUrl("ws", "[::1]", 65535, "/%41")),
    ],
)
def test_a_url_is_read_and_written(text: str, parsed: WebSocketUrl) -> None:
    assert WebSocketUrl.parse(text) == parsed
    assert WebSocketUrl.parse(str(parsed)) == parsed


def test_default_ports_are_left_out() -> None:
    assert str(WebSocketUrl.parse("wss://a:443")) == "wss://a/"
    assert str(WebSocketUrl.parse("ws://a:443/b")) == "ws://a:443/b"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "a",
            "//a",
            "http://a",
            "https://a",
            "wsss://a",
            "ws:/a",
            "ws:a",
            "ws//a",
            "ws:\\\\a",
            " ws://a",
            "ws://a ",
        ),
        *(
            "ws://",
            "ws:///a",
            "ws://:80",
            "ws://a:",
            "ws://a:0",
            "ws://a:080",
            "ws://a:65536",
            "ws://a:8a",
            "ws://a:-1",
        ),
        *(
            "ws://u@a",
            "ws://u:p@a",
            "ws://a@",
            "ws://a#",
            "ws://a/#b",
            "ws://a\\b",
            "ws://a/\\b",
            "ws://a/ b",
            "ws://a/b\n",
        ),
        *(
            "ws://a/\0",
            "ws://a\t",
            "ws://ä",
            "ws://a/ä",
            "ws://a/\u212a",
            "ws://\uff41",
            "ws://a\u3002b",
            "ws://[",
            "ws://[]",
        ),
        *(
            "ws://[::1",
            "ws://::1",
            "ws://[::1%25lo]",
            "ws://[::1%lo]",
            "ws://a,b",
            "ws://a;b",
            "ws://a%2eb",
            "ws://a/<>",
        ),
        "ws://a/" + "b" * 2048,
    ],
)
def test_what_is_no_url_or_could_be_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever the sentence
        WebSocketUrl.parse(text)
    assert route_to_url(UPSTREAMS, text) is None


def test_a_name_leads_to_its_url() -> None:
    route = route_to_name(UPSTREAMS, "feed")
    assert route is not None
    assert str(route.url) == "wss://feed.example.org/v1?all"
    assert route_to_name(UPSTREAMS, "Feed") is None


@pytest.mark.parametrize("text", ["wss://feed.example.org/other?x", "wss://FEED.example.org:443/other?x"])
def test_a_url_leads_to_any_path_of_an_entry(text: str) -> None:
    route = route_to_url(UPSTREAMS, text)
    assert route is not None
    assert str(route.url) == "wss://feed.example.org/other?x"
    assert route.upstream is UPSTREAMS["feed"]


@pytest.mark.parametrize(
    "text",
    ["ws://feed.example.org/", "wss://feed.example.org:444/", "wss://feed.example.org./", "wss://x.feed.example.org/"],
)
def test_another_scheme_host_or_port_leads_nowhere(text: str) -> None:
    assert route_to_url(UPSTREAMS, text) is None


def test_our_own_echo_is_reached_by_name_alone() -> None:
    route = route_to_name(UPSTREAMS, "echo")
    assert route is not None
    assert route.url is None


@pytest.mark.parametrize(
    "headers",
    [
        *({"Host": "a"}, {"upgrade": "b"}, {"Sec-WebSocket-Key": "c"}, {"Connection": "d"}, {"Content-Length": "0"}),
        *({"A B": "c"}, {"": "c"}, {"A": ""}, {"A": "b\r\nC: d"}, {"A": " b"}, {"A": "ä"}, {"A\n": "b"}),
    ],
)
def test_headers_that_cannot_be_sent_are_refused_without_their_values(headers: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Upstream.model_validate({"url": "ws://a", "headers": headers})


def test_secrets_are_not_shown() -> None:
    upstream = Upstream.model_validate({"url": "ws://a", "headers": {"Authorization": "Bearer s3cret"}})
    assert upstream.headers["Authorization"].get_secret_value() == "Bearer s3cret"
    assert "s3cret" not in repr(upstream) + str(upstream) + upstream.model_dump_json(include={"headers"})
