from pathlib import Path

import pytest

from adapter.config import SETTINGS, Settings, load
from adapter.errors import ConfigError


def test_nothing_set_is_an_embedded_database_and_the_defaults() -> None:
    settings = load({})

    assert settings.database_url.startswith("sqlite:///")
    assert Path(settings.database_url.removeprefix("sqlite:///")).is_absolute()
    assert settings.public_url == "http://127.0.0.1:8080"
    assert settings.port == 8080


def test_each_setting_has_its_name_in_capitals() -> None:
    assert len(SETTINGS) == len(Settings.__struct_fields__)
    for name in SETTINGS:
        assert name == name.upper()


def test_the_environment_is_read_with_types() -> None:
    settings = load({"PORT": "9000", "DIRECTORY_MAX_AGE": "2.5", "LOG_LEVEL": "debug", "UNRELATED": "x"})

    assert (settings.port, settings.directory_max_age, settings.log_level) == (9000, 2.5, "debug")


def test_a_blank_setting_is_one_that_is_not_set() -> None:
    assert load({"PORT": " ", "DATABASE_URL": ""}) == load({})


def test_a_flag_overrides_the_environment_and_none_does_not() -> None:
    environ = {"PORT": "9000"}

    assert load(environ, port=0).port == 0
    assert load(environ, port=None).port == 9000


BAD = {
    "PORT": "hunter2",
    "UPSTREAM_CONCURRENCY": "0",
    "UPSTREAM_TIMEOUT": "-1",
    "DIRECTORY_MAX_AGE": "hunter2",
    "DIRECTORY_RESERVE": "-5",
    "MAX_BODY_BYTES": "10MB",
    "ADAPTER_TRUSTED_HOPS": "-1",
}


@pytest.mark.parametrize(("name", "value"), BAD.items())
def test_a_setting_that_can_t_be_used_is_named_and_not_shown(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        load({name: value})

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("port", ["65536", "-1", "80.5"])
def test_a_port_is_a_port(port: str) -> None:
    with pytest.raises(ConfigError, match="PORT"):
        load({"PORT": port})


def test_on_a_dyno_the_database_has_to_last() -> None:
    with pytest.raises(ConfigError, match="heroku-postgresql"):
        load({"DYNO": "web.1"})
    with pytest.raises(ConfigError, match="PostgreSQL"):
        load({"DYNO": "web.1", "DATABASE_URL": "sqlite:///adapter.db"})

    assert load({"DYNO": "web.1", "DATABASE_URL": "postgres://u:p@h/d"}).database_url.startswith("postgres://")


def test_links_follow_the_address_served_unless_the_public_one_is_set() -> None:
    assert load({"HOST": "0.0.0.0", "PORT": "81"}).public_url == "http://0.0.0.0:81"
    assert load({"PUBLIC_URL": "https://directory.example.com"}).public_url == "https://directory.example.com"
    assert load({"HOST": "::1", "PORT": "81"}).public_url == "http://[::1]:81"


@pytest.mark.parametrize(
    "url",
    [
        "my-adapter.example.com",
        "my-adapter.example.com:8080",
        "//adapter.example.com",
        "ftp://adapter.example.com",
        "https://",
        "https:///path",
        "https://adapter.example.com:port",
        "https://somebody:hunter2@adapter.example.com",
        "https://adapter.example.com?x=y",
        "https://adapter.example.com/#x",
        "https://[::1",
        "https://adapter.example.com ",
        "https://adapter.example.com\n",
    ],
)
def test_an_address_that_no_link_can_be_made_of_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^PUBLIC_URL can't be used: expected https://host") as caught:
        load({"PUBLIC_URL": url})

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://example.com/heroku", "https://example.com/", "http://localhost:8080"])
def test_an_address_may_have_a_path_and_a_port(url: str) -> None:
    assert load({"PUBLIC_URL": url}).public_url == url


def test_no_setting_hides_its_meaning_in_another_case() -> None:
    assert load({"port": "9000"}).port == 8080


def test_one_half_of_an_oauth_client_is_refused_by_the_name_of_the_other() -> None:
    with pytest.raises(ConfigError, match=r"^HEROKU_OAUTH_SECRET is not set"):
        load({"HEROKU_OAUTH_ID": "fake-id"})
    with pytest.raises(ConfigError, match=r"^HEROKU_OAUTH_ID is not set") as caught:
        load({"HEROKU_OAUTH_SECRET": "hunter2"})

    assert "hunter2" not in str(caught.value)
    assert load({"HEROKU_OAUTH_ID": "fake-id", "HEROKU_OAUTH_SECRET": "fake"}).heroku_oauth_id == "fake-id"


def test_lists_are_parted_by_commas_and_blanks_around_them_do_not_count() -> None:
    settings = load({"ADAPTER_REDIRECT_URIS": "https://a.example/x, https://b.example ,,", "ADAPTER_ORIGINS": " "})

    assert settings.redirect_uris == {"https://a.example/x", "https://b.example"}
    assert settings.origins == frozenset()


@pytest.mark.parametrize(
    ("environ", "hops"),
    [
        ({}, 0),
        ({"ADAPTER_TRUSTED_HOPS": "2"}, 2),
        ({"DYNO": "web.1"}, 1),
        ({"DYNO": "web.1", "ADAPTER_TRUSTED_HOPS": "0"}, 0),
    ],
)
def test_one_proxy_in_front_is_believed_on_a_dyno_and_none_elsewhere(environ: dict[str, str], hops: int) -> None:
    assert load({"DATABASE_URL": "postgres://u:p@h/d"} | environ).trusted_hops == hops


def test_settings_show_no_value() -> None:
    shown = repr(load({"ADAPTER_SECRET_KEYS": "hunter2", "DATABASE_URL": "postgres://u:hunter2@h/d"}))

    assert "hunter2" not in shown
    assert "adapter_secret_keys" in shown
