"""Addresses of servers, as people write them."""

import pytest

from client.credentials import travels_in_the_clear
from client.errors import CannotConnect
from client.kept_tokens import server_key
from client.server_url import base_url, websocket_url


@pytest.mark.parametrize(
    ("server", "base"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("https://files.example.org/towline/?q#f", "https://files.example.org/towline"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://[fe80::1%eth0]:8000/x", "http://[fe80::1%eth0]:8000/x"),
        ("http://127.1:8000", "http://127.0.0.1:8000"),
        ("http://ann:pw@H.example:80", "http://ann:pw@h.example"),
        ("HTTPS://Bücher.example:443/ä b", "https://xn--bcher-kva.example/%C3%A4%20b"),
    ],
)
def test_a_server_is_written_as_a_url(server: str, base: str) -> None:
    assert base_url(server) == base
    assert websocket_url(server, "/events", "after=1") == f"ws{base.removeprefix('http')}/events?after=1"


@pytest.mark.parametrize(
    "server",
    [
        *("", "localhost", "127.0.0.1:8000", "ws://host", "file:///etc", "http://", "http://[::1", "http://h:99999"),
        *("http://a b", "http://999.0.0.1", "http://h:0", "http://h/\udc80", "http://h:x", "http://server.1"),
        *("http://evil\\@files.example.org", "http://h\\x", "http://h/a\\b", "http://[fe80::1%@evil]"),
    ],
)
def test_what_is_no_url_of_a_server_is_refused_with_an_example(server: str) -> None:
    for made_of in (base_url, websocket_url):
        with pytest.raises(CannotConnect, match="a server is written like http"):
            made_of(server)


def test_whose_token_is_shown_goes_by_the_host_that_is_connected_to() -> None:
    for server in ("http://127.1", "http://127.0.0.1:80/", "http://ann@127.0.0.1"):
        assert server_key(server) == "http://127.0.0.1"
        assert not travels_in_the_clear(server)
    for take in (server_key, travels_in_the_clear):
        with pytest.raises(CannotConnect):
            take("http://evil\\@127.0.0.1")
