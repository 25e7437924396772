"""What several engines share: snapshots, active versions, schedules, outputs by cache key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables, and find the leases of an engine without looking at all of them."""
    held = sa.text("owner IS NOT NULL")
    op.create_index("leases_by_owner", "leases", ["owner"], sqlite_where=held, postgresql_where=held)
    op.create_table(
        "snapshots",
        sa.Column("execution", sa.String(255), primary_key=True),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("format", sa.String(128), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "activations",
        sa.Column("project", sa.String(63), primary_key=True),
        sa.Column("domain", sa.String(63), primary_key=True),
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.String(255)),
        sa.Column("principal", sa.String(255), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_table(
        "schedules",
        sa.Column("project", sa.String(63), primary_key=True),
        sa.Column("domain", sa.String(63), primary_key=True),
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("done_until", sa.Double, nullable=False),
    )
    op.create_table(
        "outputs",
        sa.Column("project", sa.String(63), primary_key=True),
        sa.Column("domain", sa.String(63), primary_key=True),
        sa.Column("key", sa.String(128), primary_key=True),
        sa.Column("task", sa.String(255), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("stored_at", sa.Double, nullable=False),
    )
    op.create_index("outputs_by_task", "outputs", ["project", "domain", "task", "stored_at"])
    op.create_table(
        "reservations",
        sa.Column("project", sa.String(63), primary_key=True),
        sa.Column("domain", sa.String(63), primary_key=True),
        sa.Column("key", sa.String(128), primary_key=True),
        sa.Column("holder", sa.String(512), nullable=False),
        sa.Column("execution", sa.String(255), nullable=False),
        sa.Column("node", sa.String(1024), nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
    )
