"""The README's page to copy: whole, and without anything that it would have to be told apart from the two addresses."""

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def example() -> str:
    """The README's complete HTML page."""
    (found,) = re.findall(r"```html\n(<!doctype html>.*?)```", README.read_text("utf-8"), re.DOTALL)
    return str(found)


def test_the_example_names_the_adapter_and_believes_nobody_else() -> None:
    text = example()

    assert 'const ADAPTER = "https://adapter.example.com"' in text
    assert "event.origin !== ADAPTER" in text
    assert "event.source !== popup" in text
