"""The way of the schema from release to release, one Alembic revision each; revisions already released never change."""
