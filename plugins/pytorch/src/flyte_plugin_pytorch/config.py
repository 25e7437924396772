"""What a task is configured with: ``PyTorch`` and ``Elastic``, with flytekit's names. Checked when it is made."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flytepath.plugin import DefinitionError, Resources

_RANGE: Final = re.compile(r"([1-9][0-9]*)(?::([1-9][0-9]*))?", re.ASCII)
_START_METHODS: Final = ("spawn", "fork")
_PROCESSES: Final = ("auto", "cpu", "gpu")
#: Options of a rendezvous that are a time in seconds.
_SECONDS: Final = frozenset(
    {
        "timeout",
        "join_timeout",
        "last_call_timeout",
        "close_timeout",
        "heartbeat",
        "read_timeout",
        "keep_alive_interval",
    }
)
_RDZV_DEFAULTS: Final = {"timeout": 900, "join_timeout": 900}


class CleanPodPolicy(enum.Enum):
    """Which pods of a job that has ended are removed at once."""

    NONE = 0
    RUNNING = 1
    ALL = 2

    @property
    def word(self) -> str:
        """The operator's word."""
        return {"NONE": "None", "RUNNING": "Running", "ALL": "All"}[self.name]


class RestartPolicy(enum.Enum):
    """When the operator starts a replica's container again."""

    NEVER = 0
    FAILURE = 1
    ALWAYS = 2

    @property
    def word(self) -> str:
        """The operator's word."""
        return {"NEVER": "Never", "FAILURE": "OnFailure", "ALWAYS": "Always"}[self.name]


@dataclass(frozen=True, slots=True)
class RunPolicy:
    """What the operator does with a job around its run. Only a run on Kubernetes looks at it.

    Args:
        clean_pod_policy: which pods are removed when the job has ended; all that still run by default.
        ttl_seconds_after_finished: how long the operator keeps the job after its end.
        active_deadline_seconds: how long the job may take; ``@task(timeout=)`` holds everywhere, and is better.
        backoff_limit: how many restarts of replicas fail the job.
    """

    clean_pod_policy: CleanPodPolicy | None = None
    ttl_seconds_after_finished: int | None = None
    active_deadline_seconds: int | None = None
    backoff_limit: int | None = None

    def __post_init__(self) -> None:
        _need(self.clean_pod_policy, CleanPodPolicy | None, "RunPolicy(clean_pod_policy)")
        for name, least in (("ttl_seconds_after_finished", 0), ("active_deadline_seconds", 1), ("backoff_limit", 0)):
            _need_number(getattr(self, name), f"RunPolicy({name})", least, is_optional=True)

    def to_json(self) -> dict[str, Any]:
        """As plain data; what is not said is left out."""
        return _given(
            cleanPodPolicy=self.clean_pod_policy.word if self.clean_pod_policy else None,
            ttlSecondsAfterFinished=self.ttl_seconds_after_finished,
            activeDeadlineSeconds=self.active_deadline_seconds,
            backoffLimit=self.backoff_limit,
        )


@dataclass(frozen=True, slots=True)
class Master:
    """The replica that is rank 0.

    Args:
        image: its container image; the task's by default.
        requests, limits: its resources; the task's by default.
        restart_policy: never by default: a rank that comes back alone cannot join its gang again.
    """

    image: str | None = None
    requests: Resources | None = None
    limits: Resources | None = None
    restart_policy: RestartPolicy | None = None

    def __post_init__(self) -> None:
        _check_replica(self, "Master")

    def to_json(self) -> dict[str, Any]:
        """As plain data; what is not said is left out."""
        return _replica_json(self, 1)


@dataclass(frozen=True, slots=True)
class Worker:
    """The other replicas.

    Args:
        image: their container image; the task's by default.
        requests, limits: the resources of each; the task's by default.
        replicas: how many; 1 by default.
        restart_policy: never by default.
    """

    image: str | None = None
    requests: Resources | None = None
    limits: Resources | None = None
    replicas: int | None = None
    restart_policy: RestartPolicy | None = None

    def __post_init__(self) -> None:
        _check_replica(self, "Worker")
        _need_number(self.replicas, "Worker(replicas)", 1, is_optional=True)

    def to_json(self) -> dict[str, Any]:
        """As plain data; what is not said is left out."""
        return _replica_json(self, self.replicas or 1)


