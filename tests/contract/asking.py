"""What a generated request has to be given before it can mean something here: who asks, and ids that exist."""

from dataclasses import dataclass, field
from typing import Any

import schemathesis
from schemathesis.generation import GenerationMode

from adapter.web.auth import ACCOUNT_PARAMETER
from adapter.web.links import PATH as LINKS
from tests.e2e.serving import Connected

Case = schemathesis.Case[Any]
DIRECTORY = "/unified/user-directory/"
RESHAPING = frozenset({"truto_exclude_fields", "truto_key_by", "truto_response_format", "format", "dry_run"})
RAW_PATHS = ("teams", "apps", "account", "account/rate-limits", "nothing/of/the/kind")


@dataclass(kw_only=True)
class Asked:
    """The running adapter, and what is known of it."""

    running: Connected
    spare_id: str
    """An account that may be changed; the other one is read."""
    keys: dict[str, str]
    raw_turn: int = 0
    record_ids: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, running: Connected) -> "Asked":
        keys = {"read": running.sandbox.owner_token, "change": running.sandbox.token(["global"], "member@example.com")}
        spare = running.connect(keys["change"], tenant_id="spare")
        assert spare.status_code == 200, spare.text
        return cls(running=running, spare_id=spare.json()["id"], keys=keys)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.running.api_token}"}

    def fill(self, case: Case) -> None:
        """Put what exists in the place of what was made up; what was made wrong on purpose stays wrong."""
        wrong = _wrong_parts(case)
        query = _mapping(case.query)
        if ACCOUNT_PARAMETER not in wrong and case.operation.path.startswith(
            (DIRECTORY, "/graph", "/operations", "/integrated-account/me")
        ):
            query[ACCOUNT_PARAMETER] = self.running.account_id
        if not wrong:
            # Well formed is not enough for these: a cursor is sealed, a key unique.
            query.pop("next_cursor", None)
            if "truto_key_by" in query:
                query["truto_key_by"] = "id"
        writes = case.method != "GET" and case.operation.path.startswith(DIRECTORY)
        if writes and not wrong:
            # The world that others read stays as it is; who is where decides what a write is answered with.
            query["dry_run"] = "true"
            case.body = self._a_write(case.method, case.operation.path)
            for name in ("group_id", "workspace_id", "organization_id"):
                query.pop(name, None)
            # Only a plan tells its ETag; one that is made up goes out without its quotes.
            if case.headers:
                case.headers.pop("If-Match", None)
        if case.operation.path == LINKS and not wrong:
            # One of two ids, and addresses that this deployment lists: no schema tells which.
            case.body = {"tenant_id": "acme"}
        case.query = query
        self._fill_path(case, wrong)
        if not wrong and not writes and isinstance(case.body, dict):
            self._fill_body(case.body)

    def fill_raw(self, case: Case) -> None:
        case.path_parameters = {"path": RAW_PATHS[self.raw_turn % len(RAW_PATHS)]}
        self.raw_turn += 1
        case.query = {**_mapping(case.query), ACCOUNT_PARAMETER: self.running.account_id}

    def _fill_path(self, case: Case, wrong: set[str]) -> None:
        path = case.operation.path
        if "{id}" not in path or "id" in wrong:
            return
        if path.startswith(DIRECTORY):
            case.path_parameters = {"id": self._record_id(path.removeprefix(DIRECTORY).partition("/")[0])}
        elif case.method != "DELETE" or path.endswith("/tokens"):
            case.path_parameters = {"id": self.spare_id}

    def _a_write(self, method: str, path: str) -> dict[str, Any]:
        """A body that means something: nothing of a place, a role and a person can be made up."""
        resource, _, rest = path.removeprefix(DIRECTORY).partition("/")
        by_body = {} if rest or method == "POST" else {"id": self._record_id(resource)}
        group, user = {"group_id": self._record_id("groups")}, {"user_id": self._record_id("users")}
        role = {"id": "team:member", **group}
        grant = self._record_id("role_assignments").split(":")
        bodies: dict[tuple[str, str], dict[str, Any]] = {
            ("POST", "users"): {"email": "new@example.com", "roles": [role]},
            ("PATCH", "users"): {"roles": [role]},
            ("POST", "users/offboard"): user,
            ("POST", "role_assignments"): {**user, "role_id": role["id"], **group},
            ("PATCH", "role_assignments"): {"role_id": f"{grant[0]}:{grant[-1]}"},
            ("POST", "groups"): {"name": "new", "organization_id": self._record_id("organizations")},
            ("PATCH", "groups"): {"name": "new"},
            ("POST", "groups/add-user"): {**user, **group},
            ("POST", "groups/remove-user"): {**user, **group},
        }
        kept = f"{resource}/{rest}" if rest and rest != "{id}" else resource
        return {**bodies.get((method, kept), {}), **by_body}

    def _fill_body(self, body: dict[str, Any]) -> None:
        for name in ("id", "integrated_account_id"):
            if name in body:
                body[name] = self.spare_id
        if "tenant_id" in body:
            # No pattern says "printable" in every dialect of regular expressions.
            body["tenant_id"] = "".join(filter(str.isprintable, body["tenant_id"])) or "acme"
        if body.get("unified_model_override"):
            # What is an expression, and of which field, no schema can say.
            body["unified_model_override"] = {"users": {"fields": {"name": "user.name"}}}
        if isinstance(body.get("context"), dict) and "api_key" in body["context"]:
            body["context"]["api_key"] = self.keys["change"]

    def _record_id(self, resource: str) -> str:
        if resource not in self.record_ids:
            answer = self.running.get(f"{DIRECTORY}{resource}", limit=1)
            self.record_ids[resource] = answer.json()["result"][0]["id"]
        return self.record_ids[resource]


def _wrong_parts(case: Case) -> set[str]:
    """The names of what was made wrong on purpose; `body` for something in it, `?` where it is not said."""
    if case.meta is None or case.meta.generation.mode is GenerationMode.POSITIVE:
        return set()
    data = case.meta.phase.data
    names = {getattr(data, "parameter", None), *(one.parameter for one in getattr(data, "mutations", None) or ())}
    return {name for name in names if name} or {"?"}


def _mapping(query: Any) -> dict[str, Any]:
    return dict(query) if isinstance(query, dict) else {}


def is_reshaped(case: Case) -> bool:
    """Whether the caller asked for another shape than the usual one, or for no JSON at all."""
    return case.operation.path in {"/metrics", "/docs"} or bool(RESHAPING & set(_mapping(case.query)))
