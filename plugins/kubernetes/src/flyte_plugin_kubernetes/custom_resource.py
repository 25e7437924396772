"""The base of every backend whose jobs are objects of the Kubernetes API: one object for one key, whatever happens.

A subclass says which kind it is, how a request becomes a manifest, and what the states mean, in a table. Everything
else is here: names, stamps, creating, finding, looking, reasons, logs, deleting.
"""

from __future__ import annotations

import asyncio
import copy
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, ParamSpec, TypeVar

from flytepath.plugin import (
    Backend,
    BackendError,
    BlobAccess,
    ErrorClass,
    Found,
    Gone,
    Handle,
    InProgress,
    JobKey,
    Literal,
    LogChunk,
    NotFound,
    NotOurs,
    Observation,
    OwnedPage,
    Plan,
    PlanRequest,
    Terminal,
    Unknown,
)

from flyte_plugin_kubernetes.api_errors import ApiAnswerError, backend_error
from flyte_plugin_kubernetes.client import KubernetesClient
from flyte_plugin_kubernetes.conditions import ConditionTable
from flyte_plugin_kubernetes.ending import cancelled, cleaned
from flyte_plugin_kubernetes.looking import JobRef, look, observation_of, ref_of
from flyte_plugin_kubernetes.owned import owned_page
from flyte_plugin_kubernetes.places import Places
from flyte_plugin_kubernetes.pod_templates import template_metadata
from flyte_plugin_kubernetes.resource_kind import ResourceKind
from flyte_plugin_kubernetes.stamps import (
    DIGEST,
    annotations_of,
    conflict,
    digest_of,
    handle_of,
    is_job_of,
    labels_of,
)

if TYPE_CHECKING:
    from flyte_plugin_kubernetes.classification import Bounds
    from flyte_plugin_kubernetes.settings import KubernetesSettings

Json = Any
P = ParamSpec("P")
T = TypeVar("T")

#: A call of core's may take several requests; each has its own bound.
_CALL_SECONDS: Final = 55.0


