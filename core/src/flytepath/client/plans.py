"""Versions of what is registered, and which version of a launch plan is active: shown and changed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flytepath.client.protocol import Kind
from flytepath.client.views import Registered, Scope
from flytepath.engine.schedules.planned import timing_of
from flytepath.errors import FlytePathError, NotFoundError, UsageError
from flytepath.model.identity import Identity
from flytepath.model.launch_plan import LaunchPlanSpec
from flytepath.store.activations import Activation, Activations
from flytepath.store.events import Store, open_store
from flytepath.store.registry import RegisteredEntity

KINDS: Final[tuple[Kind, ...]] = ("workflow", "launch_plan", "task")


@dataclass(frozen=True, slots=True)
class VersionView:
    """A registered version.

    Args:
        kind, identity: what it is.
        registered_at: when, seconds since the epoch (UTC).
        principal: who registered it.
        spec, bundle: the digests of its compiled form and of its code.
        is_active: whether it is the active version of its launch plan.
    """

    kind: Kind
    identity: Identity
    registered_at: float
    principal: str
    spec: str
    bundle: str
    is_active: bool


@dataclass(frozen=True, slots=True)
class PlanView:
    """A launch plan: the version that is active, or else another one.

    Args:
        registered: the version that is shown.
        latest: the version that was registered last.
        active: the change that made the active version so; ``None`` where none is active.
        next_runs: the next moments of the active version's schedule, seconds since the epoch (UTC).
        problem: why the schedule starts nothing, where it cannot be read.
    """

    registered: Registered[LaunchPlanSpec]
    latest: str
    active: Activation | None
    next_runs: tuple[float, ...] = ()
    problem: str = ""

    @property
    def is_active(self) -> bool:
        """Whether the version that is shown is the active one."""
        return self.active is not None and self.active.version == self.registered.identity.version


@contextmanager
def open_plans(home: Path) -> Iterator[Plans]:
    """The versions in the store of ``home``."""
    with open_store(home) as store:
        yield Plans(store)


class Plans:
    """The versions in one store. Every call carries who asks, for which project and domain."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._registry = store.registry
        self._activations = Activations(store.database)

    # --- versions ---

    def versions(self, scope: Scope, name: str, kind: Kind | None = None) -> list[VersionView]:
        """The registered versions of a name, the latest first; of every kind that has the name, or of one.

        Raises:
            NotFoundError: nothing of this name is registered.
        """
        views = [
            VersionView(
                each,
                entry.identity,
                entry.registered_at,
                str(entry.metadata.get("principal", "")),
                entry.spec_digest,
                entry.bundle_digest,
                each == "launch_plan" and entry.identity.version == self._active_version(scope, name),
            )
            for each in (KINDS if kind is None else (kind,))
            for entry in self._registry.versions(scope.tenant.project, scope.tenant.domain, name, each)
        ]
        if not views:
            raise _unknown(scope, name, kind)
        return views

    def history(self, scope: Scope, name: str) -> Sequence[Activation]:
        """Every change of what is active of a launch plan, the latest first.

        Raises:
            NotFoundError: no such launch plan is registered.
        """
        self._latest(scope, name)
        return self._activations.history(scope.tenant, name)

    def to_run(self, scope: Scope, name: str) -> Identity:
        """The version that is run where none is named: the active one, else the one registered last.

        Raises:
            NotFoundError: no such launch plan is registered.
        """
        latest = self._latest(scope, name).identity
        active = self._active_version(scope, name)
        return latest if active is None else Identity(latest.project, latest.domain, name, active)

    # --- what is active ---

    def activate(self, scope: Scope, name: str, version: str | None = None) -> Activation:
        """Make a version of a launch plan the active one: the one registered last, if none is named.

        The one that was active is no longer. A schedule begins with the activation; what is active already stays so.

        Raises:
            NotFoundError: this version is not registered.
        """
        latest = self._latest(scope, name).identity.version
        wanted = latest if version in (None, "latest") else str(version)
        return self._activations.activate(scope.tenant, name, wanted, scope.principal)

    def activate_new(self, scope: Scope, name: str, version: str) -> Activation | None:
        """Make a version active because its author said ``auto_activate``: only if it never was before.

        Who registers the same version once more does not undo what others have decided since.
        """
        history = self._activations.history(scope.tenant, name)
        if any(change.version == version for change in history):
            return None
        return self._activations.activate(scope.tenant, name, version, scope.principal)

    def deactivate(self, scope: Scope, name: str) -> Activation:
        """Make no version of a launch plan active: its schedule starts nothing more; what runs goes on.

        Raises:
            NotFoundError: no such launch plan is registered, or none of its versions was ever active.
        """
        self._latest(scope, name)
        return self._activations.deactivate(scope.tenant, name, scope.principal)

    def roll_back(self, scope: Scope, name: str, to: str | None = None) -> Activation:
        """Make active what was active before the present version, or the version ``to``: a new line of the history.

        Raises:
            NotFoundError: no such version is registered, or no other was ever active.
            UsageError: ``to`` is active already.
        """
        self._latest(scope, name)
        if to is None:
            return self._activations.roll_back(scope.tenant, name, scope.principal)
        made = self._activations.activate(scope.tenant, name, to, scope.principal)
        if not made.is_new:
            raise UsageError(f"{name}@{to} is the active version already", place=f"{scope.tenant}/{name}")
        return made

    # --- launch plans ---

    def show(self, scope: Scope, name: str, version: str | None = None, *, runs: int = 3) -> PlanView:
        """One launch plan: a version of it, or else the one that is active, or was registered last.

        Args:
            scope: who asks.
            name: its name.
            version: a version, or ``latest``.
            runs: how many of the next moments to tell.

        Raises:
            NotFoundError: it is not registered.
        """
        latest = self._latest(scope, name)
        change = self._activations.current(scope.tenant, name)
        return self._view(latest, change if change is not None and change.version else None, version, runs)

    def list(self, scope: Scope, *, runs: int = 1) -> list[PlanView]:
        """Every launch plan, by name: its active version, or the one registered last."""
        tenant = scope.tenant
        active = {change.name: change for change in self._activations.active(tenant)}
        latest = self._registry.latest(tenant.project, tenant.domain, "launch_plan")
        return [self._view(entry, active.get(entry.identity.name), None, runs) for entry in latest]

    def _view(self, latest: RegisteredEntity, active: Activation | None, version: str | None, runs: int) -> PlanView:
        of_latest = latest.identity
        wanted = version or (active.version if active is not None else None) or of_latest.version
        entry = latest
        if wanted not in ("latest", of_latest.version):
            identity = Identity(of_latest.project, of_latest.domain, of_latest.name, wanted)
            entry = self._registry.get(identity, "launch_plan")
        spec = self._spec(entry)
        shown = Registered(entry.identity, spec, entry.bundle_digest, entry.registered_at)
        view = PlanView(shown, of_latest.version, active)
        if active is None:
            return view
        is_shown = active.version == entry.identity.version
        try:
            moments = self._next_runs(active, spec if is_shown else self._spec_of(active), runs)
        except FlytePathError as error:
            return PlanView(shown, view.latest, active, problem=error.message)
        return PlanView(shown, view.latest, active, moments)

    def _next_runs(self, active: Activation, spec: LaunchPlanSpec, runs: int) -> tuple[float, ...]:
        if spec.schedule is None:
            return ()
        timing = timing_of(spec, active)
        moments: list[float] = []
        after = max(time.time(), self._activations.done_until(active.tenant, active.name) or 0.0)
        while len(moments) < runs:
            following = timing.next(moments[-1] if moments else after)
            if following is None:
                break
            moments.append(following)
        return tuple(moments)

    def _spec_of(self, active: Activation) -> LaunchPlanSpec:
        identity = Identity(active.tenant.project, active.tenant.domain, active.name, active.version or "")
        return self._spec(self._registry.get(identity, "launch_plan"))

    def _spec(self, entry: RegisteredEntity) -> LaunchPlanSpec:
        return LaunchPlanSpec.model_validate(self._store.get_spec(entry.spec_digest))

    def _latest(self, scope: Scope, name: str) -> RegisteredEntity:
        versions = self._registry.versions(scope.tenant.project, scope.tenant.domain, name, "launch_plan")
        if versions:
            return versions[0]
        others = [
            kind for kind in KINDS if self._registry.versions(scope.tenant.project, scope.tenant.domain, name, kind)
        ]
        if others:
            raise NotFoundError(
                f"{name} is a {others[0]}, not a launch plan",
                place=name,
                hint="only launch plans are active; name the version of what else you run",
            )
        raise _unknown(scope, name, "launch_plan")

    def _active_version(self, scope: Scope, name: str) -> str | None:
        change = self._activations.current(scope.tenant, name)
        return None if change is None else change.version


def _unknown(scope: Scope, name: str, kind: Kind | None) -> NotFoundError:
    what = "workflow, task or launch plan" if kind is None else kind.replace("_", " ")
    return NotFoundError(
        f"there is no {what} {name} in {scope.tenant}", place=name, hint="register it with 'flytepath register'"
    )
