from pathlib import Path

import pytest
import sqlalchemy as sa

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
