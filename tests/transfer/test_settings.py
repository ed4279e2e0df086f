import re
from pathlib import Path

import pytest

from transfer.access.jwt_settings import JwtSettings
from transfer.settings import ProxySettings, Settings, WrongSetting, load_settings
from transfer.upstreams import Upstream


@pytest.fixture(autouse=True)
def _a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_without_anything_it_listens_where_only_this_machine_gets() -> None:
    settings = load_settings()
    assert (settings.host, settings.port, settings.insecure) == ("127.0.0.1", 8000, False)
    assert settings.data == Path("towline-data")
    assert settings.is_loopback


def test_flags_count_more_than_variables_and_variables_more_than_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("towline.toml").write_text('port = 1\nhost = "::1"\nwindow = 3')
    monkeypatch.setenv("TOWLINE_PORT", "4")
    monkeypatch.setenv("TOWLINE_HOST", "127.0.0.2")
    settings = load_settings(port=5)
    assert (settings.port, settings.host, settings.window) == (5, "127.0.0.2", 3)


def test_every_setting_has_a_description() -> None:
    for model in (Settings, ProxySettings, Upstream, JwtSettings):
        assert all(field.description for field in model.model_fields.values())


@pytest.mark.parametrize("text", ["http://localhost:3000,https://Files.example.org:443", '["http://localhost:3000"]'])
def test_origins_are_separated_by_commas_in_a_variable(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOWLINE_ALLOWED_ORIGINS", text)
    if text.startswith("["):
        with pytest.raises(WrongSetting, match="an origin is written like"):
            load_settings()
    else:
        assert load_settings().allowed_origins == ("http://localhost:3000", "https://files.example.org")


def test_hosts_and_peers_are_separated_by_commas_in_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOWLINE_ALLOWED_HOSTS", "Files.example.org, *.example.net")
    monkeypatch.setenv("TOWLINE_FORWARDED_PEERS", "127.0.0.1,10.0.0.0/8, ::1")
    settings = load_settings()
    assert settings.allowed_hosts == ("files.example.org", "*.example.net")
    assert settings.forwarded_peers == ("127.0.0.1/32", "10.0.0.0/8", "::1/128")


def test_origins_are_a_list_in_the_file() -> None:
    Path("towline.toml").write_text('allowed_origins = ["http://localhost:3000"]')
    assert load_settings().allowed_origins == ("http://localhost:3000",)


JWT = "[jwt]\nissuer = 'a'\naudience = 'b'\nalgorithm = 'ES256'\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("port = 70000", "port = 70000 in towline.toml: input should be less than or equal to 65535"),
        ("prot = 80", "prot in towline.toml: there is no such setting; did you mean port?"),
        ("[server]\nport = 80", "server in towline.toml: there is no such setting"),
        ('window = "much"', "window = 'much' in towline.toml: input should be a valid integer"),
        ('allowed_origins = ["null"]', "allowed_origins = 'null' in towline.toml: an origin is written like"),
        ('allowed_hosts = ["*"]', "allowed_hosts = '*' in towline.toml: a host is written like files.example.org"),
        ('forwarded_peers = ["proxy"]', "forwarded_peers = 'proxy' in towline.toml: a peer is an address like"),
        (
            'forwarded_peers = ["10.0.0.1/8"]',
            "forwarded_peers = '10.0.0.1/8' in towline.toml: a peer is an address like",
        ),
        ("[proxy]\nidle_timout = 1", "proxy.idle_timout in towline.toml: there is no such setting; did you mean idle"),
        ("[proxy]\nopen_timeout = 0", "proxy.open_timeout = 0 in towline.toml: input should be greater than 0"),
        (
            "[proxy]\nopen_timeout = 10",
            "proxy in towline.toml: open_timeout = 10 has to be less than handshake_timeout = 10",
        ),
        (
            "handshake_timeout = 2.5\n[proxy]\nmax_tunnels = 1",
            "proxy in towline.toml: open_timeout = 5 has to be less than handshake_timeout = 2.5",
        ),
        ("handshake_timeout = 0\n[proxy]", "handshake_timeout = 0 in towline.toml: input should be greater than 0"),
        (
            '[proxy.upstreams]\nfeed = "https://a"',
            "proxy.upstreams.feed.url in towline.toml: a WebSocket URL is written like wss://",
        ),
        ("[proxy.upstreams]\nfeed = 3", "proxy.upstreams.feed in towline.toml: input should be"),
        ('[proxy.upstreams]\n"A b" = "ws://a"', "proxy.upstreams in towline.toml: 'A b' is no name: small letters"),
        (
            '[proxy.upstreams.a]\nurl = "ws://a"\nheaders = { Host = "secret" }',
            "proxy.upstreams.a.headers in towline.toml: Host belongs to the handshake",
        ),
        ("[jwt]\nissuer = 'a'\naudience = 'b'", "jwt.algorithm in towline.toml: field required"),
        (JWT, "jwt in towline.toml: exactly one of key_file and jwks_file is needed"),
        (
            f"{JWT}key_file = 'a'\njwks_file = 'b'",
            "jwt in towline.toml: exactly one of key_file and jwks_file is needed",
        ),
        (
            f"{JWT}key_file = 'a'\nprefix = 'a/'\nprefix_claim = 'b'",
            "jwt in towline.toml: prefix and prefix_claim cannot both be set",
        ),
        (
            f"{JWT}key_file = 'a'\nprefix = 'a'",
            "jwt.prefix = 'a' in towline.toml: prefix without a slash at its end: 'a'",
        ),
        (f"{JWT}key_file = 'a'\nleeway = 301", "jwt.leeway = 301 in towline.toml: input should be less than or equal"),
        (f"{JWT}key_file = 'a'\nsubject_claim = ''", "jwt.subject_claim = '' in towline.toml: string should have"),
        (f"{JWT}key_file = 'a'\nscopes = {{ a = 'root' }}", "jwt.scopes.a = 'root' in towline.toml: input should be"),
        (f"{JWT}key_fle = 'secret'", "jwt.key_fle in towline.toml: there is no such setting; did you mean key_file?"),
        (
            f"{JWT}key_file = '-----BEGIN RSA PRIVATE KEY-----'",
            "jwt.key_file in towline.toml: the path of a file is meant here, not what is in it",
        ),
        (
            "[jwt]\nissuer = 'a'\naudience = 'b'\nkey_file = 'c'\nalgorithm = 'none'",
            "jwt.algorithm = 'none' in towline.toml: input should be 'RS256', ",
        ),
        ("port = ", "towline.toml is not TOML: "),
        ("\xff", "towline.toml is not TOML: "),
    ],
)
def test_a_wrong_file_is_told_with_key_value_and_source(text: str, sentence: str) -> None:
    Path("towline.toml").write_text(text, "latin-1")
    with pytest.raises(WrongSetting, match=f"^{re.escape(sentence)}") as refused:
        load_settings()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('proxy = "wss://me:s3cret@a/"', "proxy"),
        ('proxy = ["s3cret"]', "proxy"),
        ('proxy.upstreams = "s3cret"', "proxy.upstreams"),
        ('proxy.upstream.a = "wss://me:s3cret@a/"', "proxy.upstream"),
        ('proxy.upstreams.a = ["s3cret"]', "proxy.upstreams.a"),
        ('proxy.upstreams.a = "wss://me:s3cret@a/"', "proxy.upstreams.a.url"),
        ('proxy.upstreams.a = { url = "ws://a", token = "s3cret" }', "proxy.upstreams.a.token"),
        ('proxy.upstreams.a = { url = "ws://a", allow_private = "s3cret" }', "proxy.upstreams.a.allow_private"),
        ('proxy.upstreams.a = { url = "ws://a", headers = "s3cret" }', "proxy.upstreams.a.headers"),
        ('proxy.upstreams.a = { url = "ws://a", headers = { A = ["s3cret"] } }', "proxy.upstreams.a.headers.A"),
        ('proxy.upstreams.a = { url = "ws://a", headers = { A = "s3cret\\n" } }', "proxy.upstreams.a.headers"),
        ('proxy_password = "s3cret"', "proxy_password"),
        ('jwt = "s3cret"', "jwt"),
        ('jwt.secret = "s3cret"', "jwt.issuer"),
        (f'{JWT}secret = "s3cret"', "jwt.secret"),
        (f'{JWT}key_file = ["s3cret"]', "jwt.key_file"),
        (f'{JWT}key_file = "s3cret\\n"', "jwt.key_file"),
    ],
)
def test_what_may_be_secret_is_not_told(text: str, key: str) -> None:
    Path("towline.toml").write_text(text)
    with pytest.raises(WrongSetting, match=f"^{re.escape(key)} in towline.toml: ") as refused:
        load_settings()
    assert "s3cret" not in str(refused.value)


