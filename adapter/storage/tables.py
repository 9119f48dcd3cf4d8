"""The tables as this version reads them; `migrations/` holds how they came to be, and a test compares the two."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

METADATA = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """A moment with its zone on both engines: SQLite keeps none, so it is stored and read as UTC."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


def fields_of(row: sa.Row[Any]) -> dict[str, Any]:
    """A row's values by column name, in plain strings: SQLAlchemy's own kind of string is refused by msgspec."""
    return {str(name): value for name, value in row._mapping.items()}  # noqa: SLF001  # public, despite its name


ACCOUNTS = sa.Table(
    "integrated_accounts",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("tenant_id", sa.String(256), nullable=False),
    sa.Column("status", sa.String(32), nullable=False),
    sa.Column("is_blocked", sa.Boolean, nullable=False),
    sa.Column("authentication_method", sa.String(16), nullable=False),
    sa.Column("context", sa.JSON, nullable=False),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("missing_scopes", sa.JSON, nullable=False),
    sa.Column("identity_id", sa.Text),
    sa.Column("identity_email", sa.Text),
    sa.Column("identity_name", sa.Text),
    sa.Column("last_error", sa.JSON(none_as_null=True)),
    sa.Column("last_forbidden_error", sa.JSON(none_as_null=True)),
    sa.Column("unified_model_override", sa.JSON(none_as_null=True)),
    sa.Column("allow_admin_grants", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    # One connection a tenant and provider account; without an identity (not shown to every credential) any number.
    sa.UniqueConstraint("tenant_id", "identity_id"),
)

CREDENTIALS = sa.Table(
    "credentials",
    METADATA,
    sa.Column("account_id", sa.ForeignKey(ACCOUNTS.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
)

TOKENS = sa.Table(
    "tokens",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("hash", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("name", sa.String(256)),
    sa.Column("tenant_id", sa.String(256)),
    sa.Column("account_id", sa.ForeignKey(ACCOUNTS.c.id, ondelete="CASCADE"), index=True),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("created_by", sa.String(64)),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime, index=True),
    sa.Column("revoked_at", UtcDateTime),
    sa.Column("last_used_at", UtcDateTime),
)

DIRECTORIES = sa.Table(
    "directories",
    METADATA,
    sa.Column("account_id", sa.ForeignKey(ACCOUNTS.c.id, ondelete="CASCADE"), primary_key=True),
    # Moves with every write that made units stale; what was on its way meanwhile is kept as stale.
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("gather_cost", sa.Integer, nullable=False),
    # What recent writes did to lists that lag behind them; null where nothing is known to.
    sa.Column("settling", sa.JSON(none_as_null=True)),
)

UNITS = sa.Table(
    "units",
    METADATA,
    sa.Column("account_id", sa.ForeignKey(ACCOUNTS.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("path", sa.String(1024), primary_key=True),
    # The records as compressed JSON; null where the provider refused, which `refusal` then holds.
    sa.Column("body", sa.LargeBinary),
    sa.Column("refusal", sa.JSON(none_as_null=True)),
    sa.Column("etag", sa.Text),
    sa.Column("cost", sa.Integer, nullable=False),
    # Seconds since the epoch.
    sa.Column("fetched_at", sa.Double, nullable=False),
    sa.Column("changed_at", sa.Double, nullable=False),
    sa.Column("stale", sa.Boolean, nullable=False),
    sa.Column("proof_day", sa.Integer),
    sa.Column("proof_held", sa.Boolean),
)

LINK_TOKENS = sa.Table(
    "link_tokens",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("hash", sa.LargeBinary, nullable=False, unique=True),
    # One of the two: whose new account it may become, or which account it connects again.
    sa.Column("tenant_id", sa.String(256)),
    sa.Column("account_id", sa.ForeignKey(ACCOUNTS.c.id, ondelete="CASCADE"), index=True),
    sa.Column("redirect_uri", sa.Text),
    sa.Column("origin", sa.Text),
    sa.Column("context", sa.JSON, nullable=False),
    sa.Column("scopes", sa.JSON(none_as_null=True)),
    sa.Column("authentication_methods", sa.JSON(none_as_null=True)),
    sa.Column("created_by", sa.String(64)),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False, index=True),
    sa.Column("consumed_at", UtcDateTime),
    sa.Column("account_result", sa.ForeignKey(ACCOUNTS.c.id, ondelete="CASCADE"), index=True),
)

CONNECT_SESSIONS = sa.Table(
    "connect_sessions",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    # Of the cookie's value.
    sa.Column("hash", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("link_id", sa.ForeignKey(LINK_TOKENS.c.id, ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False, index=True),
    # The one way to the provider that this browser has begun, until it comes back.
    sa.Column("state_hash", sa.LargeBinary),
    sa.Column("state_expires_at", UtcDateTime),
    sa.Column("sealed_verifier", sa.LargeBinary),
    # Set in the browser whose success consumed the link. No reference: the link's own takes the session with it.
    sa.Column("account_result", sa.String(64)),
)

# Of a write's history all times are seconds since the epoch, by the database's clock: one clock for every process.
OPERATIONS = sa.Table(
    "operations",
    METADATA,
    # Sorts by when it was asked for.
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("account_id", sa.ForeignKey(ACCOUNTS.c.id, ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("tenant_id", sa.String(256), nullable=False),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("status", sa.String(16), nullable=False, index=True),
    sa.Column("caller", sa.JSON, nullable=False),
    # Of caller, account and what is asked: whoever asks the same again joins the one that is not finished.
    sa.Column("sameness", sa.String(64), nullable=False, index=True),
    sa.Column("ask", sa.JSON, nullable=False),
    sa.Column("plan", sa.JSON, nullable=False),
    sa.Column("result", sa.JSON(none_as_null=True)),
    sa.Column("error", sa.JSON(none_as_null=True)),
    # Why no further step is to be sent, where somebody wants that.
    sa.Column("stop", sa.JSON(none_as_null=True)),
    # The operations that have to end before this one makes its plan.
    sa.Column("waits_for", sa.JSON, nullable=False),
    sa.Column("retry_at", sa.Double),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("updated_at", sa.Double, nullable=False),
    sa.Column("finished_at", sa.Double),
    # Until when it goes on by itself.
    sa.Column("deadline", sa.Double, nullable=False),
    sa.Column("owner", sa.String(64)),
    sa.Column("lease_until", sa.Double, nullable=False),
)

OPERATION_STEPS = sa.Table(
    "operation_steps",
    METADATA,
    sa.Column("operation_id", sa.ForeignKey(OPERATIONS.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("account_id", sa.ForeignKey(ACCOUNTS.c.id, ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("status", sa.String(16), nullable=False),
    # The rest of its state, opaque here.
    sa.Column("state", sa.JSON, nullable=False),
    sa.Column("sent_at", sa.Double),
    sa.Column("finished_at", sa.Double),
)

OPERATION_EVENTS = sa.Table(
    "operation_events",
    METADATA,
    sa.Column("operation_id", sa.ForeignKey(OPERATIONS.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("account_id", sa.ForeignKey(ACCOUNTS.c.id, ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("what", sa.String(64), nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
)

IDEMPOTENCY_KEYS = sa.Table(
    "idempotency_keys",
    METADATA,
    # A hash of the key and its scope.
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("account_id", sa.ForeignKey(ACCOUNTS.c.id, ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("operation_id", sa.ForeignKey(OPERATIONS.c.id, ondelete="CASCADE"), nullable=False, index=True),
    # A hash of what was asked with it.
    sa.Column("body", sa.String(64), nullable=False),
    sa.Column("created_at", sa.Double, nullable=False, index=True),
)

# Who may write to a place of the provider's at the moment. Keyed by the provider's id: several accounts may see it.
PLACE_LOCKS = sa.Table(
    "place_locks",
    METADATA,
    sa.Column("place", sa.String(512), primary_key=True),
    sa.Column("holder", sa.String(64), nullable=False),
    sa.Column("until", sa.Double, nullable=False),
)
