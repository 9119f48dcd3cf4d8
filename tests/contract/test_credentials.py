"""Every operation asks for the credentials that it is described with, and the open ones for none."""

import httpx
import pytest

from adapter.models import ALL_SCOPES, Scope
from adapter.web.openapi.connecting import PAGE_TAG
from tests.contract.asking import Asked
from tests.contract.test_schemathesis import DOCUMENT

OPERATIONS = [
    (method.upper(), path)
    for path, item in DOCUMENT["paths"].items()
    for method, made in item.items()
    if PAGE_TAG not in made["tags"]
]
CREDENTIALS = {
    "none": {},
    "a token of nobody's": {"authorization": f"Bearer uda_{'x' * 43}"},
    "no token at all": {"authorization": "Bearer ?"},
    "the wrong scheme": {"authorization": "Negotiate abc"},
}


@pytest.mark.parametrize("presented", list(CREDENTIALS))
def test_nothing_but_what_is_open_answers_without_a_token(asked: Asked, presented: str) -> None:
    with httpx.Client(base_url=asked.running.url, headers=CREDENTIALS[presented], trust_env=False) as client:
        for method, path in OPERATIONS:
            answer = client.request(method, path.replace("{id}", "x").replace("{path}", "account"))

            is_open = DOCUMENT["paths"][path][method.lower()]["security"] == []
            assert answer.status_code == (200 if is_open else 401), (method, path)
            assert ("www-authenticate" in answer.headers) != is_open, (method, path)


def test_an_account_token_opens_what_it_is_described_to_open(asked: Asked) -> None:
    """And nothing else: there it is 403, whatever its scopes."""
    token = asked.running.account_token(*(ALL_SCOPES - {Scope.RAW_SECRETS}))
    with asked.running.client(token) as client:
        for method, path in OPERATIONS:
            ways = DOCUMENT["paths"][path][method.lower()]["security"]
            if ways and not any("accountToken" in way for way in ways):
                answer = client.request(method, path.replace("{id}", asked.spare_id), json={})

                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (method, path)


def test_an_account_token_needs_the_scope_that_is_named(asked: Asked) -> None:
    with asked.running.client(asked.running.account_token(Scope.RAW_READ)) as client:
        for method, path in OPERATIONS:
            ways = DOCUMENT["paths"][path][method.lower()]["security"]
            if {"accountToken": ["directory:read"]} in ways or {"accountToken": ["directory:write"]} in ways:
                answer = client.request(method, path.replace("{id}", "x"))

                assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope"), (method, path)
