"""Imports point one way, and the provider's own words stay in its folder of files and its few named modules."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import adapter
from adapter.declarations import bundled_dir
from adapter.mapping.loading import load_model

PACKAGE = Path(adapter.__file__).parent

GROUND = {"errors", "models", "config", "declarations", "logs"}
MIDDLE = {"storage", "upstream", "mapping"}
# Room -> the rooms that it may know besides itself, from the ground up; whoever is not named here knows nobody.
MAY_KNOW: dict[str, set[str]] = {
    "errors": set(),
    "models": set(),
    "logs": set(),
    "config": {"errors"},
    "declarations": {"errors"},
    "storage": GROUND,
    "upstream": GROUND,
    "mapping": GROUND,
    "accounts": GROUND | MIDDLE,
    "directory": GROUND | MIDDLE | {"accounts"},
    "web": GROUND | MIDDLE | {"accounts", "directory"},
    "app": GROUND | MIDDLE | {"accounts", "directory", "web"},
    "cli": GROUND | MIDDLE | {"accounts", "directory", "web", "app", "sandbox"},
    "sandbox": set(),
    "__main__": {"cli"},
    "__init__": set(),
}

MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


@cache
def tree(module: str) -> ast.Module:
    return ast.parse((PACKAGE / module).read_text())


def room(module: str) -> str:
    return module.split("/", maxsplit=1)[0].removesuffix(".py")


def imported(module: str) -> Iterator[str]:
    """The adapter's own modules that one imports anywhere in it, for types too: `adapter.mapping.model`."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ImportFrom):
            above = ".".join(["adapter", *module.split("/")[: -node.level]]) + "." if node.level else ""
            names = [f"{above}{node.module or ''}.{alias.name}".replace("..", ".") for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "adapter")


def files_of(name: str) -> Iterator[str]:
    """The files that an imported name may stand for: `adapter.mapping.model.Unit` is in mapping/model.py."""
    parts = name.split(".")[1:]
    for length in range(len(parts), 0, -1):
        for file in ("/".join(parts[:length]) + ".py", "/".join(parts[:length]) + "/__init__.py"):
            if file in MODULES:
                yield file
                return


@pytest.mark.parametrize("module", MODULES)
def test_a_module_knows_only_rooms_below_its_own(module: str) -> None:
    known = {room(file) for name in imported(module) for file in files_of(name)} - {room(module)}

    assert known <= MAY_KNOW[room(module)]


def test_the_table_names_every_room() -> None:
    assert {room(module) for module in MODULES} == set(MAY_KNOW)


def test_no_modules_import_each_other_in_a_circle() -> None:
    below = {module: {file for name in imported(module) for file in files_of(name)} - {module} for module in MODULES}
    while leaves := [module for module, known in below.items() if not known & set(below)]:
        for module in leaves:
            del below[module]

    assert below == {}


# --- the provider's words

# The provider's rules as named strategies, its OAuth deviations, the fake of it, and the commands that show the fake.
MAY_NAME_IT = re.compile(r"^(sandbox/|upstream/protocol\.py$|accounts/oauth|upstream/oauth|cli/(sandbox|demo)\.py$)")
ROOTS = sorted({unit.get.split("/")[1] for unit in load_model([bundled_dir() / "heroku"]).units.values()} | {"oauth"})
WORDS = re.compile(
    rf"^/({'|'.join(ROOTS)})(/|$)|vnd\.heroku|herokumanager|api\.heroku\.com|id\.heroku\.com"
    r"|^(next-range|oauth-scope(-accepted)?|ratelimit-multiplier|heroku-two-factor-code|x-heroku-.*)$",
    re.IGNORECASE,
)


def constants(module: str) -> Iterator[tuple[int, str]]:
    """The texts of a module that are no docstrings."""
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body and isinstance(node.body[0], ast.Expr)
    }  # fmt: skip
    bare = {id(node.value) for node in ast.walk(tree(module)) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs | bare:
            yield node.lineno, node.value


@pytest.mark.parametrize("module", [module for module in MODULES if not MAY_NAME_IT.match(module)])
def test_a_module_names_no_path_or_header_of_the_provider(module: str) -> None:
    assert [(line, text) for line, text in constants(module) if WORDS.search(text)] == []


@pytest.mark.parametrize(
    "text",
    ["/teams", "/teams/{team.id}/members", "/account", "/apps/x", "application/vnd.heroku+json; version=3",
     "@herokumanager.com", "Next-Range", "https://api.heroku.com", "X-Heroku-Sudo"],
)  # fmt: skip
def test_the_provider_would_be_recognised_by(text: str) -> None:
    assert WORDS.search(text)


@pytest.mark.parametrize(
    "text", ["HEROKU_API_URL", "heroku_account", "/teamsters", "heroku", "/unified/user-directory"]
)
def test_the_contracts_own_names_are_not_the_providers(text: str) -> None:
    assert not WORDS.search(text)