@dataclass(frozen=True, slots=True)
class PyTorch:
    """A gang of replicas with one process each: a master, which is rank 0, and workers.

    On this machine every replica is a process; on Kubernetes they are the pods of a ``PyTorchJob``.

    Args:
        master: rank 0.
        worker: the other ranks.
        run_policy: for the operator.
        num_workers: the same as ``Worker(replicas=)``.
        increase_shared_mem: on Kubernetes, mount memory at ``/dev/shm`` of every replica.

    Raises:
        DefinitionError: an option has no such value.

    Example:
        >>> PyTorch(worker=Worker(replicas=3)).world_size
        4
    """

    master: Master = field(default_factory=Master)
    worker: Worker = field(default_factory=Worker)
    run_policy: RunPolicy | None = None
    num_workers: int | None = None
    increase_shared_mem: bool = True

    def __post_init__(self) -> None:
        _need(self.master, Master, "PyTorch(master)")
        _need(self.worker, Worker, "PyTorch(worker)")
        _need(self.run_policy, RunPolicy | None, "PyTorch(run_policy)")
        _need(self.increase_shared_mem, bool, "PyTorch(increase_shared_mem)")
        _need_number(self.num_workers, "PyTorch(num_workers)", 1, is_optional=True)
        if self.num_workers is not None and self.worker.replicas not in (None, self.num_workers):
            raise DefinitionError(
                "the number of workers is said twice, and not the same",
                place="PyTorch(num_workers)",
                expected=f"{self.worker.replicas}, as Worker(replicas) says",
                actual=str(self.num_workers),
            )

    @property
    def workers(self) -> int:
        """How many workers there are."""
        return self.num_workers or self.worker.replicas or 1

    @property
    def world_size(self) -> int:
        """How many ranks there are."""
        return 1 + self.workers

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "master": self.master.to_json(),
            "worker": {**self.worker.to_json(), "replicas": self.workers},
            "run_policy": self.run_policy.to_json() if self.run_policy else {},
            "increase_shared_mem": self.increase_shared_mem,
        }


