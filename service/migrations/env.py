"""Runs revisions on the connection that ``Database.migrate`` hands over; alembic executes this file by its path."""

from alembic import context

from service.database import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite cannot alter most of a table in place
)
with context.begin_transaction():
    context.run_migrations()
