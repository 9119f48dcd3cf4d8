import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from adapter.storage import schema


def test_the_steps_run_from_any_folder_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = tmp_path / "100% %(here)s"
    odd.symlink_to(schema._SCRIPTS, target_is_directory=True)
    monkeypatch.setattr(schema, "_SCRIPTS", odd)
    engine = sa.create_engine("sqlite://")

    with engine.begin() as connection:
        before = schema.state(connection)
        schema.upgrade(connection)

        assert (before, schema.state(connection)) == ("empty", "current")
    engine.dispose()


def test_the_steps_stand_inside_the_package() -> None:
    package = Path(schema.__file__).parent.parent

    assert package in schema._SCRIPTS.parents
    assert (schema._SCRIPTS / "env.py").is_file()


def test_the_files_are_named_by_their_revisions_and_each_follows_the_one_before() -> None:
    config = Config()
    config.set_main_option("script_location", str(schema._SCRIPTS))
    scripts = list(ScriptDirectory.from_config(config).walk_revisions())[::-1]

    assert tuple(script.revision for script in scripts) == schema.revisions()
    assert [script.down_revision for script in scripts] == [None, *schema.revisions()[:-1]]


def test_tables_that_an_older_version_left_are_behind_and_those_of_a_newer_one_ahead() -> None:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        schema.upgrade(connection)
        told = []
        for revision in (schema.revisions()[0], "9999"):
            connection.execute(sa.text("UPDATE alembic_version SET version_num = :to"), {"to": revision})
            told.append((schema.state(connection), schema.version(connection)))
    engine.dispose()

    assert told == [("behind", "0001"), ("ahead", "9999")]


def test_what_migrates_is_not_loaded_where_nothing_is_to_be_migrated() -> None:
    program = "import sys, adapter.app; raise SystemExit('alembic' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
