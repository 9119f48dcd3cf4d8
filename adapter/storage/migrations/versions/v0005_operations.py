"""Writes that were asked for: their plans, steps and histories, the keys they came with, and who writes where."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    allowed = sa.Column("allow_admin_grants", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("integrated_accounts", allowed)
    _operations()
    _steps()
    _events()
    _idempotency_keys()
    _place_locks()


def _operations() -> None:
    op.create_table(
        "operations",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("tenant_id", sa.String(256), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("caller", sa.JSON, nullable=False),
        sa.Column("sameness", sa.String(64), nullable=False),
        sa.Column("ask", sa.JSON, nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("result", sa.JSON),
        sa.Column("error", sa.JSON),
        sa.Column("stop", sa.JSON),
        sa.Column("waits_for", sa.JSON, nullable=False),
        sa.Column("retry_at", sa.Double),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("finished_at", sa.Double),
        sa.Column("deadline", sa.Double, nullable=False),
        sa.Column("owner", sa.String(64)),
        sa.Column("lease_until", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_operations"),
        _of_account("operations"),
    )
    for column in ("account_id", "status", "sameness"):
        op.create_index(f"ix_operations_{column}", "operations", [column])


def _steps() -> None:
    op.create_table(
        "operation_steps",
        sa.Column("operation_id", sa.String(64), nullable=False),
        sa.Column("n", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("state", sa.JSON, nullable=False),
        sa.Column("sent_at", sa.Double),
        sa.Column("finished_at", sa.Double),
        sa.PrimaryKeyConstraint("operation_id", "n", name="pk_operation_steps"),
        _of_operation("operation_steps"),
        _of_account("operation_steps"),
    )
    op.create_index("ix_operation_steps_account_id", "operation_steps", ["account_id"])


def _events() -> None:
    op.create_table(
        "operation_events",
        sa.Column("operation_id", sa.String(64), nullable=False),
        sa.Column("seq", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("what", sa.String(64), nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("operation_id", "seq", name="pk_operation_events"),
        _of_operation("operation_events"),
        _of_account("operation_events"),
    )
    op.create_index("ix_operation_events_account_id", "operation_events", ["account_id"])


def _idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("operation_id", sa.String(64), nullable=False),
        sa.Column("body", sa.String(64), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_idempotency_keys"),
        _of_operation("idempotency_keys"),
        _of_account("idempotency_keys"),
    )
    for column in ("account_id", "operation_id", "created_at"):
        op.create_index(f"ix_idempotency_keys_{column}", "idempotency_keys", [column])


def _place_locks() -> None:
    op.create_table(
        "place_locks",
        sa.Column("place", sa.String(512), nullable=False),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("until", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("place", name="pk_place_locks"),
    )


def _of_account(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["account_id"], ["integrated_accounts.id"], name=f"fk_{table}_account_id", ondelete="CASCADE"
    )


def _of_operation(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["operation_id"], ["operations.id"], name=f"fk_{table}_operation_id", ondelete="CASCADE"
    )
