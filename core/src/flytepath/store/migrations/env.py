"""What Alembic runs: the revisions, in the transaction that :mod:`flytepath.store.migrate` holds."""

from __future__ import annotations

from alembic import context

from flytepath.store.schema import METADATA

# Outside a migration (a tool that imports every module, say) there is nothing to run.
if hasattr(context, "config"):
    context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
    with context.begin_transaction():
        context.run_migrations()