def test_without_a_table_no_tokens_of_an_identity_provider_are_taken() -> None:
    assert load_settings().jwt is None


def test_an_identity_provider_can_be_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "TOWLINE_JWT",
        '{"issuer": "a", "audience": "b", "algorithm": "ES256", "key_file": "c", "scopes": {"x": "admin"}}',
    )
    jwt = load_settings().jwt
    assert jwt is not None
    assert (jwt.algorithm, jwt.key_file, jwt.scopes) == ("ES256", Path("c"), {"x": frozenset(["admin"])})
    monkeypatch.setenv("TOWLINE_JWT", '{"issuer": "s3cret"')
    with pytest.raises(WrongSetting, match=r"^jwt from TOWLINE_JWT: ") as refused:
        load_settings()
    assert "s3cret" not in str(refused.value)


def test_without_anything_the_only_upstream_is_our_own_echo() -> None:
    assert load_settings().proxy.upstreams == {"echo": Upstream.model_validate("/echo")}


def test_without_upstreams_the_handshake_may_be_as_short_as_one_likes() -> None:
    assert load_settings().proxy.open_timeout < load_settings().handshake_timeout
    Path("towline.toml").write_text("handshake_timeout = 1")
    assert load_settings().handshake_timeout == 1


def test_upstreams_are_a_table_of_urls_and_of_tables() -> None:
    Path("towline.toml").write_text(
        """
        [proxy]
        idle_timeout = 60
        [proxy.upstreams]
        feed = "wss://feed.example.org/v1"
        inner = { url = "ws://10.0.0.5:9000", allow_private = true, headers = { Authorization = "Bearer s3cret" } }
        """
    )
    proxy = load_settings().proxy
    assert proxy.idle_timeout == 60
    assert [(name, str(entry.url), entry.allow_private) for name, entry in proxy.upstreams.items()] == [
        ("feed", "wss://feed.example.org/v1", False),
        ("inner", "ws://10.0.0.5:9000/", True),
    ]
    assert proxy.upstreams["inner"].headers["Authorization"].get_secret_value() == "Bearer s3cret"


