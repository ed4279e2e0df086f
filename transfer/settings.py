"""Every setting, with a description, and where it comes from: flags, then `TOWLINE_…` variables, then `towline.toml`.

What is wrong is said in one sentence that names the key, the value and the source (`WrongSetting`); a value that may be
secret, or that no setting has, is left out.
"""

import math
import os
import tomllib
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, Literal, TypedDict, Unpack

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from transfer.access.jwt_settings import JwtSettings
from transfer.edge.host_names import parse_pattern
from transfer.edge.origins import parse_origin
from transfer.edge.peers import parse_network
from transfer.protocol import limits
from transfer.upstreams import OWN_ECHO, Upstream, check_names

FILE: Final = "towline.toml"
PREFIX: Final = "TOWLINE_"
DRAIN_SECONDS: Final = 10.0


class WrongSetting(Exception):
    """A setting that cannot be used; `str()` is a sentence for the operator."""


class Flags(TypedDict, total=False):
    """What the command line may set."""

    host: str
    port: int
    data: Path
    insecure: bool
    tls_cert: Path
    tls_key: Path


def _without_brackets(host: object) -> object:
    return host[1:-1] if isinstance(host, str) and host.startswith("[") and host.endswith("]") else host


def _as_list(several: object) -> object:
    """A variable of the environment holds several with commas between them."""
    return [part.strip() for part in several.split(",") if part.strip()] if isinstance(several, str) else several


def _as_origin(text: object) -> str:
    origin = parse_origin(text) if isinstance(text, str) else None
    if origin is None:
        raise ValueError("an origin is written like https://files.example.org or http://localhost:3000")
    return str(origin)


def _as_network(text: str) -> str:
    return str(parse_network(text))


