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
from adapter.web.openapi import document, raw
from tests.contract.asking import Asked, Case, is_reshaped

PROVIDER, MODEL = declarations(Settings())
DOCUMENT = json.loads(msgspec.json.encode(document.compose(document.parts(model=MODEL, provider=PROVIDER))))
CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": 20260131,
        "generation": {
            "with-security-parameters": False,
            "max-examples": 15,
            "deterministic": True,
            "database": "none",
        },
        "phases": {"stateful": {"enabled": False}},
    }
)
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT, config=CONFIG)
OURS = SCHEMA.exclude(tag=raw.TAG)
RAW = SCHEMA.include(tag=raw.TAG)


def named_status(_: CheckContext, response: Response, case: Case) -> None:
    """Nothing is hidden behind `default`: the sandbox refuses nothing that the description doesn't name."""
    named = {*case.operation.responses.status_codes, "405"}

    assert str(response.status_code) in named, f"{response.status_code} is not described"


def usual_shape(_: CheckContext, response: Response, case: Case) -> None:
    """An answer that nobody asked to be shaped otherwise has the first of the shapes that are described."""
    if response.status_code != 200 or is_reshaped(case):
        return
    schema = case.operation.definition.raw["responses"]["200"]["content"]["application/json"]["schema"]
    usual = {**schema.get("anyOf", [schema])[0], "components": DOCUMENT["components"]}

    jsonschema.Draft202012Validator(usual).validate(json.loads(response.content))


@OURS.parametrize()
def test_what_is_described_is_what_happens(case: Case, asked: Asked) -> None:
    asked.fill(case)

    case.call_and_validate(
        base_url=asked.running.url, headers=asked.headers, additional_checks=[named_status, usual_shape]
    )


@RAW.parametrize()
def test_the_raw_doors_hand_on_what_heroku_says(case: Case, asked: Asked) -> None:
    """Paths, bodies and methods are Heroku's to judge, so nothing is held against the description but that an answer
    comes, and that it is no failure of the doors'.
    """
    asked.fill_raw(case)

    answer = case.call_and_validate(
        base_url=asked.running.url, headers=asked.headers, checks=[not_a_server_error, status_code_conformance]
    )

    assert answer.headers["x-content-type-options"] == ["nosniff"] or answer.status_code == 400
