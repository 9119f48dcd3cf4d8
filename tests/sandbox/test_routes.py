"""The tree of routes, and that the sandbox stands alone."""

import ast
from pathlib import Path

import pytest

import adapter.sandbox
from adapter.sandbox.exchange import ROUTES

FOUND = [
    ("GET", "/teams/acme/members", "/teams/{team}/members", {"team": "acme"}),
    ("GET", "/teams/apps/web", "/teams/apps/{app}", {"app": "web"}),
    ("GET", "/teams/apps", "/teams/{team}", {"team": "apps"}),
    ("GET", "/teams/permissions/members", "/teams/{team}/members", {"team": "permissions"}),
    ("GET", "/teams/invitations/apps", "/teams/invitations/{token}", {"token": "apps"}),
    ("DELETE", "/teams/a/members/b%40x.org", "/teams/{team}/members/{member}", {"team": "a", "member": "b@x.org"}),
    ("DELETE", "/teams/a/members/b@x.org", "/teams/{team}/members/{member}", {"team": "a", "member": "b@x.org"}),
    ("GET", "/apps/a%2Fb", "/apps/{app}", {"app": "a/b"}),
    ("GET", "/teams/", "/teams", {}),
]


@pytest.mark.parametrize(("method", "path", "template", "params"), FOUND)
def test_a_path_is_found(method: str, path: str, template: str, params: dict[str, str]) -> None:
    found = ROUTES.find(method, path)

    assert found
    assert (found[0].template, found[1]) == (template, params)


NOT_FOUND = [("GET", "/"), ("PUT", "/teams"), ("GET", "/teams//members"), ("GET", "/x/y")]


@pytest.mark.parametrize(("method", "path"), NOT_FOUND)
def test_a_path_is_not_found(method: str, path: str) -> None:
    assert ROUTES.find(method, path) is None


def test_no_route_is_declared_twice() -> None:
    declared = [(route.method, route.template) for route in ROUTES.declared]

    assert len(declared) == len(set(declared))


MODULES = sorted(Path(adapter.sandbox.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_the_sandbox_imports_nothing_of_the_rest_of_the_adapter(module: Path) -> None:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level <= 1
            assert not (node.module or "").startswith("adapter")
        if isinstance(node, ast.Import):
            assert not [alias.name for alias in node.names if alias.name.startswith("adapter")]
