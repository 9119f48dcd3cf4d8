import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.errors import ConfigError
from adapter.storage.address import parse


def test_heroku_s_spelling_reaches_the_async_driver() -> None:
    address = parse("postgres://user:pass@db.example.com:5433/name")

    assert address.dialect == "postgresql"
    assert address.url.drivername == "postgresql+asyncpg"
    assert (address.url.host, address.url.port, address.url.database) == ("db.example.com", 5433, "name")
    assert address.path is None


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg", "POSTGRES"])
def test_every_spelling_of_postgresql_is_taken(scheme: str) -> None:
    assert parse(f"{scheme}://u:p@h/d").dialect == "postgresql"


@pytest.mark.parametrize(("url", "path"), [("sqlite:///a/b.db", "a/b.db"), ("sqlite:////a/b c.db", "/a/b c.db")])
def test_a_sqlite_address_is_a_path(url: str, path: str) -> None:
    assert str(parse(url).path) == path


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require"])
def test_the_unverified_ssl_modes_go_to_the_driver_by_name(mode: str) -> None:
    assert parse(f"postgres://u:p@h/d?sslmode={mode}").options["ssl"] == mode


def test_without_a_mode_ssl_is_preferred() -> None:
    assert parse("postgres://u:p@h/d").options["ssl"] == "prefer"


@pytest.mark.parametrize(("mode", "named"), [("verify-full", True), ("verify-ca", False)])
def test_the_verifying_modes_ask_who_is_there(mode: str, named: bool) -> None:
    context = parse(f"postgres://u:p@h/d?sslmode={mode}").options["ssl"]

    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname is named


def test_a_socket_directory_and_the_other_words_reach_the_driver() -> None:
    options = parse("postgresql://u@/d?host=/run/pg&connect_timeout=3&application_name=x").options

    assert options["host"] == "/run/pg"
    assert options["timeout"] == 3.0
    assert options["server_settings"] == {"application_name": "x"}


REFUSED = {
    "nothing": "",
    "no scheme": "adapter.db",
    "an unknown engine": "mysql://root:hunter2@h/d",
    "another driver": "postgresql+psycopg://u:hunter2@h/d",
    "a nul in the path": "sqlite:///a\0b",
    "an encoded nul": "sqlite:///a%00b",
    "a nul in the password": "postgres://u:hunter2\0@h/d",
    "a line break": "postgres://u:hunter2@h/d\nx",
    "no file": "sqlite://",
    "an empty path": "sqlite:///",
    "memory": "sqlite:///:memory:",
    "two slashes": "sqlite://hunter2/adapter.db",
    "a sqlite query": "sqlite:///a.db?mode=ro",
    "no database": "postgres://u:hunter2@h/",
    "no host": "postgres:///d",
    "a port in words": "postgres://u:hunter2@h:port/d",
    "an unknown ssl mode": "postgres://u:hunter2@h/d?sslmode=hunter2",
    "an unknown word": "postgres://u:hunter2@h/d?options=-c",
    "a repeated word": "postgres://u:hunter2@h/d?sslmode=require&sslmode=disable",
    "a bad timeout": "postgres://u:hunter2@h/d?connect_timeout=soon",
    "a timeout of nothing": "postgres://u:hunter2@h/d?connect_timeout=0",
    "an unreadable certificate": "postgres://u:hunter2@h/d?sslmode=verify-full&sslrootcert=/nowhere/root.crt",
    "only a scheme": "postgres://",
}


@pytest.mark.parametrize("url", REFUSED.values(), ids=REFUSED)
def test_what_can_t_be_used_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL") as caught:
        parse(url)

    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@given(st.text(max_size=60), st.sampled_from(["", "postgres://", "postgres://u:p@h", "sqlite://", "sqlite:///"]))
def test_any_text_is_an_address_or_a_config_error(text: str, head: str) -> None:
    try:
        address = parse(head + text)
    except ConfigError:
        return

    assert address.dialect in {"sqlite", "postgresql"}


def test_no_repr_shows_the_password() -> None:
    assert "hunter2" not in repr(parse("postgres://u:hunter2@h/d"))
