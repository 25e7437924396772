"""The tables, once, for every database: SQLAlchemy Core, nothing here belongs to one dialect.

``events``, ``literals``, ``leases``, ``commands``, ``specs``, ``entities``, ``activations``, ``schedules``,
``installation`` and ``quota_leases`` are the truth; ``executions`` and ``jobs`` are projections of ``events`` that can
be dropped and rebuilt, and ``snapshots``, ``outputs`` and ``reservations`` may be lost at any time: what they save is
then done again. So may the other ``quota_`` tables and ``rate_buckets``: engines ask again, and who had how much before
is forgotten. JSON is kept as text in our own ASCII form, so that digests and numbers survive any driver. The migrations
under ``migrations/versions`` lead to exactly these tables; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, Integer, LargeBinary, MetaData, String, Table, Text, text

METADATA = MetaData()

#: The log. One row per event; ``body`` is the whole event as JSON, the other columns are for queries.
EVENTS = Table(
    "events",
    METADATA,
    Column("execution", String(255), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("type", String(64), nullable=False),
    Column("body", Text, nullable=False),
)

#: Values beside the log, so that one can be erased while the history still folds.
LITERALS = Table(
    "literals",
    METADATA,
    Column("execution", String(255), primary_key=True),
    Column("digest", String(128), primary_key=True),
    Column("body", Text, nullable=False),
)

#: Who may append to an execution. A row outlives its lease, because an epoch is never given twice.
LEASES = Table(
    "leases",
    METADATA,
    Column("execution", String(255), primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("owner", String(255)),
    Column("expires_at", Double, nullable=False),
    Index(
        "leases_by_owner", "owner", sqlite_where=text("owner IS NOT NULL"), postgresql_where=text("owner IS NOT NULL")
    ),
)

#: What others ask of an execution's owner. ``AUTOINCREMENT``: an identifier that was taken never comes back.
COMMANDS = Table(
    "commands",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("execution", String(255), nullable=False),
    Column("posted_at", Double, nullable=False),
    Column("body", Text, nullable=False),
    Index("commands_by_execution", "execution", "id"),
    sqlite_autoincrement=True,
)

#: Compiled graphs and other JSON, by the digest of their canonical form.
SPECS = Table(
    "specs",
    METADATA,
    Column("digest", String(128), primary_key=True),
    Column("body", Text, nullable=False),
)

#: Registered versions of tasks, workflows and launch plans.
ENTITIES = Table(
    "entities",
    METADATA,
    Column("project", String(63), primary_key=True),
    Column("domain", String(63), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("version", String(255), primary_key=True),
    Column("kind", String(32), primary_key=True),
    Column("spec_digest", String(128), nullable=False),
    Column("bundle_digest", String(128), nullable=False),
    Column("metadata", Text, nullable=False),
    Column("registered_at", Double, nullable=False),
)

#: A projection of ``events``: one row per execution, for lists.
EXECUTIONS = Table(
    "executions",
    METADATA,
    Column("id", String(255), primary_key=True),
    Column("project", String(63), nullable=False),
    Column("domain", String(63), nullable=False),
    Column("workflow", String(255), nullable=False),
    Column("version", String(255), nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("last_seq", Integer, nullable=False),
    Column("owner", String(255)),
    Index("executions_newest", "created_at", "id"),
    Index("executions_by_tenant", "project", "domain", "created_at", "id"),
    Index("executions_by_state", "state", "created_at", "id"),
)

#: The state of an execution after one of its events, so that not every event has to be folded again.
SNAPSHOTS = Table(
    "snapshots",
    METADATA,
    Column("execution", String(255), primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("format", String(128), nullable=False),
    Column("body", LargeBinary, nullable=False),
)

#: Which version of a launch plan is active: its row with the highest number. ``version`` is null where none is.
ACTIVATIONS = Table(
    "activations",
    METADATA,
    Column("project", String(63), primary_key=True),
    Column("domain", String(63), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("version", String(255)),
    Column("principal", String(255), nullable=False),
    Column("at", Double, nullable=False),
)

#: Up to which moment the schedule of a launch plan has been dealt with; moved in the transaction that starts a run.
SCHEDULES = Table(
    "schedules",
    METADATA,
    Column("project", String(63), primary_key=True),
    Column("domain", String(63), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("done_until", Double, nullable=False),
)

#: Outputs of tasks by cache key, where engines of several machines share them.
OUTPUTS = Table(
    "outputs",
    METADATA,
    Column("project", String(63), primary_key=True),
    Column("domain", String(63), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("task", String(255), nullable=False),
    Column("body", Text, nullable=False),
    Column("facts", Text, nullable=False),
    Column("stored_at", Double, nullable=False),
    Index("outputs_by_task", "project", "domain", "task", "stored_at"),
)

#: Who computes the outputs of a cache key right now, so that others wait for them.
RESERVATIONS = Table(
    "reservations",
    METADATA,
    Column("project", String(63), primary_key=True),
    Column("domain", String(63), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("holder", String(512), nullable=False),
    Column("execution", String(255), nullable=False),
    Column("node", String(1024), nullable=False),
    Column("expires_at", Double, nullable=False),
)

#: One row: what tells the jobs of this database from those of any other, at a vendor that both use.
INSTALLATION = Table("installation", METADATA, Column("id", String(64), primary_key=True))

#: A projection of ``events``: one row per remote job.
JOBS = Table(
    "jobs",
    METADATA,
    Column("key", String(128), primary_key=True),
    Column("execution", String(255), nullable=False),
    Column("node", String(1024), nullable=False),
    Column("project", String(63), nullable=False),
    Column("domain", String(63), nullable=False),
    Column("backend", String(255), nullable=False),
    Column("scope", String(255), nullable=False),
    Column("external_name", String(255), nullable=False),
    Column("submission", Integer, nullable=False),
    Column("phase", String(16), nullable=False),
    Column("is_live", Integer, nullable=False),
    Column("raw_state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("handle", Text),
    Column("changed_at", Double, nullable=False),
    Column("planned_at", Double, nullable=False),
    Index("jobs_by_execution", "execution"),
    Index("jobs_live", "is_live", "backend"),
    Index("jobs_by_tenant", "project", "domain", "planned_at"),
)

#: One row: how often something changed in the quota tables. Whoever changes something takes the next number first, so
#: that changes follow one another, and engines see at a glance whether there is something new. ``stamp`` is drawn by
#: whoever changes what decisions are made from: an engine that finds its own one again has seen all there is.
QUOTA_TURN = Table(
    "quota_turn",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("turn", BigInteger, nullable=False),
    Column("stamp", BigInteger, nullable=False),
)

#: What fair sharing remembers of a pool: its virtual time, and how long a lease lasts.
QUOTA_POOLS = Table(
    "quota_pools",
    METADATA,
    Column("pool", String(255), primary_key=True),
    Column("vtime", Double, nullable=False),
    Column("mean_seconds", Double, nullable=False),
)

#: The same of a tenant in a pool, with the slot-seconds it was served.
QUOTA_ACCOUNTS = Table(
    "quota_accounts",
    METADATA,
    Column("pool", String(255), primary_key=True),
    Column("project", String(63), primary_key=True),
    Column("domain", String(63), primary_key=True),
    Column("vtime", Double, nullable=False),
    Column("mean_seconds", Double, nullable=False),
    Column("served", Double, nullable=False),
)

#: Engines that wait or hold, and how long they may be believed to be alive: one row to renew, however much they hold.
QUOTA_HOLDERS = Table(
    "quota_holders",
    METADATA,
    Column("holder", String(255), primary_key=True),
    Column("expires_at", Double, nullable=False),
)

#: Who waits for tokens. ``number`` is the order of arrival; ``line`` names the tenant and what is asked, so that those
#: of one line differ in nothing but their order.
QUOTA_WAITERS = Table(
    "quota_waiters",
    METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("key", String(255), nullable=False),
    Column("project", String(63), nullable=False),
    Column("domain", String(63), nullable=False),
    Column("line", String(64), nullable=False),
    Column("asks", Text, nullable=False),
    Column("execution", String(255), nullable=False),
    Column("node", String(1024), nullable=False),
    Column("holder", String(255), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("asked_at", Double, nullable=False),
    Column("passed", Integer, nullable=False),
    Index("quota_waiters_by_key", "key", unique=True),
    Index("quota_waiters_in_line", "line", "number"),
    Index("quota_waiters_by_holder", "holder"),
)

#: Who holds tokens: the one source of truth. ``turn`` is the change that granted it.
QUOTA_LEASES = Table(
    "quota_leases",
    METADATA,
    Column("key", String(255), primary_key=True),
    Column("pool", String(255), primary_key=True),
    Column("tokens", Integer, nullable=False),
    Column("project", String(63), nullable=False),
    Column("domain", String(63), nullable=False),
    Column("execution", String(255), nullable=False),
    Column("node", String(1024), nullable=False),
    Column("holder", String(255), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("granted_at", Double, nullable=False),
    Column("is_firm", Integer, nullable=False),
    Column("turn", BigInteger, nullable=False),
    Index("quota_leases_by_pool", "pool"),
    Index("quota_leases_by_holder", "holder", "turn"),
)

#: How many calls were made of late, by name of the limit: see :mod:`flytepath.store.rates`.
RATE_BUCKETS = Table(
    "rate_buckets",
    METADATA,
    Column("name", String(255), primary_key=True),
    Column("allowed_at", Double, nullable=False),
    Column("held_until", Double, nullable=False),
    Column("changed_at", Double, nullable=False),
)