class ProxySettings(BaseModel):
    """`[proxy]`: the tunnels that clients may ask for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    upstreams: Annotated[dict[str, Upstream], AfterValidator(check_names)] = Field(
        default={"echo": Upstream.model_validate(OWN_ECHO)},
        description="names and URLs of the WebSocket servers that may be reached through this one",
    )
    open_timeout: float = Field(
        default=5.0, gt=0, description="how long connecting to an upstream may take; less than `handshake_timeout`"
    )
    idle_timeout: float = Field(default=600.0, gt=0, description="how long a tunnel may carry no message")
    max_bytes: int | None = Field(default=None, gt=0, description="what one tunnel may carry, both ways together")
    max_tunnels: int = Field(default=32, ge=0, description="how many tunnels one principal may have at a time")


class Settings(BaseSettings):
    """What an operator can choose. Sizes are bytes, times are seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, toml_file=FILE, extra="forbid", frozen=True)

    host: Annotated[str, BeforeValidator(_without_brackets)] = Field(
        default="127.0.0.1", min_length=1, description="the address to listen on"
    )
    port: int = Field(default=8000, ge=0, le=65_535, description="the port to listen on; 0 takes a free one")
    data: Path = Field(default=Path("towline-data"), description="the folder in which everything is kept")
    insecure: bool = Field(
        default=False,
        description="listen on an address that other machines reach, though nobody has to prove who they are",
    )
    tls_cert: Path | None = Field(
        default=None,
        description="the certificate to speak TLS with, in PEM, and behind it those that lead to its authority",
    )
    tls_key: Path | None = Field(default=None, description="the key of that certificate, in PEM, without a passphrase")
    allowed_origins: Annotated[
        tuple[Annotated[str, BeforeValidator(_as_origin)], ...], NoDecode, BeforeValidator(_as_list)
    ] = Field(default=(), description="origins of web pages, other than the server's own, that may use it")
    allowed_hosts: Annotated[
        tuple[Annotated[str, AfterValidator(parse_pattern)], ...], NoDecode, BeforeValidator(_as_list)
    ] = Field(
        default=(),
        description="names by which the server may be called, with `*.` in front of one for all below it; without any,"
        " on loopback those of the machine itself, else all",
    )
    forwarded_peers: Annotated[
        tuple[Annotated[str, AfterValidator(_as_network)], ...], NoDecode, BeforeValidator(_as_list)
    ] = Field(
        default=(),
        description="addresses and networks of reverse proxies, which are believed when they say who their client is",
    )
    pending_expiry: float = Field(
        default=limits.PENDING_EXPIRY, gt=0, description="silence after which an unfinished upload is dropped"
    )
    min_free_bytes: int | None = Field(
        default=None,
        ge=0,
        description="bytes of the disk that stay free; by default the smaller of 1 GiB and 5 % of it",
    )
    max_file_bytes: int | None = Field(
        default=None, gt=0, le=limits.MAX_SIZE, description="the largest file that is taken"
    )
    receive_budget_bytes: int = Field(
        default=limits.RECEIVE_BUDGET, gt=0, description="what all uploads together may have in flight"
    )
    window: int = Field(default=limits.WINDOW, gt=0, description="what one connection may have in flight")
    chunk_size: int = Field(
        default=limits.CHUNK_SIZE,
        gt=0,
        le=limits.MAX_MESSAGE_BYTES,
        description="the size of a binary frame that clients are asked for",
    )
    take_over_seconds: float = Field(
        default=limits.TAKE_OVER_SECONDS,
        gt=0,
        description="how long a newcomer waits for the last write of the connection that it replaces",
    )
    log_format: Literal["auto", "human", "json"] = Field(
        default="auto",
        description="how the log is written: human lines or json objects; auto is human where stderr is a terminal",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="how important an event must be to stand in the log"
    )
    drain_timeout: float = Field(
        default=DRAIN_SECONDS,
        ge=0,
        description="how long what is under way may go on after the server was asked to stop",
    )

    handshake_timeout: float = Field(
        default=limits.HANDSHAKE_SECONDS,
        gt=0,
        description="how long the head of a request may take, from the first moment of the connection or, on one that"
        " was kept open, from its own first byte; an upgrade with its answer; and after the head the body",
    )
    max_head_bytes: int = Field(default=limits.MAX_HEAD_BYTES, ge=1_024, description="the longest head of a request")
    max_head_fields: int = Field(default=limits.MAX_HEAD_FIELDS, gt=0, description="the most fields in such a head")
    auth_timeout: float = Field(
        default=limits.AUTH_SECONDS,
        gt=0,
        description="how long a connection of `/ws` without a token on its upgrade may take to its frame `auth`",
    )
    header_timeout: float = Field(
        default=limits.HEADER_SECONDS, gt=0, description="how long a connection of `/ws` may take to its first header"
    )
    message_timeout: float = Field(
        default=limits.MESSAGE_SECONDS,
        gt=0,
        description="how long a WebSocket message that has begun may take, unless its bytes come at `min_upload_rate`",
    )
    min_upload_rate: float = Field(
        default=limits.MIN_UPLOAD_RATE,
        gt=0,
        description="bytes a second that an upload of known size has to bring while the server waits for it",
    )
    rate_period: float = Field(
        default=limits.RATE_PERIOD_SECONDS, gt=0, description="over how long that rate is averaged"
    )
    max_connections: int = Field(
        default=limits.MAX_CONNECTIONS,
        gt=0,
        description="connections at the same time; fewer where the system allows too few open files, two for each",
    )
    max_connections_per_address: int = Field(
        default=limits.MAX_CONNECTIONS_PER_ADDRESS,
        gt=0,
        description="how many of them may come from one IPv4 address, or one IPv6 network of 64 bits",
    )
    max_unfinished_uploads: int = Field(
        default=limits.MAX_UNFINISHED_UPLOADS,
        gt=0,
        description="unfinished uploads that one caller may have, or that may come through one request link",
    )
    max_event_streams: int = Field(
        default=limits.MAX_EVENT_STREAMS,
        gt=0,
        description="streams of `/events` that one caller may have open at the same time",
    )

    connection_rate: float = Field(
        default=limits.CONNECTION_RATE,
        gt=0,
        allow_inf_nan=False,
        description="new connections a second from one IPv4 address, or one IPv6 network of 64 bits",
    )
    connection_burst: float = Field(
        default=limits.CONNECTION_BURST, ge=1, description="how many of them may come at once after a pause"
    )
    header_rate: float = Field(
        default=limits.HEADER_RATE,
        gt=0,
        allow_inf_nan=False,
        description="headers a second on `/ws`, of one caller; more are slowed down",
    )
    header_burst: float = Field(
        default=limits.HEADER_BURST, ge=1, description="how many of them may come at once after a pause"
    )
    request_rate: float = Field(
        default=limits.REQUEST_RATE,
        gt=0,
        allow_inf_nan=False,
        description="HTTP requests and upgrades a second, of one caller",
    )
    request_burst: float = Field(
        default=limits.REQUEST_BURST, ge=1, description="how many of them may come at once after a pause"
    )
    rate_limit_bytes: int | None = Field(
        default=None,
        gt=0,
        description="bytes a second of all uploads of one caller together, and as many of their downloads",
    )

    proxy: ProxySettings = Field(default=ProxySettings(), description="tunnels to other WebSocket servers")
    jwt: JwtSettings | None = Field(default=None, description="tokens of an identity provider, beside the server's own")

    @field_validator("proxy")
    @classmethod
    def _in_time_for_an_answer(cls, proxy: ProxySettings, others: ValidationInfo) -> ProxySettings:
        """`GET /proxy/{upstream}` connects before it answers, and an upgrade without an answer in time is cut off. Our
        own echo, all that there is where nobody has set `[proxy]`, is no further away than ourselves."""
        handshake_timeout = others.data.get("handshake_timeout", math.inf)  # it may be wrong by itself
        if proxy.model_fields_set and proxy.open_timeout >= handshake_timeout:
            raise ValueError(
                f"open_timeout = {proxy.open_timeout:g} has to be less than handshake_timeout = {handshake_timeout:g}"
            )
        return proxy

    @property
    def is_reached_by_others(self) -> bool:
        """Whether other machines reach it: by its address, or through a proxy in front of it."""
        return not self.is_loopback or bool(self.forwarded_peers)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the address."""
        try:
            return self.host.lower() == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _Environment(settings_cls), TomlConfigSettingsSource(settings_cls)


class _Environment(EnvSettingsSource):
    """The variables; a table is written as JSON there. Raises WrongSetting for what is none."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: object) -> object:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            example = '{"max_tunnels": 8}'
            variable = PREFIX + field_name.upper()
            raise WrongSetting(f"{field_name} from {variable}: not JSON, as in {example}") from None


