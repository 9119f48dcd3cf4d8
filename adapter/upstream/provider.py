"""What `provider.yaml` says of a provider, typed: where it is, who one is there, how it pages, refuses and counts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from adapter.declarations import bundled_dir, decode, overlay, read_yaml
from adapter.errors import DeclarationError, UpstreamNonsense
from adapter.models import ProviderIdentity
from adapter.upstream.access import AccessLists, AccessTable
from adapter.upstream.oauth import OAuthRule
from adapter.upstream.protocol import BudgetRule, ErrorRule, Paging, ScopeRule, value_at

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Address = Annotated[str, msgspec.Meta(pattern=r"^https?://[^/?#\s]+$")]
Path_ = Annotated[str, msgspec.Meta(pattern=r"^/")]


class _Declared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class IdentityCall(_Declared, frozen=True, kw_only=True):
    """The call that tells whose credential it is; the fields are dotted paths into its answer."""

    path: Path_
    id: str
    email: str | None = None
    name: str | None = None

    def read(self, answer: Any) -> ProviderIdentity:
        """The person behind the credential; UpstreamNonsense where the answer names none."""
        found = value_at(answer, self.id)
        if not isinstance(found, str) or not found:
            raise UpstreamNonsense("The provider did not say whose credential this is.")
        return ProviderIdentity(id=found, email=_text_at(answer, self.email), name=_text_at(answer, self.name))


class Timeouts(_Declared, frozen=True, kw_only=True):
    """Seconds."""

    connect: Seconds = 5.0
    answer: Seconds = 30.0
    """For an answer to begin, and for each silence within it."""
    token: Seconds = 15.0
    """For a credential to be given or refreshed; whoever reconnects the account meanwhile waits for it."""
    slot: Seconds = 10.0
    """How long a caller waits while the account's requests under way are as many as may be."""


class Provider(_Declared, frozen=True, kw_only=True):
    """One provider. `headers` are sent unless a call brings its own; `never_forward` names request headers that a
    caller can't send on, `*` at the end standing for anything.
    """

    id: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]*$")]
    name: str
    base_url: Address
    auth_url: Address
    headers: Mapping[str, str] = {}
    identity: IdentityCall
    paging: Paging
    budget: BudgetRule
    errors: ErrorRule
    scopes: ScopeRule
    oauth: OAuthRule
    timeouts: Timeouts = Timeouts()
    never_forward: tuple[str, ...] = ()
    access: AccessLists

    def access_table(self) -> AccessTable:
        return AccessTable(self.access)


def load_provider(dirs: Sequence[Path] | None = None, provider: str = "heroku") -> Provider:
    """`<dir>/<provider>/provider.yaml` of each directory, a later one laid over the earlier field by field.

    Without directories, the shipped declarations. DeclarationError where none has the file, or one can't be used.
    """
    files = [directory / provider / "provider.yaml" for directory in (dirs if dirs is not None else [bundled_dir()])]
    present = [file for file in files if file.is_file()]
    if not present:
        raise DeclarationError(str(files[0] if files else provider), "", "does not exist")
    data: dict[str, Any] = {}
    for file in present:
        data = overlay(data, read_yaml(file))
    loaded = decode(data, Provider, str(present[-1]))
    AccessTable(loaded.access, file=str(present[-1]))
    return loaded


def _text_at(data: Any, path: str | None) -> str | None:
    found = value_at(data, path) if path else None
    return found if isinstance(found, str) else None
