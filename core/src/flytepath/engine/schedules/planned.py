"""Active launch plans with a schedule: what is read of them once, and the executions that their moments begin."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Any, Final

from flytepath.engine.local.facts import environment
from flytepath.engine.schedules.due import CATCH_UP_LIMIT, Timing, read_timing
from flytepath.errors import DefinitionError, MissingInputError, StoreCorruptError
from flytepath.model.events import Actor, Event, ExecutionCreated
from flytepath.model.fitting import fits
from flytepath.model.identity import Identity
from flytepath.model.launch_plan import LaunchPlanSpec
from flytepath.model.literal import Literal, cast
from flytepath.model.types import LiteralType
from flytepath.store.activations import Activation, Firing
from flytepath.store.events import Store

_DIGITS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_DATETIME: Final = LiteralType("datetime")


class PlannedRuns:
    """The runs of an active launch plan.

    Attributes:
        activation: what made it active.
        next: the moment of its next run, seconds since the epoch (UTC); ``None`` where none ever comes.

    Args:
        activation: what made it active.
        spec: the launch plan; it has a schedule.
        bundle: the digest of its code.
        done_until: up to which moment its schedule has been dealt with.

    Raises:
        DefinitionError: its schedule cannot be read, by this release or on this machine.
        MissingInputError: nobody gives one of its inputs.
    """

    def __init__(self, activation: Activation, spec: LaunchPlanSpec, bundle: str, done_until: float) -> None:
        self.activation = activation
        self._spec = spec
        self._bundle = bundle
        self._timing = timing_of(spec, activation)
        self._limit = _limit(spec)
        self._inputs, self._kickoff = _inputs(spec, self._timing)
        self.move_to(done_until)

    def move_to(self, done_until: float) -> None:
        """Its schedule has been dealt with up to ``done_until``."""
        self._done_until = done_until
        self.next = self._timing.next(done_until)

    def is_due(self, now: float) -> bool:
        """Whether a moment has come that has not been dealt with."""
        return self.next is not None and self.next <= now

    def firings(self, now: float, at: float) -> list[Firing]:
        """What to do about the moments up to ``now``, the last of them included; ``at`` is when that is decided."""
        made: list[Firing] = []
        expected = self._done_until
        for moment in self._timing.to_run(expected, now):
            created, inputs = self._created(moment, at)
            made.append(Firing(self.activation, expected, moment, created, inputs, self._limit))
            expected = moment
        (last,) = self._timing.latest(self._done_until, now, 1)
        if last > expected:
            made.append(Firing(self.activation, expected, last))
        return made

    def passes_over(self, now: float) -> bool:
        """Whether there are moments up to ``now`` that begin nothing."""
        run = self._timing.to_run(self._done_until, now)
        return len(self._timing.latest(self._done_until, now, CATCH_UP_LIMIT + 1)) > len(run)

    def _created(self, moment: float, at: float) -> tuple[Event, list[Literal]]:
        inputs = dict(self._inputs)
        if self._kickoff is not None:
            name, declared = self._kickoff
            inputs[name] = cast(
                Literal.make(_DATETIME, dt.datetime.fromtimestamp(moment, dt.UTC).isoformat()), declared
            )
        plan = self.activation
        payload = ExecutionCreated(
            project=plan.tenant.project,
            domain=plan.tenant.domain,
            workflow=plan.name,
            workflow_version=plan.version or "",
            spec=self._spec.spec,
            bundle=self._bundle,
            inputs={name: literal.digest for name, literal in inputs.items()},
            environment=environment(),
            overwrite_cache=bool(self._spec.overwrite_cache),
            labels=self._spec.labels,
            annotations=self._spec.annotations,
            plan=plan.name,
            scheduled_at=moment,
        )
        execution = execution_of(Identity(plan.tenant.project, plan.tenant.domain, plan.name, ""), moment)
        actor = Actor(kind="schedule", name=plan.name)
        return Event(execution=execution, seq=1, at=at, actor=actor, payload=payload), list(inputs.values())


def read_runs(store: Store, activation: Activation, done_until: float | None) -> PlannedRuns | None:
    """The runs of an active launch plan; ``None`` where it has no schedule.

    Raises:
        FlytePathError: it, its graph or its schedule cannot be read.
    """
    tenant = activation.tenant
    identity = Identity(tenant.project, tenant.domain, activation.name, activation.version or "")
    entity = store.registry.get(identity, "launch_plan")
    try:
        spec = LaunchPlanSpec.model_validate(store.get_spec(entity.spec_digest))
    except ValueError as error:
        raise StoreCorruptError("this launch plan cannot be read", place=str(identity), actual=str(error)) from error
    if spec.schedule is None:
        return None
    store.get_spec(spec.spec)
    if done_until is None:
        done_until = activation.at
    return PlannedRuns(activation, spec, entity.bundle_digest, done_until)


def timing_of(spec: LaunchPlanSpec, activation: Activation) -> Timing:
    """When a launch plan with a schedule runs, since it was activated."""
    return read_timing(spec.schedule or {}, activation.at)


def execution_of(plan: Identity, moment: float) -> str:
    """The id of the execution that a launch plan begins at a moment: the same wherever and whenever it is asked for.

    ``s``, ten digits of the moment in milliseconds, twelve of the plan's digest; whatever its version.

    Example:
        >>> execution_of(Identity("default", "development", "nightly", "v1"), 1_700_000_000.0)
        's01hf7yat001e1ax70e32ee'
    """
    digest = hashlib.sha256(f"{plan.project}/{plan.domain}/{plan.name}".encode()).digest()
    number = (round(moment * 1000) << 60) | (int.from_bytes(digest[:8]) >> 4)
    return "s" + "".join(_DIGITS[(number >> shift) & 31] for shift in range(105, -1, -5))


def _limit(spec: LaunchPlanSpec) -> int | None:
    limit: Any = (spec.concurrency or {}).get("max_concurrency")
    if limit is None or (isinstance(limit, int) and limit > 0):
        return limit
    raise DefinitionError(
        "the limit of runs at a time cannot be read", place=f"{spec.name}(concurrency)", actual=repr(spec.concurrency)
    )


def _inputs(spec: LaunchPlanSpec, timing: Timing) -> tuple[dict[str, Literal], tuple[str, LiteralType] | None]:
    """The inputs that are the same for every moment, and the one that is given the moment, with its type."""
    inputs: dict[str, Literal] = {}
    kickoff: tuple[str, LiteralType] | None = None
    for variable in spec.interface.inputs:
        if variable.name == timing.kickoff:
            if not fits(_DATETIME, variable.type):
                raise DefinitionError(
                    "the input that is given the time of a schedule takes no datetime",
                    place=f"{spec.name}({variable.name})",
                    expected="datetime",
                    actual=str(variable.type),
                )
            kickoff = (variable.name, variable.type)
        elif variable.default is not None:
            inputs[variable.name] = variable.default
        else:
            raise MissingInputError(
                f"nobody gives a scheduled run its input {variable.name!r}",
                place=f"{spec.name}({variable.name})",
                hint="fix it, or give it a default",
            )
    return inputs, kickoff