@dataclass(frozen=True, slots=True)
class Elastic:
    """A gang as ``torchrun`` starts it: some processes on each of some nodes.

    With one node everything is on the machine that runs the task: this one, or one pod. With more, each is a pod of a
    ``PyTorchJob`` on Kubernetes; on this machine they are stood in for by processes.

    Args:
        nnodes: how many nodes, or a range such as ``"1:4"``.
        nproc_per_node: how many ranks on each; ``"gpu"``, ``"cpu"`` or ``"auto"`` for as many as there are of those.
        start_method: ``spawn`` starts new interpreters; ``fork`` copies the worker, which is quicker, and only works
            as long as it has not touched a GPU.
        monitor_interval: the longest time between two looks at the ranks, in seconds. One that is gone is as a rule
            noticed at once.
        max_restarts: how often the gang is started again within one attempt when a rank has failed. ``retries`` of the
            task begin a new attempt instead.
        rdzv_configs: options of the rendezvous between nodes, by torch's names.
        increase_shared_mem: on Kubernetes, mount memory at ``/dev/shm`` of every replica.
        run_policy: for the operator.

    Raises:
        DefinitionError: an option has no such value.

    Example:
        >>> Elastic(nnodes="2:4", nproc_per_node=8).nodes
        (2, 4)
    """

    nnodes: int | str = 1
    nproc_per_node: int | str = 1
    start_method: str = "spawn"
    monitor_interval: float = 0.5
    max_restarts: int = 0
    rdzv_configs: Mapping[str, Any] = field(default_factory=lambda: dict(_RDZV_DEFAULTS))
    increase_shared_mem: bool = True
    run_policy: RunPolicy | None = None

    def __post_init__(self) -> None:
        _ = self.nodes
        if not (type(self.nproc_per_node) is str and self.nproc_per_node in _PROCESSES):
            if type(self.nproc_per_node) is str:
                raise _no_such(self.nproc_per_node, "Elastic(nproc_per_node)", "int >= 1, 'auto', 'cpu' or 'gpu'")
            _need_number(self.nproc_per_node, "Elastic(nproc_per_node)", 1)
        if self.start_method not in _START_METHODS:
            raise _no_such(self.start_method, "Elastic(start_method)", "'spawn' or 'fork'")
        interval = self.monitor_interval
        if isinstance(interval, bool) or not isinstance(interval, int | float) or not 0 < interval <= 60:
            raise _no_such(interval, "Elastic(monitor_interval)", "seconds, above 0 and at most 60")
        _need_number(self.max_restarts, "Elastic(max_restarts)", 0)
        _check_rendezvous(self.rdzv_configs)
        _need(self.increase_shared_mem, bool, "Elastic(increase_shared_mem)")
        _need(self.run_policy, RunPolicy | None, "Elastic(run_policy)")

    @property
    def nodes(self) -> tuple[int, int]:
        """The fewest and the most nodes."""
        found = _RANGE.fullmatch(str(self.nnodes)) if not isinstance(self.nnodes, bool) else None
        if found is None or not isinstance(self.nnodes, int | str):
            raise _no_such(self.nnodes, "Elastic(nnodes)", "int >= 1, or a range such as '1:4'")
        least = int(found[1])
        most = int(found[2] or least)
        if least > most:
            raise _no_such(self.nnodes, "Elastic(nnodes)", "the fewest nodes first, as in '1:4'")
        return least, most

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "nodes": list(self.nodes),
            "nproc_per_node": self.nproc_per_node,
            "start_method": self.start_method,
            "monitor_interval": float(self.monitor_interval),
            "max_restarts": self.max_restarts,
            "rdzv_configs": dict(sorted(self.rdzv_configs.items())),
            "increase_shared_mem": self.increase_shared_mem,
            "run_policy": self.run_policy.to_json() if self.run_policy else {},
        }


def _check_rendezvous(given: Any) -> None:
    place = "Elastic(rdzv_configs)"
    if not isinstance(given, Mapping):
        raise _no_such(given, place, "options by name, such as {'timeout': 900}")
    for name, value in given.items():
        if not isinstance(name, str) or not name:
            raise _no_such(name, place, "names of options")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if name in _SECONDS and not (is_number and 0 < value < float("inf")):
            raise _no_such(value, f"{place}[{name!r}]", "seconds, above 0")
        if not is_number and not isinstance(value, str | bool):
            raise _no_such(value, f"{place}[{name!r}]", "a number, text or a truth value")
        if is_number and not math.isfinite(value):
            raise _no_such(value, f"{place}[{name!r}]", "a finite number")


def _check_replica(replica: Master | Worker, name: str) -> None:
    _need(replica.image, str | None, f"{name}(image)")
    _need(replica.requests, Resources | None, f"{name}(requests)")
    _need(replica.limits, Resources | None, f"{name}(limits)")
    _need(replica.restart_policy, RestartPolicy | None, f"{name}(restart_policy)")


def _replica_json(replica: Master | Worker, replicas: int) -> dict[str, Any]:
    return {
        "replicas": replicas,
        **_given(
            image=replica.image or None,
            requests=replica.requests.to_json() if replica.requests else None,
            limits=replica.limits.to_json() if replica.limits else None,
            restartPolicy=replica.restart_policy.word if replica.restart_policy else None,
        ),
    }


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _need(value: Any, kind: Any, place: str) -> None:
    if not isinstance(value, kind):
        raise _no_such(value, place, getattr(kind, "__name__", str(kind)))


def _need_number(value: Any, place: str, least: int, *, is_optional: bool = False) -> None:
    if value is None and is_optional:
        return
    if type(value) is not int or value < least:
        raise _no_such(value, place, f"int >= {least}")


def _no_such(value: Any, place: str, expected: str) -> DefinitionError:
    return DefinitionError("this option has no such value", place=place, expected=expected, actual=repr(value)[:200])
