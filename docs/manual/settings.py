"""The page of settings, from `transfer.settings`: every key, its type, bounds, default and meaning."""

from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from manual.markdown import code, page, prose, table
from manual.types import default_of, type_of
from transfer.access.jwt_settings import JwtSettings
from transfer.settings import FILE, PREFIX, Flags, ProxySettings, Settings
from transfer.upstreams import Upstream

_INTRODUCTION: Final = f"""\
What `towline serve` can be told. A setting is taken from the command line where it has a flag, else from the
variable of the environment that is named `{PREFIX}` and the setting in capitals, else from `{FILE}` in the
folder in which the server is started, else it has its default. A setting that does not exist, or a value that
cannot be used, stops the start with a sentence. Sizes are bytes, times are seconds. [Running a
server](../operations.md) says when to change what."""
_EXAMPLE: Final = """\
The same settings in each of the three ways; not all of them have a flag:

```sh
towline serve --port 9000 --data /srv/towline
TOWLINE_PORT=9000 TOWLINE_DATA=/srv/towline TOWLINE_MAX_FILE_BYTES=1000000000 towline serve
```

```toml
port = 9000
data = "/srv/towline"
max_file_bytes = 1000000000
```

Where a setting is a list, its variable has commas between the parts; where it is a table, its variable is JSON."""
_TABLES: Final[Mapping[str, type[BaseModel]]] = {"proxy": ProxySettings, "jwt": JwtSettings}


def settings_page() -> str:
    """The page `docs/reference/settings.md`."""
    plain = {name: field for name, field in Settings.model_fields.items() if name not in _TABLES}
    tables = [
        f"## [{name}]\n\n{_sentence(Settings.model_fields[name])}\n\n{_settings_table(model.model_fields)}"
        for name, model in _TABLES.items()
    ]
    upstream = f"## An upstream\n\n{prose(Upstream.__doc__ or '')}\n\n{_settings_table(Upstream.model_fields)}"
    return page("Settings", _INTRODUCTION, _EXAMPLE, f"## All settings\n\n{_settings_table(plain)}", *tables, upstream)


def _sentence(field: FieldInfo) -> str:
    words = field.description or ""
    return f"{words[:1].upper()}{words[1:]}."


def _settings_table(fields: Mapping[str, FieldInfo]) -> str:
    flags = Flags.__annotations__ if "data" in fields else {}
    rows = [
        [
            code(name) + (f", {code('--' + name.replace('_', '-'))}" if name in flags else ""),
            type_of(field),
            default_of(field, "has to be set"),
            field.description or "",
        ]
        for name, field in fields.items()
    ]
    return table(("setting", "type", "default", "what it is"), rows)
