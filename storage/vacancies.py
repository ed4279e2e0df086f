"""Which of many names are free: asked for a batch in two statements, and kept up to date while it is published."""

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage.schema import files
from transfer.protocol.names import Name

_ASKED = sa.func.json_each(sa.bindparam("keys", type_=sa.JSON)).table_valued("value")
_TAKEN = sa.select(files.c.name_key).where(files.c.name_key.in_(sa.select(_ASKED.c.value)))
_BELOW = (files.c.name_key > _ASKED.c.value.concat("/")) & (files.c.name_key < _ASKED.c.value.concat("0"))
_FOLDERS = sa.select(_ASKED.c.value).where(sa.exists().where(_BELOW))


class Vacancies:
    """Of these names and no others: a name is free when no file has it, nor one above or below it."""

    def __init__(self, connection: Connection, names: Iterable[Name]) -> None:
        keys, parents = set[str](), set[str]()
        for name in names:
            keys.add(name.key)
            parents.update(name.parents)
        self._taken = set(connection.execute(_TAKEN, {"keys": [*keys | parents]}).scalars())
        self._folders = set(connection.execute(_FOLDERS, {"keys": [*keys]}).scalars())

    def is_free(self, name: Name) -> bool:
        return name.key not in self._folders and self._taken.isdisjoint((name.key, *name.parents))

    def take(self, name: Name) -> None:
        """A file has this name now."""
        self._taken.add(name.key)
        self._folders.update(name.parents)
