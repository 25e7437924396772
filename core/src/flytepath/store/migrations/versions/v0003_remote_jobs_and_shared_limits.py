"""Remote jobs, shared limits, and what tells this database's jobs from those of others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "installation",
        sa.Column("id", sa.String(64), primary_key=True),
    )
    op.create_table(
        "jobs",
        sa.Column("key", sa.String(128), primary_key=True),
        sa.Column("execution", sa.String(255), nullable=False),
        sa.Column("node", sa.String(1024), nullable=False),
        sa.Column("project", sa.String(63), nullable=False),
        sa.Column("domain", sa.String(63), nullable=False),
        sa.Column("backend", sa.String(255), nullable=False),
        sa.Column("scope", sa.String(255), nullable=False),
        sa.Column("external_name", sa.String(255), nullable=False),
        sa.Column("submission", sa.Integer, nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("is_live", sa.Integer, nullable=False),
        sa.Column("raw_state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("handle", sa.Text),
        sa.Column("changed_at", sa.Double, nullable=False),
        sa.Column("planned_at", sa.Double, nullable=False),
    )
    op.create_index("jobs_by_execution", "jobs", ["execution"])
    op.create_index("jobs_live", "jobs", ["is_live", "backend"])
    op.create_index("jobs_by_tenant", "jobs", ["project", "domain", "planned_at"])
    op.create_table(
        "quota_turn",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("turn", sa.BigInteger, nullable=False),
        sa.Column("stamp", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "quota_pools",
        sa.Column("pool", sa.String(255), primary_key=True),
        sa.Column("vtime", sa.Double, nullable=False),
        sa.Column("mean_seconds", sa.Double, nullable=False),
    )
    op.create_table(
        "quota_accounts",
        sa.Column("pool", sa.String(255), primary_key=True),
        sa.Column("project", sa.String(63), primary_key=True),
        sa.Column("domain", sa.String(63), primary_key=True),
        sa.Column("vtime", sa.Double, nullable=False),
        sa.Column("mean_seconds", sa.Double, nullable=False),
        sa.Column("served", sa.Double, nullable=False),
    )
    op.create_table(
        "quota_holders",
        sa.Column("holder", sa.String(255), primary_key=True),
        sa.Column("expires_at", sa.Double, nullable=False),
    )
    op.create_table(
        "quota_waiters",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("project", sa.String(63), nullable=False),
        sa.Column("domain", sa.String(63), nullable=False),
        sa.Column("line", sa.String(64), nullable=False),
        sa.Column("asks", sa.Text, nullable=False),
        sa.Column("execution", sa.String(255), nullable=False),
        sa.Column("node", sa.String(1024), nullable=False),
        sa.Column("holder", sa.String(255), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("asked_at", sa.Double, nullable=False),
        sa.Column("passed", sa.Integer, nullable=False),
    )
    op.create_index("quota_waiters_by_key", "quota_waiters", ["key"], unique=True)
    op.create_index("quota_waiters_in_line", "quota_waiters", ["line", "number"])
    op.create_index("quota_waiters_by_holder", "quota_waiters", ["holder"])
    op.create_table(
        "quota_leases",
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("pool", sa.String(255), primary_key=True),
        sa.Column("tokens", sa.Integer, nullable=False),
        sa.Column("project", sa.String(63), nullable=False),
        sa.Column("domain", sa.String(63), nullable=False),
        sa.Column("execution", sa.String(255), nullable=False),
        sa.Column("node", sa.String(1024), nullable=False),
        sa.Column("holder", sa.String(255), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("granted_at", sa.Double, nullable=False),
        sa.Column("is_firm", sa.Integer, nullable=False),
        sa.Column("turn", sa.BigInteger, nullable=False),
    )
    op.create_index("quota_leases_by_pool", "quota_leases", ["pool"])
    op.create_index("quota_leases_by_holder", "quota_leases", ["holder", "turn"])
    op.create_table(
        "rate_buckets",
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("allowed_at", sa.Double, nullable=False),
        sa.Column("held_until", sa.Double, nullable=False),
        sa.Column("changed_at", sa.Double, nullable=False),
    )
