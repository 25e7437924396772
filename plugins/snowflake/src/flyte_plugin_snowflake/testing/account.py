"""What the double's account holds: users and how they log in, warehouses, queries, and what a test lets happen."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Final

Json = Any
#: States of queries that are alive, by the page of ``SYSTEM$GET_RESULTSET_STATUS``.
LIVE: Final = frozenset({"RUNNING", "ABORTING", "QUEUED", "RESUMING_WAREHOUSE", "QUEUED_REPARING_WAREHOUSE", "BLOCKED"})


class Refusal(Exception):
    """What the service answers when it refuses: its code, its text, and the SQL state."""

    def __init__(self, code: str, message: str, state: str = "", status: int = 200) -> None:
        super().__init__(message)
        self.code, self.message, self.state, self.status = code, message, state, status


@dataclass(slots=True)
class Query:
    """One query of the account. ``answer``: what a fetch of its result gives; ``children``: of several statements."""

    id: str
    tag: str
    user: str
    text: str
    request: str
    started: float
    visible: float
    until: float | None = None
    state: str = ""
    code: int = -1
    message: str = ""
    sql_state: str = ""
    ended: float | None = None
    inner: str = ""
    aborting: float | None = None
    answer: Json = None
    children: tuple[str, ...] = ()
    bindings: Json = None
    parameters: Json = field(default_factory=dict)

    def now(self) -> str:
        """The state at this moment."""
        if self.ended is None and self.aborting is not None and time.time() >= self.aborting:
            self.end("FAILED_WITH_ERROR", 604, "SQL execution canceled", "57014")
        if self.ended is None and self.until is not None and time.time() >= self.until:
            self.end("SUCCESS")
        return self.state or ("RUNNING" if self.aborting is None else "ABORTING")

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        self.now()
        return self.ended is None

    def end(self, state: str, code: int = -1, message: str = "", sql_state: str = "") -> None:
        """Let it end now."""
        self.state, self.code, self.message, self.sql_state, self.ended = state, code, message, sql_state, time.time()


@dataclass(slots=True)
class Session:
    """A session of a user: where it stands, and the session of fakesnow that it is played by."""

    user: str
    inner: str
    warehouse: str
    master: str


@dataclass
class Account:
    """The account. A test sets its fields to let something happen.

    Attributes:
        user, password: the one who logs in.
        public_key: PEM of a public key; a login by key pair is right when it is signed with the other half.
        oauth_tokens, access_tokens: tokens of OAuth, and programmatic access tokens, that are good.
        roles, warehouses, databases: what there is, and what the user may use.
        default_warehouse: of the user, where a login names none.
        forbidden: names of tables that the role has no rights on.
        chunk_rows: results are cut into pieces of so many rows, which are fetched one by one; 0: all at once.
        concurrent: one query more than so many that run at once is refused; 0: no limit. ``most`` is how many ran.
        stages: whether the role may make stages.
        rejecting, refusals, lost_answers, failing_looks, failing_results, throttled: faults, until they are used up.
        hidden_seconds: new queries are in no history for so long.
        linger_seconds: a cancelled query takes so long to end.
    """

    user: str = "ETL"
    password: str = "a password that stands nowhere else"
    public_key: bytes = b""
    oauth_tokens: set[str] = field(default_factory=set)
    access_tokens: set[str] = field(default_factory=set)
    roles: set[str] = field(default_factory=lambda: {"ANALYST", "LOADER"})
    warehouses: set[str] = field(default_factory=lambda: {"SMALL"})
    databases: set[str] = field(default_factory=lambda: {"SALES"})
    default_warehouse: str = "SMALL"
    forbidden: set[str] = field(default_factory=set)
    chunk_rows: int = 0
    concurrent: int = 0
    stages: bool = True
    most: int = 0
    rejecting: bool = False
    refusals: int = 0
    lost_answers: int = 0
    failing_looks: int = 0
    failing_results: int = 0
    throttled: int = 0
    hidden_seconds: float = 0.0
    linger_seconds: float = 0.0
    poisoned: set[str] = field(default_factory=set)
    queries: dict[str, Query] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    expired: set[str] = field(default_factory=set)
    logins: list[Json] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    chunks_given: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def reset(self) -> None:
        """As it was when it was made, but sessions stay as they are."""
        fresh = Account()
        for name, value in vars(fresh).items():
            if name not in ("lock", "sessions", "expired"):
                setattr(self, name, value)

    def of(self, key: str) -> list[Query]:
        """Queries whose tag names a key, without the single statements of one that has several."""
        children = {child for query in self.queries.values() for child in query.children}
        found = [query for query in list(self.queries.values()) if json.dumps(key) in query.tag]
        return [query for query in found if query.id not in children]

    def running(self) -> int:
        """How many queries that bear a tag run at this moment."""
        return sum(query.tag != "" and query.is_live for query in list(self.queries.values()))

    def expire_sessions(self, *, renewable: bool = True) -> None:
        """All sessions end; unless ``renewable``, their master tokens too, so that only a new login helps."""
        with self.lock:
            self.expired.update(self.sessions)
            if not renewable:
                for session in self.sessions.values():
                    session.master = ""
