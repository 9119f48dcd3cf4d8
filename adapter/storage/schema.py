"""The migrations that travel in the package, run over a connection that the caller opened and locked."""

from pathlib import Path
from typing import Literal

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

SchemaState = Literal["empty", "behind", "current", "ahead"]

_SCRIPTS = Path(__file__).parent / "migrations"


def state(connection: sa.Connection) -> SchemaState:
    """`ahead` where the database knows a revision that this version doesn't."""
    scripts = ScriptDirectory.from_config(_config())
    heads = set(MigrationContext.configure(connection).get_current_heads())
    if not heads:
        return "empty"
    if heads == set(scripts.get_heads()):
        return "current"
    known = {script.revision for script in scripts.walk_revisions()}
    return "behind" if heads <= known else "ahead"


def version(connection: sa.Connection) -> str | None:
    """The revision that the tables are at; None for none yet."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(connection: sa.Connection) -> None:
    """Run what is missing, inside the connection's transaction."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    # The option is read by `%`-interpolation, and an installation path may hold a percent sign.
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config