def test_a_wrong_variable_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("towline.toml").write_text("port = 80")
    monkeypatch.setenv("TOWLINE_PORT", "eighty")
    with pytest.raises(WrongSetting, match=r"^port = 'eighty' from TOWLINE_PORT: input should be a valid integer"):
        load_settings()


@pytest.mark.parametrize("text", ['{"upstreams": s3cret', "", "s3cret"])
def test_a_variable_that_is_not_json_where_it_has_to_be_is_told_by_its_name(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOWLINE_PROXY", text)
    with pytest.raises(WrongSetting, match=r"^proxy from TOWLINE_PROXY: not JSON, as in {\"max_tunnels\": 8}$"):
        load_settings()


def test_a_table_in_a_variable_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOWLINE_PROXY", '{"max_tunnels": 8}')
    assert load_settings().proxy.max_tunnels == 8


def test_a_setting_that_there_is_not_is_told_by_the_variable_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOWLINE_PROXY", '{"upstream": {}}')
    with pytest.raises(WrongSetting, match=r"^proxy.upstream from TOWLINE_PROXY: there is no such setting; did you"):
        load_settings()


def test_a_wrong_flag_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOWLINE_PORT", "80")
    with pytest.raises(WrongSetting, match=r"^port = -1 from --port: input should be greater than or equal to 0"):
        load_settings(port=-1)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("Localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("files.example.org", False),
        ("localhost.example.org", False),
    ],
)
def test_which_addresses_only_this_machine_reaches(host: str, loopback: bool) -> None:
    assert load_settings(host=host).is_loopback is loopback
