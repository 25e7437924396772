"""The ticker: starts what schedules are due to start, each moment once, with any number of engines on one store.

Tickers agree through the store alone: a moment is dealt with in one transaction that moves the schedule on and begins
the log of the execution, whose id follows from the launch plan and the moment. A ticker that dies leaves a moment
either untouched, for the next one, or done.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from flytepath.engine.schedules.planned import PlannedRuns, read_runs
from flytepath.errors import FlytePathError, StoreCorruptError, StoreError
from flytepath.store.activations import Activation, Activations, Fired, Firing
from flytepath.store.events import Store

#: A ticker wants to be called at least this often: others may have activated something, and clocks may be set.
TICK_SECONDS: Final = 2.0
#: When a launch plan that could not be read is looked at again.
RETRY_SECONDS: Final = 60.0
#: How often in one tick a schedule is looked at again because another ticker was faster.
_ROUNDS: Final = 100

_LOG = logging.getLogger(__name__)

_Queued = tuple[PlannedRuns, Firing, "Future[Fired]"]


@dataclass(frozen=True, slots=True)
class _Unscheduled:
    """An active launch plan that only people start."""

    activation: Activation


@dataclass(frozen=True, slots=True)
class _Broken:
    """An active launch plan that cannot be started, and when to look again."""

    activation: Activation
    error: FlytePathError
    retry_at: float


class Ticker:
    """Starts executions for the schedules of one store.

    Call :meth:`tick` again and again, at the latest when it says. Several tickers may run on one store.

    Args:
        store: the event store.
        clock: seconds since the epoch, for the times of events and for :meth:`tick`.
        started: told the id of each execution this ticker has begun; nobody drives it yet.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float] = time.time,
        *,
        started: Callable[[str], object] | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._started = started
        self._activations = Activations(store.database, clock)
        self._count = -1
        self._plans: dict[str, PlannedRuns | _Unscheduled | _Broken] = {}

    @property
    def broken(self) -> dict[str, FlytePathError]:
        """The active launch plans that cannot be started, by ``project/domain/name@version``, and why."""
        found = [plan for plan in self._plans.values() if isinstance(plan, _Broken)]
        return {f"{plan.activation.plan}@{plan.activation.version}": plan.error for plan in found}

    async def tick(self, now: float | None = None) -> float:
        """Begin the executions of every moment up to ``now``, and say when to call again: at the next moment, or soon.

        A launch plan that cannot be started is reported in the log and in :attr:`broken`; the others go on.

        Raises:
            StoreError: the store cannot be read or written; call again later, nothing is lost.
        """
        at = self._clock() if now is None else now
        begun: list[str] = []
        try:
            return await asyncio.to_thread(self._tick, at, begun)
        finally:
            if self._started is not None:
                for execution in begun:
                    self._started(execution)

    def _tick(self, now: float, begun: list[str]) -> float:
        for _ in range(_ROUNDS):
            self._load(now)
            # In one order everywhere, so that no two tickers ever wait for each other's rows.
            due = [
                plan for _, plan in sorted(self._plans.items()) if isinstance(plan, PlannedRuns) and plan.is_due(now)
            ]
            if not due:
                break
            self._settle([each for plan in due for each in self._fire(plan, now)], begun)
        moments = [plan.next for plan in self._plans.values() if isinstance(plan, PlannedRuns)]
        return min([now + TICK_SECONDS, *(moment for moment in moments if moment is not None)])

    def _load(self, now: float) -> None:
        """Know what is active; what has not changed since is not read again."""
        count = self._activations.count()
        overdue = {key for key, plan in self._plans.items() if isinstance(plan, _Broken) and plan.retry_at <= now}
        if count == self._count and not overdue:
            return
        known, self._plans = self._plans, {}
        for activation in self._activations.active():
            before = known.get(activation.plan)
            if before is not None and before.activation == activation and activation.plan not in overdue:
                self._plans[activation.plan] = before
            else:
                self._plans[activation.plan] = self._read(activation, before, now)
        self._count = count

    def _read(
        self, activation: Activation, before: PlannedRuns | _Unscheduled | _Broken | None, now: float
    ) -> PlannedRuns | _Unscheduled | _Broken:
        try:
            done_until = self._activations.done_until(activation.tenant, activation.name)
            return read_runs(self._store, activation, done_until) or _Unscheduled(activation)
        except FlytePathError as error:
            if isinstance(error, StoreError) and not isinstance(error, StoreCorruptError):
                raise
            return self._break(activation, error, now, is_news=not isinstance(before, _Broken))

    def _break(self, activation: Activation, error: FlytePathError, now: float, *, is_news: bool) -> _Broken:
        if is_news:
            _LOG.warning("the schedule of %s@%s starts nothing: %s", activation.plan, activation.version, error)
        return _Broken(activation, error, now + RETRY_SECONDS)

    def _fire(self, plan: PlannedRuns, now: float) -> list[_Queued]:
        try:
            firings = plan.firings(now, self._clock())
        except FlytePathError as error:
            self._plans[plan.activation.plan] = self._break(plan.activation, error, now, is_news=True)
            return []
        if plan.passes_over(now):
            _LOG.warning("%s missed moments that start nothing now", plan.activation.plan)
        return [(plan, firing, self._activations.fire(firing)) for firing in firings]

    def _settle(self, queued: Sequence[_Queued], begun: list[str]) -> None:
        """Wait for what was queued, all of it, before anything that failed is raised."""
        failure: BaseException | None = None
        for plan, firing, future in queued:
            try:
                fired = future.result()
            except Exception as error:  # noqa: BLE001 - raised below, when every other moment has been seen to
                failure = failure or error
                continue
            self._settle_one(plan, firing, fired, begun)
        if failure is not None:
            raise failure

    def _settle_one(self, plan: PlannedRuns, firing: Firing, fired: Fired, begun: list[str]) -> None:
        activation = plan.activation
        if fired is Fired.STARTED and firing.created is not None:
            begun.append(firing.created.execution)
        if fired is Fired.SKIPPED:
            _LOG.warning(
                "%s started nothing for the moment %s: %s of it run, which is as many as may",
                *(activation.plan, firing.moment, firing.limit),
            )
        if fired in (Fired.STARTED, Fired.PASSED, Fired.SKIPPED):
            plan.move_to(firing.moment)
            return
        self._count = -1  # what is active may have changed
        if fired is Fired.TAKEN:
            done_until = self._activations.done_until(activation.tenant, activation.name)
            if done_until is not None:
                plan.move_to(done_until)
        else:
            self._plans.pop(activation.plan, None)
