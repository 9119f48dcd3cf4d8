"""The migrations that travel in the package, run over a connection that the caller opened and locked.

Alembic runs them, and is loaded only for that: it takes a tenth of the memory of a process that serves, and half a
second of its start. How the tables stand is told from its table of versions and from the names of the migrations.
"""

from functools import cache
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

SchemaState = Literal["empty", "behind", "current", "ahead"]

_SCRIPTS = Path(__file__).parent / "migrations"
_VERSIONS = sa.table("alembic_version", sa.column("version_num", sa.String))


def state(connection: sa.Connection) -> SchemaState:
    """`ahead` where the database knows a revision that this version doesn't."""
    at = _at(connection)
    if not at:
        return "empty"
    if at == {revisions()[-1]}:
        return "current"
    return "behind" if at <= set(revisions()) else "ahead"


def version(connection: sa.Connection) -> str | None:
    """The revision that the tables are at; None for none yet."""
    return max(_at(connection), default=None)


@cache
def revisions() -> tuple[str, ...]:
    """The revisions of this version, one after the other, as their files are named: `v0002_units.py` is `0002`."""
    return tuple(sorted(path.stem[1:].partition("_")[0] for path in (_SCRIPTS / "versions").glob("v*.py")))


def _at(connection: sa.Connection) -> set[str]:
    if not sa.inspect(connection).has_table(_VERSIONS.name):
        return set()
    return set(connection.scalars(sa.select(_VERSIONS.c.version_num)))


def upgrade(connection: sa.Connection) -> None:
    """Run what is missing, inside the connection's transaction."""
    from alembic import command  # noqa: PLC0415  # see above
    from alembic.config import Config  # noqa: PLC0415  # likewise

    config = Config()
    # The option is read by `%`-interpolation, and an installation path may hold a percent sign.
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
