"""What was read of the provider's lists, so that it outlives the process that read it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _directories()
    _units()


def _directories() -> None:
    op.create_table(
        "directories",
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("gather_cost", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="pk_directories"),
        sa.ForeignKeyConstraint(
            ["account_id"], ["integrated_accounts.id"], name="fk_directories_account_id", ondelete="CASCADE"
        ),
    )


def _units() -> None:
    op.create_table(
        "units",
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("path", sa.String(1024), nullable=False),
        sa.Column("body", sa.LargeBinary),
        sa.Column("refusal", sa.JSON),
        sa.Column("etag", sa.Text),
        sa.Column("cost", sa.Integer, nullable=False),
        sa.Column("fetched_at", sa.Double, nullable=False),
        sa.Column("changed_at", sa.Double, nullable=False),
        sa.Column("stale", sa.Boolean, nullable=False),
        sa.Column("proof_day", sa.Integer),
        sa.Column("proof_held", sa.Boolean),
        sa.PrimaryKeyConstraint("account_id", "path", name="pk_units"),
        sa.ForeignKeyConstraint(
            ["account_id"], ["integrated_accounts.id"], name="fk_units_account_id", ondelete="CASCADE"
        ),
    )
