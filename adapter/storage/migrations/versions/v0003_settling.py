"""What recent writes did to lists that lag behind them, for every process to know."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("directories", sa.Column("settling", sa.JSON))
