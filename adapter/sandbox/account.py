"""The caller's own account: profile, features, keys, budget, preferences."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType, to_builtins

from .access import ANY, GLOBAL, IDENTITY, READ
from .answers import Answer, forbidden, invalid, not_found, record
from .calls import Call
from .catalog import ACCOUNT_FEATURES, feature_json
from .records import Account, Key
from .routes import Routes

routes = Routes()


class AccountChange(Struct):
    name: str | UnsetType | None = UNSET
    allow_tracking: bool | UnsetType = UNSET
    beta: bool | UnsetType = UNSET


class FeatureChange(Struct):
    enabled: bool


def account_json(call: Call, account: Account) -> dict[str, Any]:
    default = next((team for team in call.world.teams_of(account) if team.is_default), None)
    default_json = {"id": default.id, "name": default.name} if default else None
    return {
        "allow_tracking": account.allow_tracking,
        "beta": account.beta,
        "created_at": account.created_at,
        "email": account.email,
        "federated": account.federated,
        "id": account.id,
        "identity_provider": None,
        "last_login": account.last_login,
        "name": account.name,
        "sms_number": None,
        "suspended_at": account.updated_at if account.suspended else None,
        "delinquent_at": None,
        "two_factor_authentication": account.two_factor,
        "updated_at": account.updated_at,
        "verified": account.verified,
        "country_of_residence": None,
        "default_organization": default_json,
        "default_team": default_json,
    }


def _self(call: Call) -> Account:
    """The account of the path, which must be the caller's: nobody else's is shown."""
    account = call.found_account(call.params.get("account", "~"))
    if account.id != call.account.id:
        raise forbidden()
    return account


@routes.get("/account", IDENTITY)
@routes.get("/users/{account}", IDENTITY)
def show_account(call: Call) -> Answer:
    return record(account_json(call, _self(call)))


@routes.patch("/account", GLOBAL)
@routes.patch("/users/{account}", GLOBAL)
def update_account(call: Call) -> Answer:
    account, change = _self(call), call.body(AccountChange)
    for name in ("name", "allow_tracking", "beta"):
        if (value := getattr(change, name)) is not UNSET:
            setattr(account, name, value)
    account.updated_at = call.world.touch()
    return record(account_json(call, account))


@routes.delete("/account", GLOBAL)
@routes.delete("/users/{account}", GLOBAL)
def delete_account(call: Call) -> Answer:
    """Ends the caller's account, unless they own an app or are the only one in charge of a place."""
    account, world = _self(call), call.world
    if any(app.owner_id == account.id for app in world.apps_of(account)):
        raise invalid("You must delete or transfer your apps before you can delete your account.")
    if any(world.is_last_admin(team, account) for team in world.teams_of(account)) or _is_last_manager(call):
        raise invalid("You must hand over your teams and enterprise accounts before you can delete your account.")
    shown = account_json(call, account)
    call.sandbox.keyring.forget(account.id)
    world.remove_account(account)
    return record(shown)


def _is_last_manager(call: Call) -> bool:
    return any(
        [account_id for account_id, member in enterprise.members.items() if "manage" in member.permissions]
        == [call.account.id]
        for enterprise in call.world.enterprises.values()
    )


@routes.get("/account/delinquency", IDENTITY)
def show_delinquency(_call: Call) -> Answer:
    return record({"scheduled_suspension_time": None, "scheduled_deletion_time": None})


@routes.get("/account/rate-limits", ANY)
def show_rate_limits(call: Call) -> Answer:
    """What is left of the budget; asking costs nothing."""
    return record({"remaining": call.sandbox.budget.remaining(call.account.id)}, cacheable=False)


@routes.get("/account/features", READ)
def list_features(call: Call) -> Answer:
    return call.page("/account/features", ("name", "id"), lambda: [_feature(call, name) for name in ACCOUNT_FEATURES])


def _feature(call: Call, name: str) -> dict[str, Any]:
    account = call.account
    return feature_json("account-feature", account.id, name, name in account.features, account.created_at)


def _named_feature(call: Call) -> str:
    wanted = call.params["feature"]
    for name in ACCOUNT_FEATURES:
        if wanted in (name, _feature(call, name)["id"]):
            return name
    raise not_found("feature")


