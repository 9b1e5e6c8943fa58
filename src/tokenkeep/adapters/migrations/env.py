"""How alembic meets a database.

Owns: handing the connection that `adapters/migrate` opened to the versions. Does not own: connections, or the command
line; alembic's own command line is not used.
"""

from __future__ import annotations

from alembic import context

from tokenkeep.adapters.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite can; alembic does not assume it
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
