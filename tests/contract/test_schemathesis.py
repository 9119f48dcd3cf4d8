"""The description is kept: what it lets through is taken, what it forbids is refused, every answer is as it says."""

import json

import jsonschema
import msgspec
import schemathesis
from schemathesis.checks import CheckContext, not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import status_code_conformance

from adapter.app import declarations
from adapter.config import Settings
from adapter.web.openapi import connecting, document, raw
from tests.contract.asking import Asked, Case, is_reshaped

PROVIDER, MODEL = declarations(Settings())
DOCUMENT = json.loads(msgspec.json.encode(document.compose(document.parts(model=MODEL, provider=PROVIDER))))
CONFIG = {
    "seed": 20260131,
    "generation": {
        "max-examples": 15,
        "deterministic": True,
        "database": "none",
        # Who asks is said by the test; credentials that open nothing are for the tests of the edge.
        "with-security-parameters": False,
    },
    "phases": {"stateful": {"enabled": False}},
    # It asks everything three times; who may not call is asked once for each operation, in test_credentials.py.
    "checks": {"ignored_auth": {"enabled": False}},
}
DESCRIBED = schemathesis.openapi.from_dict(DOCUMENT, config=SchemathesisConfig.from_dict(CONFIG))


# The connect page is for browsers, in which it is tried.
@DESCRIBED.exclude(tag=[raw.TAG, connecting.PAGE_TAG]).parametrize()
def test_what_is_described_is_what_happens(case: Case, asked: Asked) -> None:
    asked.fill(case)

    case.call_and_validate(
        base_url=asked.running.url, headers=asked.headers, additional_checks=[named_status, usual_shape]
    )


@DESCRIBED.include(tag=raw.TAG).parametrize()
def test_the_raw_doors_answer_whatever_comes(case: Case, asked: Asked) -> None:
    """Paths, bodies and methods are Heroku's to judge and its answers have its own shapes, so no more is held against
    the description than that an answer comes, and that it is no failure of the doors'.
    """
    asked.fill_raw(case)

    case.call_and_validate(
        base_url=asked.running.url, headers=asked.headers, checks=[not_a_server_error, status_code_conformance]
    )


def named_status(_: CheckContext, response: Response, case: Case) -> None:
    """Nothing is hidden behind `default`: the sandbox refuses nothing that the description doesn't name."""
    named = {*case.operation.definition.raw["responses"], "405"}

    assert str(response.status_code) in named, f"{response.status_code} is not described"


def usual_shape(_: CheckContext, response: Response, case: Case) -> None:
    """An answer that nobody asked to be shaped otherwise has the first of the shapes that are described."""
    if response.status_code != 200 or is_reshaped(case):
        return
    schema = case.operation.definition.raw["responses"]["200"]["content"]["application/json"]["schema"]
    usual = {**schema.get("anyOf", [schema])[0], "components": DOCUMENT["components"]}

    jsonschema.Draft202012Validator(usual).validate(json.loads(response.content))
