"""Integrated accounts, their sealed credentials, and callers' tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _accounts()
    _credentials()
    _tokens()


def _accounts() -> None:
    op.create_table(
        "integrated_accounts",
        sa.Column("id", sa.String(64), nullable=False),
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
        sa.Column("last_error", sa.JSON),
        sa.Column("last_forbidden_error", sa.JSON),
        sa.Column("unified_model_override", sa.JSON),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_integrated_accounts"),
        sa.UniqueConstraint("tenant_id", "identity_id", name="uq_integrated_accounts_tenant_id_identity_id"),
    )


def _credentials() -> None:
    op.create_table(
        "credentials",
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="pk_credentials"),
        sa.ForeignKeyConstraint(
            ["account_id"], ["integrated_accounts.id"], name="fk_credentials_account_id", ondelete="CASCADE"
        ),
    )


def _tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(256)),
        sa.Column("tenant_id", sa.String(256)),
        sa.Column("account_id", sa.String(64)),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("created_by", sa.String(64)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("hash", name="uq_tokens_hash"),
        sa.ForeignKeyConstraint(
            ["account_id"], ["integrated_accounts.id"], name="fk_tokens_account_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_tokens_account_id", "tokens", ["account_id"])
    op.create_index("ix_tokens_expires_at", "tokens", ["expires_at"])