class CustomResourceBackend(Backend):
    """Jobs that are objects of one kind (or of a few). Class B: an object of a name exists once, and bears our stamp.

    Subclasses give :attr:`kinds`, :attr:`conditions` and :meth:`manifest`, and override the others where they must.

    Example:
        >>> from flytepath.plugin import Phase
        >>> from flyte_plugin_kubernetes import ConditionTable, ResourceKind, Row
        >>> class NapBackend(CustomResourceBackend):
        ...     kinds = (ResourceKind("example.org/v1", "Nap", "naps", operator="the nap operator"),)
        ...     conditions = ConditionTable(
        ...         Row(condition="Done", phase=Phase.SUCCEEDED),
        ...         Row(condition="Broken", phase=Phase.FAILED),
        ...         Row(condition="Started", phase=Phase.RUNNING),
        ...     )
        ...     def manifest(self, request):
        ...         return {"spec": {"minutes": request.payload["minutes"]}}
    """

    settings: KubernetesSettings

    #: The kinds its jobs are of; the first is that of a manifest which names none.
    kinds: ClassVar[tuple[ResourceKind, ...]]
    #: What the states of the object mean. Not asked for pods and Jobs of the cluster's own.
    conditions: ClassVar[ConditionTable] = ConditionTable()
    #: The longest name, with room for what an operator appends to it for its pods and services.
    name_limit: ClassVar[int] = 52

    def __init__(self, settings: Any = None, *, credential_scope: str = "") -> None:
        if settings is None:
            from flyte_plugin_kubernetes.settings import KubernetesSettings

            settings = KubernetesSettings()
        super().__init__(settings, credential_scope=credential_scope)
        self.client = KubernetesClient(settings)
        self._places = Places(settings)

    # --- what a subclass says ---

    @abstractmethod
    def manifest(self, request: PlanRequest) -> dict[str, Json]:
        """The object of a job: ``spec``, and ``metadata`` with labels and annotations of its own where it wants any.

        Pure, like :meth:`plan`. Name, namespace, owner, key and digest are put in by the base, and the labels also into
        the metadata of the pods' templates. One of several kinds names its ``apiVersion`` and ``kind``.
        """

    def pod_metadata(self, manifest: dict[str, Json]) -> Iterable[dict[str, Json]]:
        """The metadata of all pods that will come of a manifest, to be stamped; by default of each ``template`` in it.

        Override it where an operator has the labels of its pods elsewhere: anything with ``labels`` and
        ``annotations`` will do.
        """
        return template_metadata(manifest.get("spec"))

    def pods_selector(self, name: str) -> str:
        """A label selector for the pods of the object of a name; empty where they bear our stamp, as is best."""
        return ""

    def pods_fields(self, kind: ResourceKind) -> str:
        """A field selector for those of the pods that are needed to tell how a job stands; empty for all."""
        return ""

    def needs_pods(self, thing: Mapping[str, Json]) -> bool:
        """Whether an object says too little about its job without its pods: it has not begun, or it has failed."""
        from flytepath.plugin import Phase

        return self.conditions.read(thing).phase not in (Phase.RUNNING, Phase.SUCCEEDED)

    def left_out(self, thing: Mapping[str, Json]) -> str:
        """What a cluster that is too old left out of an object, without which it would do another thing; else nothing.

        The answer is for people. A server that does not know a field, or has it switched off, may take the object
        without it and say so only in a header.
        """
        return ""

    def observation(
        self, job: JobRef, thing: Mapping[str, Json], pods: Sequence[Mapping[str, Json]], bounds: Bounds
    ) -> Observation:
        """How a job stands. By default by the table, with the reasons and the blame of its pods.

        Args:
            job: which one.
            thing: its object.
            pods: its pods, where :meth:`needs_pods` asked for them.
            bounds: how long what may mend itself is waited for.
        """
        return observation_of(self.conditions, thing, pods, bounds)

    # --- planning and submitting ---

    def plan(self, request: PlanRequest) -> Plan:
        manifest = self.manifest(request)
        kind = self._kind_of(manifest)
        metadata = copy.deepcopy(manifest.get("metadata") or {})
        labels, annotations = labels_of(request), annotations_of(request)
        name = request.key.name(request.task.rpartition(".")[2], self.name_limit)
        thing = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {
                **metadata,
                "name": name,
                "namespace": self.settings.namespace_of(request.owner.tenant),
                "labels": {**(metadata.get("labels") or {}), **labels},
                "annotations": {**(metadata.get("annotations") or {}), **annotations},
            },
            **{key: copy.deepcopy(value) for key, value in manifest.items() if key not in _HEAD},
        }
        for below in self.pod_metadata(thing):
            below["labels"] = {**(below.get("labels") or {}), **labels}
        digest = digest_of(thing)
        thing["metadata"]["annotations"][DIGEST] = digest
        return Plan(
            key=request.key,
            owner=request.owner,
            external_name=name,
            spec=thing,
            digest=digest,
            items=request.items,
            secrets=request.secrets,
        )

    async def submit(self, plan: Plan) -> Handle:
        return await self._threaded(self._submit, plan)

    def _submit(self, plan: Plan) -> Handle:
        kind, namespace, name = self._place(plan)
        what = f"{kind.kind} {namespace}/{name}"
        try:
            return self._whole(kind, self.client.create(kind, namespace, plan.spec))
        except ApiAnswerError as error:
            if error.reason != "AlreadyExists":
                raise backend_error(
                    error, what=f"creating {what}", operator=kind.operator, namespace=namespace
                ) from error
        known = self.client.get(kind, namespace, name)
        if known is None or known["metadata"].get("deletionTimestamp"):
            finalizers = ", ".join((known or {"metadata": {}})["metadata"].get("finalizers") or ())
            raise BackendError(
                f"an older {what} is being deleted" + (f", and waits for {finalizers}" if finalizers else ""),
                error_class=ErrorClass.TRANSIENT,
                accepted=False,
            )
        if not is_job_of(known, plan):
            raise conflict(what, known)
        return self._whole(kind, known)

    def _whole(self, kind: ResourceKind, thing: Mapping[str, Json]) -> Handle:
        """The handle of an object that the server took as it was given; another is taken back, and refused."""
        lacking = self.left_out(thing)
        if not lacking:
            return handle_of(kind, thing)
        metadata = thing["metadata"]
        self.client.delete(kind, metadata["namespace"], metadata["name"], metadata["uid"])
        raise BackendError(
            f"{kind.kind} {metadata['namespace']}/{metadata['name']} was taken without what makes it one: {lacking}",
            error_class=ErrorClass.INVALID,
            accepted=False,
            hint="the cluster is too old for it, or has switched it off",
        )

    async def find(self, plan: Plan) -> Found | NotFound | Unknown:
        return await self._threaded(self._find, plan)

    def _find(self, plan: Plan) -> Found | NotFound | Unknown:
        kind, namespace, name = self._place(plan)
        try:
            known = self.client.get(kind, namespace, name)
        except ApiAnswerError as error:
            if error.is_absent_kind:  # what there is no kind of cannot have been made
                return NotFound()
            raise
        if known is None:
            return NotFound()
        if not is_job_of(known, plan):
            raise conflict(f"{kind.kind} {namespace}/{name}", known)
        if self.left_out(known):  # who made it died before it was taken back, and submitting again tells why
            self.client.delete(kind, namespace, name, known["metadata"]["uid"])
            return NotFound()
        # One that is being deleted is still there: it is looked at until it is gone, and then it was lost.
        return Found(handle_of(kind, known))

    # --- looking ---

    async def poll(self, handles: Sequence[Handle]) -> Mapping[Handle, Observation | BackendError]:
        answers: dict[Handle, Observation | BackendError] = {}
        groups: dict[tuple[ResourceKind, str, str], dict[Handle, JobRef]] = defaultdict(dict)
        for handle in handles:
            job = ref_of(handle, self.kinds) if handle.version in self.handle_versions else None
            if job is None:
                answers[handle] = BackendError("not a handle of this backend", error_class=ErrorClass.PROTOCOL)
            else:
                groups[job.kind, job.namespace, job.installation][handle] = job
        looks = [self._looked(group) for group in groups.values()]
        for seen in await asyncio.gather(*looks):
            answers.update(seen)
        return answers

    async def _looked(self, jobs: Mapping[Handle, JobRef]) -> Mapping[Handle, Observation | BackendError]:
        """The jobs of one kind in one namespace; what goes wrong there is the answer for each of them."""
        try:
            seen = await self._threaded(look, self, list(jobs.values()))
        except BackendError as error:
            return dict.fromkeys(jobs, error)
        return {handle: seen[job] for handle, job in jobs.items()}

    async def list_owned(self, scope: str, cursor: str | None = None) -> OwnedPage:
        return await self._threaded(owned_page, self, self._places, scope, cursor)

    async def logs(self, handle: Handle, cursor: str | None = None) -> LogChunk:
        from flyte_plugin_kubernetes.pod_logs import log_chunk

        job = self._ref(handle)
        return await self._threaded(log_chunk, self, job, cursor)

    # --- ending ---

    async def cancel(self, key: JobKey, handle: Handle | None, reason: str) -> Gone | Terminal | InProgress | NotOurs:
        job = None if handle is None else self._ref(handle)
        return await self._threaded(cancelled, self, self._places, key, job)

    async def cancel_planned(self, plan: Plan, reason: str) -> Gone | Terminal | InProgress | NotOurs:
        """Stop the job of a plan of which no handle is known: its object's name and namespace are, unlike a key's."""
        kind, namespace, name = self._place(plan)
        job = JobRef(kind, namespace, name, "", "", "", plan.items)
        return await self._threaded(cancelled, self, self._places, plan.key, job)

    async def cleanup(self, key: JobKey, handle: Handle | None) -> None:
        job = None if handle is None else self._ref(handle)
        await self._threaded(cleaned, self, self._places, key, job)

    async def collect(self, handle: Handle, sink: BlobAccess) -> Mapping[str, Literal]:
        """Nothing: what a worker gives core reads itself. Override it for objects that have results of their own."""
        return {}

    async def collect_items(
        self, handle: Handle, items: Sequence[int], sink: BlobAccess
    ) -> Mapping[int, Mapping[str, Literal] | BackendError]:
        return {item: {} for item in items}

    async def close(self) -> None:
        await self.in_thread(self.client.close)

    # --- how it is done ---

    async def _threaded(self, call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """A call that makes requests, in a thread, with the server's refusals as core knows errors."""
        try:
            return await self.in_thread(partial(call, *arguments, **named), seconds=_CALL_SECONDS)
        except ApiAnswerError as error:
            raise backend_error(error, operator=self.kinds[0].operator) from error

    def _kind_of(self, manifest: Mapping[str, Json]) -> ResourceKind:
        named = (manifest.get("apiVersion"), manifest.get("kind"))
        for kind in self.kinds:
            if named in ((None, None), (kind.api_version, kind.kind)):
                return kind
        raise BackendError(f"{type(self).__name__} has no kind {named}", error_class=ErrorClass.PROTOCOL)

    def _place(self, plan: Plan) -> tuple[ResourceKind, str, str]:
        metadata = plan.spec["metadata"]
        self._places.note(metadata["namespace"])
        return self._kind_of(plan.spec), metadata["namespace"], metadata["name"]

    def _ref(self, handle: Handle) -> JobRef:
        job = ref_of(handle, self.kinds) if handle.version in self.handle_versions else None
        if job is None:
            raise BackendError("not a handle of this backend", error_class=ErrorClass.PROTOCOL)
        self._places.note(job.namespace)
        return job


_HEAD: Final = frozenset({"apiVersion", "kind", "metadata", "status"})


__all__ = ["CustomResourceBackend"]
