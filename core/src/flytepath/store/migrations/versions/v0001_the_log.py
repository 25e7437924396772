"""The log, what lies beside it, and the list of executions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the first tables."""
    op.create_table(
        "events",
        sa.Column("execution", sa.String(255), primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "literals",
        sa.Column("execution", sa.String(255), primary_key=True),
        sa.Column("digest", sa.String(128), primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("execution", sa.String(255), primary_key=True),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("owner", sa.String(255)),
        sa.Column("expires_at", sa.Double, nullable=False),
    )
    op.create_table(
        "commands",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("execution", sa.String(255), nullable=False),
        sa.Column("posted_at", sa.Double, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("commands_by_execution", "commands", ["execution", "id"])
    op.create_table(
        "specs",
        sa.Column("digest", sa.String(128), primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "entities",
        sa.Column("project", sa.String(63), primary_key=True),
        sa.Column("domain", sa.String(63), primary_key=True),
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("version", sa.String(255), primary_key=True),
        sa.Column("kind", sa.String(32), primary_key=True),
        sa.Column("spec_digest", sa.String(128), nullable=False),
        sa.Column("bundle_digest", sa.String(128), nullable=False),
        sa.Column("metadata", sa.Text, nullable=False),
        sa.Column("registered_at", sa.Double, nullable=False),
    )
    op.create_table(
        "executions",
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("project", sa.String(63), nullable=False),
        sa.Column("domain", sa.String(63), nullable=False),
        sa.Column("workflow", sa.String(255), nullable=False),
        sa.Column("version", sa.String(255), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("last_seq", sa.Integer, nullable=False),
        sa.Column("owner", sa.String(255)),
    )
    op.create_index("executions_newest", "executions", ["created_at", "id"])
    op.create_index("executions_by_tenant", "executions", ["project", "domain", "created_at", "id"])
    op.create_index("executions_by_state", "executions", ["state", "created_at", "id"])