@routes.get("/account/features/{feature}", READ)
def show_feature(call: Call) -> Answer:
    return record(_feature(call, _named_feature(call)))


@routes.patch("/account/features/{feature}", GLOBAL)
def update_feature(call: Call) -> Answer:
    name, change = _named_feature(call), call.body(FeatureChange)
    (call.account.features.add if change.enabled else call.account.features.discard)(name)
    call.world.touch()
    return record(_feature(call, name))


# -- where invoices and messages go --------------------------------------------------------------------------------

ADDRESS = ("address_1", "address_2", "city", "country", "other", "postal_code", "state")


class InvoiceAddress(Struct, omit_defaults=True):
    address_1: str = ""
    address_2: str = ""
    city: str = ""
    country: str = ""
    other: str = ""
    postal_code: str = ""
    state: str = ""
    use_invoice_address: bool = False


def _address(account: Account) -> dict[str, Any]:
    blank = dict.fromkeys(ADDRESS, "") | {"heroku_id": account.email, "use_invoice_address": False}
    return blank | account.invoice_address


@routes.get("/account/invoice-address", GLOBAL)
def show_invoice_address(call: Call) -> Answer:
    return record(_address(call.account))


@routes.put("/account/invoice-address", GLOBAL)
def put_invoice_address(call: Call) -> Answer:
    """What is left out becomes empty."""
    call.account.invoice_address = to_builtins(call.body(InvoiceAddress))
    call.world.touch()
    return record(_address(call.account))


@routes.get("/users/{account}/sms-number", GLOBAL)
def show_sms_number(call: Call) -> Answer:
    """Nobody here has a number to recover an account by, so none can be confirmed either."""
    _self(call)
    return record({"sms_number": None})


# -- keys ----------------------------------------------------------------------------------------------------------


def key_json(call: Call, key: Key) -> dict[str, Any]:
    return {
        "comment": key.comment,
        "created_at": key.created_at,
        "email": call.world.accounts[key.account_id].email,
        "fingerprint": key.fingerprint,
        "id": key.id,
        "public_key": key.public_key,
        "updated_at": key.updated_at,
    }


@routes.get("/account/keys", GLOBAL)
def list_keys(call: Call) -> Answer:
    mine = [key for key in call.world.keys.values() if key.account_id == call.account.id]
    return call.page("/account/keys", ("id",), lambda: [key_json(call, key) for key in mine])


@routes.get("/account/keys/{key}", GLOBAL)
def show_key(call: Call) -> Answer:
    for key in call.world.keys.values():
        if key.account_id == call.account.id and call.params["key"] in (key.id, key.fingerprint):
            return record(key_json(call, key))
    raise not_found("key")


# -- preferences ---------------------------------------------------------------------------------------------------

TEXT_PREFERENCES = ("timezone", "default-organization")
FLAG_PREFERENCES = (
    "dismissed-github-banner",
    "dismissed-getting-started",
    "dismissed-org-access-controls",
    "dismissed-org-wizard-notification",
    "dismissed-pipelines-banner",
    "dismissed-pipelines-github-banner",
    "dismissed-sms-banner",
)

LIST_PREFERENCE = "dismissed-pipelines-github-banners"
"""Ids of pipelines."""


def _is_valid(name: str, value: object) -> bool:
    if name == LIST_PREFERENCE:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    return value is None or isinstance(value, bool if name in FLAG_PREFERENCES else str)


def _preferences(account: Account) -> dict[str, Any]:
    held = {name: account.preferences.get(name) for name in TEXT_PREFERENCES + FLAG_PREFERENCES}
    return held | {LIST_PREFERENCE: account.preferences.get(LIST_PREFERENCE)}


@routes.get("/users/{account}/preferences", READ)
def show_preferences(call: Call) -> Answer:
    return record(_preferences(_self(call)))


@routes.patch("/users/{account}/preferences", GLOBAL)
def update_preferences(call: Call) -> Answer:
    account = _self(call)
    for name, value in call.body(dict[str, object]).items():
        if name not in (*TEXT_PREFERENCES, *FLAG_PREFERENCES, LIST_PREFERENCE):
            raise invalid(f"Unknown preference {name}")
        if not _is_valid(name, value):
            raise invalid(f"Preference {name} is invalid")
        account.preferences[name] = value
    call.world.touch()
    return record(_preferences(account))
