"""Where a bound client's credential comes from: the seam between the upstream and whoever keeps credentials."""

from typing import Protocol

from adapter.errors import RemoteForbidden
from adapter.models import Secret


class CredentialSource(Protocol):
    """Gives a bound client its credential, and is told what became of it."""

    async def token(self) -> Secret:
        """The credential to send."""

    async def renew(self, rejected: Secret) -> Secret | None:
        """Another one in place of `rejected`, if there is one; raises where that can't be found out."""

    async def rejected(self, token: Secret) -> None:
        """No credential was accepted, renewed or not; `token` was the last."""

    async def forbidden(self, error: RemoteForbidden) -> None:
        """The credential was accepted, but may not do what was asked."""


class FixedCredential:
    """A credential that nobody keeps yet: to find out whose it is."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret

    async def token(self) -> Secret:
        return self._secret

    async def renew(self, rejected: Secret) -> Secret | None:  # noqa: ARG002  # there is only the one
        return None

    async def rejected(self, token: Secret) -> None:
        """Nobody to tell: the caller sees the error."""

    async def forbidden(self, error: RemoteForbidden) -> None:
        """Likewise."""
