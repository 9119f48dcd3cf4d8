import re
from pathlib import Path

import pytest

from adapter.app import declarations
from adapter.config import Settings
from adapter.declarations import bundled_dir
from adapter.errors import DeclarationError
from adapter.web.connect_words import load_words

WORDS = load_words(None, "heroku")
PROVIDER, MODEL = declarations(Settings())
CSS = Path(__file__).parents[2] / "adapter/web/pages/connect/connect.css"


def test_every_unit_stands_under_what_is_read() -> None:
    """Else a list could be closed without anybody being told."""
    assert {unit for entry in WORDS.reads for unit in entry.units} == set(MODEL.units)


def test_only_scopes_that_there_are_are_named() -> None:
    named = {scope for entry in WORDS.writes for scope in entry.scopes} | set(WORDS.scopes)

    assert named <= set(PROVIDER.oauth.scopes)


def test_an_entry_is_closed_when_one_of_its_units_is() -> None:
    closed = WORDS.closed({"team_members": ("global",)})

    assert closed == [(WORDS.reads[0].text, ("global",))]
    assert WORDS.readable(["team_members"]) == [entry.text for entry in WORDS.reads[1:]]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("purpose: to see {tenant}", "purpose: holds a placeholder that is not known; known here: who, provider"),
        ("purpose: '{'", "purpose: holds a placeholder"),
        ("purpos: x", "unknown word `purpos`"),
        ("api_key: {site: {text: x, url: 'javascript:alert(1)'}}", "api_key.site.url"),
    ],
)
def test_a_file_that_can_not_be_used_is_refused_with_the_place(tmp_path: Path, written: str, told: str) -> None:
    file = tmp_path / "heroku" / "connect.yaml"
    file.parent.mkdir()
    file.write_text(written)

    with pytest.raises(DeclarationError, match=re.escape(told)):
        load_words([bundled_dir(), tmp_path], "heroku")


def test_a_provider_without_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="does not exist"):
        load_words([tmp_path], "heroku")


def luminance(color: str) -> float:
    """https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("front", "back", "least"),
    [
        ("text", "card", 7.0), ("quiet", "card", 4.5), ("accent", "card", 4.5), ("on-accent", "accent", 4.5),
        ("text", "sunk", 7.0), ("accent", "sunk", 4.5), ("good", "good-ground", 4.5), ("fair", "fair-ground", 4.5),
        ("bad", "bad-ground", 4.5), ("text", "fair-ground", 7.0), ("text", "bad-ground", 7.0), ("edge", "card", 3.0),
    ],
)  # fmt: skip
def test_everything_can_be_told_from_its_ground(mode: int, front: str, back: str, least: float) -> None:
    colors = dict(re.findall(r"--([\w-]+): light-dark\((.*?)\);", CSS.read_text("utf-8")))
    lights = sorted(luminance(colors[name].split(", ")[mode]) for name in (front, back))

    assert (lights[1] + 0.05) / (lights[0] + 0.05) >= least