def load_settings(**flags: Unpack[Flags]) -> Settings:
    """The settings of this process, started in this folder with these flags. Raises WrongSetting."""
    try:
        settings = Settings(**flags)
    except ValidationError as wrong:
        raise WrongSetting(_sentence(wrong.errors()[0], flags)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as unreadable:
        raise WrongSetting(f"{FILE} is not TOML: {unreadable}") from None
    except OSError as unreadable:
        raise WrongSetting(f"{FILE} cannot be read: {unreadable.strerror}") from None
    if (settings.tls_cert is None) != (settings.tls_key is None):
        there, missing = ("tls_key", "tls_cert") if settings.tls_cert is None else ("tls_cert", "tls_key")
        raise WrongSetting(f"{there} is set and {missing} is not: TLS needs a certificate and its key")
    return settings


def _sentence(error: ErrorDetails, flags: Flags) -> str:
    location = error["loc"]
    setting, key = str(location[0]), ".".join(part for part in location if isinstance(part, str))
    if error["type"] == "extra_forbidden":
        similar = get_close_matches(str(location[-1]), _KEYS, n=1)
        advice = f"; did you mean {similar[0]}?" if similar else ""
        return f"{key} {_source(setting, flags)}: there is no such setting{advice}"
    said = error["msg"]
    problem = str(error["ctx"]["error"]) if error["type"] == "value_error" else said[:1].lower() + said[1:]
    shown = key if error["type"] == "missing" or _may_be_secret(location) else f"{key} = {error['input']!r}"
    return f"{shown} {_source(setting, flags)}: {problem}"


def _may_be_secret(location: tuple[int | str, ...]) -> bool:
    """Upstreams have passwords in their URLs and tokens in their headers, and so have the tables around them. Somebody
    may write a key where its file is meant."""
    if location[0] == "jwt":
        return len(location) == 1 or location[1] in ("key_file", "jwks_file")
    return location[0] == "proxy" and (len(location) == 1 or location[1] == "upstreams")


def _source(key: str, flags: Flags) -> str:
    if key in flags:
        return f"from --{key.replace('_', '-')}"
    variable = PREFIX + key.upper()
    return f"from {variable}" if variable in {name.upper() for name in os.environ} else f"in {FILE}"


_KEYS: Final = [*Settings.model_fields, *ProxySettings.model_fields, *Upstream.model_fields, *JwtSettings.model_fields]
