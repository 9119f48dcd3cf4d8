"""Who may have to do with which account, and which provider account it may stand for."""

from adapter.accounts.trial import Finding
from adapter.errors import Conflict, Forbidden
from adapter.models import Caller, IntegratedAccount


def in_tenant(tenant_id: str, caller: Caller | None) -> bool:
    return caller is None or caller.tenant_id is None or caller.tenant_id == tenant_id


def refuse_other_tenant(tenant_id: str, caller: Caller | None) -> None:
    refuse_account_token(caller)
    if not in_tenant(tenant_id, caller):
        raise Forbidden("This API token is bound to another tenant.")


def refuse_account_token(caller: Caller | None) -> None:
    if caller is not None and caller.kind == "account":
        raise Forbidden("An integrated account token opens the directory and the raw doors; this needs an API token.")


def refuse_other_identity(account: IntegratedAccount, finding: Finding) -> None:
    if account.identity is None:
        return
    if finding.identity is None:
        raise Conflict(
            "This credential can't show whose it is, so it can't take the place of the present one: "
            "send one that may read its own account, or connect it as another integrated account."
        )
    if finding.identity.id != account.identity.id:
        raise Conflict("This credential belongs to another provider account; connect it as another integrated account.")


def refuse_another_owner(account: IntegratedAccount, finding: Finding) -> None:
    """Conflict where a kept credential is found to open another provider account than it did."""
    if account.identity and finding.identity and account.identity.id != finding.identity.id:
        raise Conflict(
            "The kept credential opens another provider account than before, so nothing is read by it; "
            "reconnect the account with a credential of its own."
        )
