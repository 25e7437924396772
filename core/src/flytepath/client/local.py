"""The client of this machine's store: what is registered there, and all that can be asked of its executions."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from flytepath.bundle import Bundle, unpack
from flytepath.client.cache_explaining import CacheExplanation, Caches
from flytepath.client.commands import Commands
from flytepath.client.plans import Plans
from flytepath.client.protocol import Kind, Spec
from flytepath.client.views import Registered, Scope
from flytepath.config import blob_root
from flytepath.engine.histories import Histories
from flytepath.engine.local.slots import default_slots
from flytepath.errors import NotFoundError
from flytepath.model.identity import Identity, Tenant
from flytepath.model.launch_plan import LaunchPlanSpec
from flytepath.model.literal import canonical_json, sha256
from flytepath.model.task import TaskSpec
from flytepath.model.workflow import WorkflowSpec
from flytepath.store.blobs import BlobFolder
from flytepath.store.events import Store, open_store


class LocalClient(Commands):
    """The client of this machine's store.

    Args:
        home: the folder that holds everything; made if it is missing.
        slots: how many attempts run at once; by default the number of CPUs.
    """

    def __init__(self, home: Path, *, slots: int | None = None) -> None:
        self.home = home
        self.slots = slots or default_slots()
        self._store: Store = open_store(home)
        self._registry = self._store.registry
        self._histories = Histories(self._store)
        self._runnables = {}
        self._blobs: dict[Tenant, BlobFolder] = {}

    def __enter__(self) -> LocalClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()

    @property
    def store(self) -> Store:
        """The store, for engines of this process."""
        return self._store

    def blobs(self, scope: Scope) -> BlobFolder:
        """The blobs of the scope's project and domain."""
        known = self._blobs.get(scope.tenant)
        if known is None:
            known = BlobFolder(blob_root(self.home), scope.tenant.project, scope.tenant.domain)
            self._blobs[scope.tenant] = known
        return known

    # --- what can be run ---

    def register(self, scope: Scope, spec: WorkflowSpec, bundle: Bundle, version: str | None = None) -> Identity:
        """Keep a compiled workflow and its code.

        Raises:
            VersionConflictError: the version exists with other content.
        """
        return self._register(scope, "workflow", spec.name, spec, bundle, version)

    def register_task(self, scope: Scope, spec: TaskSpec, bundle: Bundle, version: str | None = None) -> Identity:
        """Keep a compiled task and its code."""
        return self._register(scope, "task", spec.name, spec, bundle, version)

    def register_launch_plan(
        self, scope: Scope, plan: LaunchPlanSpec, spec: WorkflowSpec, bundle: Bundle, version: str | None = None
    ) -> Identity:
        """Keep a launch plan, its compiled graph and the code."""
        self._put(spec)
        return self._register(scope, "launch_plan", plan.name, plan, bundle, version)

    def _register(
        self, scope: Scope, kind: Kind, name: str, spec: Spec, bundle: Bundle, version: str | None
    ) -> Identity:
        unpack(bundle, self.home)
        digest = self._put(spec)
        made = sha256(f"{bundle.digest}\n{digest}".encode()).removeprefix("sha256:")[:16]
        identity = Identity(scope.tenant.project, scope.tenant.domain, name, version or made)
        self._registry.register(identity, kind, digest, bundle.digest, {"principal": scope.principal})
        return identity

    def _put(self, spec: Spec) -> str:
        data = spec.model_dump(mode="json", exclude_defaults=True)
        digest = sha256(canonical_json(data))
        self._store.put_spec(digest, data)
        return digest

    def entities(self, scope: Scope, kind: Kind = "workflow") -> list[Identity]:
        """The latest version of everything of a kind, by name."""
        return [entry.identity for entry in self._registry.latest(scope.tenant.project, scope.tenant.domain, kind)]

    def launch_plans(self, scope: Scope) -> list[Registered[LaunchPlanSpec]]:
        """The latest version of every launch plan, by name."""
        found = self._registry.latest(scope.tenant.project, scope.tenant.domain, "launch_plan")
        return [
            Registered(
                entry.identity,
                LaunchPlanSpec.model_validate(self._store.get_spec(entry.spec_digest)),
                entry.bundle_digest,
                entry.registered_at,
            )
            for entry in found
        ]

    def fetch(self, scope: Scope, kind: Kind, name: str, version: str = "latest") -> Registered[Spec]:
        """One registered version.

        Raises:
            NotFoundError: it is not registered.
        """
        tenant = scope.tenant
        if version == "latest":
            versions = self._registry.versions(tenant.project, tenant.domain, name, kind)
            if not versions:
                raise NotFoundError(
                    f"there is no {kind.replace('_', ' ')} {name} in {tenant}",
                    place=name,
                    hint="register it with `flytepath register`",
                )
            entry = versions[0]
        else:
            entry = self._registry.get(Identity(tenant.project, tenant.domain, name, version), kind)
        data = self._store.get_spec(entry.spec_digest)
        return Registered(entry.identity, _SPECS[kind].model_validate(data), entry.bundle_digest, entry.registered_at)

    def registered(
        self, scope: Scope, name: str, version: str | None = None
    ) -> tuple[Kind, Registered[WorkflowSpec] | Registered[LaunchPlanSpec]] | None:
        """What runs under a name: a workflow, or else a launch plan, and which; ``None`` where there is neither.

        Args:
            scope: whose.
            name: what it is called.
            version: by default the latest of a workflow, and the active one of a launch plan.
        """
        plans = Plans(self._store)
        kinds: tuple[Kind, ...] = ("workflow", "launch_plan")
        for kind in kinds:
            try:
                chosen = version or ("latest" if kind == "workflow" else plans.to_run(scope, name).version)
                return kind, self.fetch(scope, kind, name, chosen)  # type: ignore[return-value]
            except NotFoundError:
                continue
        return None

    def referred(self, kind: str, identity: Identity) -> tuple[TaskSpec | WorkflowSpec, str]:
        """What a reference leads to, and the digest of its code: the ``fetch`` of the compiler.

        A launch plan is given as the graph it runs.
        """
        scope = Scope(Tenant(identity.project, identity.domain), "")
        found = self.fetch(scope, kind, identity.name, identity.version)  # type: ignore[arg-type]
        if isinstance(found.spec, LaunchPlanSpec):
            return self._histories.spec(found.spec.spec), found.bundle
        return found.spec, found.bundle

    def cache_explanation(self, scope: Scope, execution: str, node: str) -> CacheExplanation:
        """Whether the outputs of a node were found or computed, and how its cache key differs from the nearest entry.

        Raises:
            NotFoundError: there is no such execution or node.
        """
        return Caches(self).explanation(scope, execution, node)


_SPECS: dict[str, type[Spec]] = {"task": TaskSpec, "workflow": WorkflowSpec, "launch_plan": LaunchPlanSpec}
