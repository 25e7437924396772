"""How often something may be called, whoever calls: token buckets that all engines share.

A bucket is one number, the time at which it will be full again (the generic cell rate algorithm): a call moves it by
what the call costs, and may be made once it lies no further ahead than the bucket is deep. Calls are booked in the
order in which they ask, each in a transaction that has the bucket to itself, so that engines together make no more
calls in any ``t`` seconds than ``burst + per_second * t``.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BindParameter, select, text

from flytepath.errors import UsageError
from flytepath.store.dialect import Statement
from flytepath.store.schema import RATE_BUCKETS

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from flytepath.store.database import Database


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket as it was left; times in seconds.

    Args:
        allowed_at: when it will be full again.
        held_until: nobody calls before.
        changed_at: when this was written.

    Example:
        >>> bucket, wait = Bucket().take(100.0, per_second=2, burst=1)
        >>> wait
        0.0
        >>> bucket.take(100.0, per_second=2, burst=1)[1]
        0.5
        >>> bucket.hold(100.0, 30).take(100.0, per_second=2, burst=1)[1]
        30.0
    """

    allowed_at: float = 0.0
    held_until: float = 0.0
    changed_at: float = 0.0

    def at(self, now: float) -> Bucket:
        """The same where the clock was set back: what was to be waited for when it was written, and not more."""
        back = max(0.0, self.changed_at - now)
        return Bucket(self.allowed_at - back, self.held_until - back, now)

    def take(self, now: float, *, per_second: float, burst: int, count: int = 1) -> tuple[Bucket, float]:
        """Book ``count`` calls; the bucket then, and how many seconds to wait before they may be made.

        More calls at once than the bucket is deep wait until it would have held them.

        Raises:
            UsageError: a limit that cannot be.
        """
        if not per_second > 0 or burst < 1 or count < 1:
            raise UsageError(
                "this is no limit on calls",
                expected="a rate above 0, a burst and a count of 1 or more",
                actual=f"{count} of {per_second} a second, burst {burst}",
            )
        here = self.at(now)
        full = max(now, here.allowed_at)
        if here.held_until > now:  # and then one by one: a service that has asked for rest gets no burst
            full = max(full, here.held_until + (burst - 1) / per_second)
        full += count / per_second
        return replace(here, allowed_at=full), max(0.0, full - burst / per_second - now)

    def hold(self, now: float, seconds: float) -> Bucket:
        """Let nobody call for so many seconds; a longer hold that is there already stays."""
        here = self.at(now)
        return replace(here, held_until=max(here.held_until, now + max(0.0, seconds)))


class RateBuckets:
    """The buckets of one database, by name.

    Args:
        database: the store's.
        clock: seconds since the epoch, where there is no server to ask.
    """

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    def take(self, name: str, *, per_second: float, burst: int, count: int = 1) -> Future[float]:
        """Book ``count`` calls; the seconds to wait before they may be made."""

        def operation(connection: Connection) -> float:
            bucket, now = self._locked(connection, name)
            after, wait = bucket.take(now, per_second=per_second, burst=burst, count=count)
            self._put(connection, name, after)
            return wait

        return self._database.submit(operation)

    def hold(self, name: str, seconds: float) -> Future[None]:
        """Let nobody call for so many seconds: a service has asked for it."""

        def operation(connection: Connection) -> None:
            bucket, now = self._locked(connection, name)
            self._put(connection, name, bucket.hold(now, seconds))

        return self._database.submit(operation)

    def held_for(self, name: str) -> float:
        """How many seconds nobody may call any more; 0 where that is over."""

        def query(connection: Connection) -> float:
            row = _LOOK.one(connection, {"name": name})
            now = self._now(connection)
            return 0.0 if row is None else max(0.0, Bucket(*row).at(now).held_until - now)

        return self._database.read(query)

    def _locked(self, connection: Connection, name: str) -> tuple[Bucket, float]:
        _FOUND.each(connection, [{"name": name}])
        columns = RATE_BUCKETS.c
        query = select(columns.allowed_at, columns.held_until, columns.changed_at).where(columns.name == name)
        row = connection.execute(query.with_for_update()).one()
        return Bucket(*row), self._now(connection)

    def _put(self, connection: Connection, name: str, bucket: Bucket) -> None:
        values = {"allowed_at": bucket.allowed_at, "held_until": bucket.held_until, "changed_at": bucket.changed_at}
        _PUT.each(connection, [{"name": name, **values}])

    def _now(self, connection: Connection) -> float:
        now = self._database.dialect.now(self._clock)
        value: Any = now.value if isinstance(now, BindParameter) else connection.execute(select(now)).scalar_one()
        return float(value)


_FOUND: Final = Statement(
    lambda: text(
        "INSERT INTO rate_buckets (name, allowed_at, held_until, changed_at) VALUES (:name, 0.0, 0.0, 0.0) "
        "ON CONFLICT DO NOTHING"
    )
)
_LOOK: Final = Statement(lambda: text("SELECT allowed_at, held_until, changed_at FROM rate_buckets WHERE name = :name"))
_PUT: Final = Statement(
    lambda: text(
        "UPDATE rate_buckets SET allowed_at = :allowed_at, held_until = :held_until, changed_at = :changed_at "
        "WHERE name = :name"
    )
)
