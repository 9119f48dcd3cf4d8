"""Links that let somebody connect an account, and the browsers that came by them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _link_tokens()
    _connect_sessions()


def _link_tokens() -> None:
    op.create_table(
        "link_tokens",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("tenant_id", sa.String(256)),
        sa.Column("account_id", sa.String(64)),
        sa.Column("redirect_uri", sa.Text),
        sa.Column("origin", sa.Text),
        sa.Column("context", sa.JSON, nullable=False),
        sa.Column("scopes", sa.JSON),
        sa.Column("authentication_methods", sa.JSON),
        sa.Column("created_by", sa.String(64)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("consumed_at", sa.DateTime(timezone=True)),
        sa.Column("account_result", sa.String(64)),
        sa.PrimaryKeyConstraint("id", name="pk_link_tokens"),
        sa.UniqueConstraint("hash", name="uq_link_tokens_hash"),
        sa.ForeignKeyConstraint(
            ["account_id"], ["integrated_accounts.id"], name="fk_link_tokens_account_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["account_result"], ["integrated_accounts.id"], name="fk_link_tokens_account_result", ondelete="CASCADE"
        ),
    )
    for column in ("account_id", "account_result", "expires_at"):
        op.create_index(f"ix_link_tokens_{column}", "link_tokens", [column])


def _connect_sessions() -> None:
    op.create_table(
        "connect_sessions",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("link_id", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state_hash", sa.LargeBinary),
        sa.Column("state_expires_at", sa.DateTime(timezone=True)),
        sa.Column("sealed_verifier", sa.LargeBinary),
        sa.Column("account_result", sa.String(64)),
        sa.PrimaryKeyConstraint("id", name="pk_connect_sessions"),
        sa.UniqueConstraint("hash", name="uq_connect_sessions_hash"),
        sa.ForeignKeyConstraint(
            ["link_id"], ["link_tokens.id"], name="fk_connect_sessions_link_id", ondelete="CASCADE"
        ),
    )
    for column in ("link_id", "expires_at"):
        op.create_index(f"ix_connect_sessions_{column}", "connect_sessions", [column])
