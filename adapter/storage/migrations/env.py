"""What Alembic runs: the steps, over the connection that `adapter.storage.schema` put into its configuration."""

from alembic import context

from adapter.storage.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,  # SQLite changes a column by copying its table
    transactional_ddl=True,  # true of SQLite too, once the driver no longer commits behind one's back
)
with context.begin_transaction():
    context.run_migrations()
