"""How this Heroku behaves where behaviour varies or is not established; every word can be changed while it runs."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Options(Struct, kw_only=True, forbid_unknown_fields=True):
    """The sandbox's temper. Defaults are what was seen or documented; the other values are what a client must survive.

    - `latency_ms`: added to every API answer.
    - `consistency_s`: how long (sandbox seconds) an app's collaborator stays readable after a DELETE.
    - `budget_capacity`, `budget_per_minute`: the request budget of each account.
    - `not_modified_costs`: whether a 304 is taken from the budget.
    - `retry_after`: what a 429 says in `Retry-After`.
    - `last_admin_status`: how removing or demoting a team's last admin is refused.
    - `hidden_status`: what a stranger to a team or app gets.
    - `invitee_id`: whether an invitation's `user` has an `id`. `known`: where the invited has an account, and the key
      is left out otherwise (the schema wants a UUID where it stands); `omitted`: never; `null`: null without account.
    - `unknown_people`: what happens to an address without account that is added at once to a team, app or enterprise
      account: it gets an (unverified, nameless) account, or is refused with 404.
    - `two_factor_shown`: whether team member lists tell `two_factor_authentication`; a team may differ.
    - `admins_in_collaborators`: whether team admins stand in their apps' collaborator lists; `some`: in about half.
    - `plain_app_permissions`: what collaborators' `permissions` say on a team without access controls.
    - `permissions_endpoint`: `missing` makes `/teams/:t/permissions` 404 everywhere; a team may differ.
    - `enterprise_ranges`: whether `/enterprise-accounts/:id/{teams,members}` are paged.
    - `access_token_s`, `rotate_refresh_tokens`: OAuth.
    """

    latency_ms: float = 0
    consistency_s: float = 3
    budget_capacity: float = 4500
    budget_per_minute: float = 75
    not_modified_costs: bool = True
    retry_after: Literal["absent", "seconds", "epoch"] = "absent"
    last_admin_status: Literal[403, 422] = 422
    hidden_status: Literal[403, 404] = 404
    invitee_id: Literal["known", "omitted", "null"] = "known"
    unknown_people: Literal["created", "refused"] = "created"
    two_factor_shown: bool = False
    admins_in_collaborators: Literal["all", "some", "none"] = "none"
    plain_app_permissions: tuple[str, ...] = ()
    permissions_endpoint: Literal["on", "missing"] = "on"
    enterprise_ranges: bool = False
    access_token_s: int = 28799
    rotate_refresh_tokens: bool = False
