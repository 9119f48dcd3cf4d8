"""What a sandbox's world says about people and grants, worked out from the world itself, never from the API."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any


def invited_id(email: str) -> str:
    return "invitation:" + sha256(email.strip().lower().encode()).hexdigest()[:32]


class Truth:
    """`people`: the ids of everybody with access or an invitation; `grants`: the ids of every grant they hold."""

    def __init__(self, world: Mapping[str, Any]) -> None:
        self.by_email = {account["email"].lower(): account["id"] for account in world["accounts"]}
        self.people: set[str] = set()
        self.grants: set[str] = set()
        self.pending: set[str] = set()
        for member in world["memberships"]:
            self._hold(member["account_id"], "team", member["team_id"], [member["role"]] if member["role"] else [])
        for invitation in world["invitations"]:
            self._invited(invitation)
        for app in world["apps"]:
            if app["owner_id"]:
                self._hold(app["owner_id"], "app", app["id"], ["owner"])
        for grant in world["collaborations"]:
            self._hold(grant["account_id"], "app", grant["app_id"], grant["permissions"] or ["collaborator"])
        for access in world["space_access"]:
            if access["permissions"]:
                self._hold(access["account_id"], "space", access["space_id"], access["permissions"])
        for member in world["enterprise_members"]:
            self._hold(member["account_id"], "enterprise", member["enterprise_account_id"], member["permissions"])

    def _hold(self, person: str, kind: str, place: str, roles: list[str]) -> None:
        self.people.add(person)
        self.grants |= {f"{kind}:{place}:{person}:{role}" for role in roles}

    def _invited(self, invitation: Mapping[str, Any]) -> None:
        address = invitation["email"].lower()
        person = self.by_email.get(address) or invited_id(address)
        self._hold(person, "team", invitation["team_id"], [invitation["role"]])
        self.pending.add(f"team:{invitation['team_id']}:{person}:{invitation['role']}")
