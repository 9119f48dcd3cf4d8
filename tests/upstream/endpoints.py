"""Every endpoint of Heroku's schema, with what its answers and bodies give away (see heroku_endpoints.txt)."""

from pathlib import Path
from typing import NamedTuple


class Endpoint(NamedTuple):
    """`path` has `{}` for each identity; `words` are telling names of what is answered, behind a plus what is taken."""

    method: str
    path: str
    words: frozenset[str]

    def at(self, identity: str = "x1") -> str:
        """The path with something in the place of each identity."""
        return self.path.replace("{}", identity)


def _read() -> list[Endpoint]:
    lines = (Path(__file__).parent / "heroku_endpoints.txt").read_text().splitlines()
    split = [line.split() for line in lines if not line.startswith("#")]
    return [Endpoint(method, path, frozenset(words)) for method, path, *words in split]


ENDPOINTS = _read()
