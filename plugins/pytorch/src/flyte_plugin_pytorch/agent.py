"""One node of a gang that is spread over several: torch's own agent finds the other nodes, our gang runs the ranks.

The agent decides who has which rank, and when all nodes start their ranks again: after a failure, or when a node has
come or gone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flytepath import current_context
from flytepath.plugin import NO_OUTPUT
from torch.distributed.elastic.agent.server.api import RunResult, SimpleElasticAgent, WorkerSpec, WorkerState
from torch.distributed.elastic.rendezvous import RendezvousParameters, registry
from torch.distributed.elastic.rendezvous.api import RendezvousConnectionError, RendezvousTimeoutError

from flyte_plugin_pytorch.errors import RankDiedError
from flyte_plugin_pytorch.gang import Failure, Gang, Place
from flyte_plugin_pytorch.layout import defaults, processes
from flyte_plugin_pytorch.lost_peers import CAUSE_SECONDS
from flyte_plugin_pytorch.supervisor import (
    GangRun,
    PreparedRun,
    oom_kills,
    raise_for,
    settled,
    tell_of_preemption,
)
from flyte_plugin_pytorch.task import REPLICA_VARIABLE

if TYPE_CHECKING:
    from flytepath.plugin import TaskContext
    from torch.distributed.elastic.agent.server.api import WorkerGroup

    from flyte_plugin_pytorch.config import Elastic

#: torch's agent sleeps between two looks; we listen to the ranks instead.
_SLEEP = 0.01
#: So many failures that only tell of another node's do not count against the restarts of this one.
_SPARED = 5


def run_agent(context: TaskContext, inputs: Mapping[str, Any], config: Elastic) -> Any:
    """Run this node's ranks; what rank 0 returned, or ``NO_OUTPUT`` where that is another node's.

    Args:
        context: the attempt.
        inputs: what the body is called with.
        config: of the task; where the nodes meet is told by the operator, in the variables of ``torchrun``.

    Raises:
        RankDiedError: a rank died, or the nodes have not found each other.
        RankFailedError: a rank raised what cannot be carried here; otherwise what it raised is raised.
    """
    name = context.declaration.name
    least, most = config.nodes
    parameters = RendezvousParameters(
        backend=os.environ.get("PET_RDZV_BACKEND") or "c10d",
        endpoint=os.environ.get("PET_RDZV_ENDPOINT", ""),
        run_id=os.environ.get("PET_RDZV_ID") or f"{context.execution_id}/{context.node_path}",
        min_nodes=least,
        max_nodes=most,
        local_addr=os.environ.get("PET_LOCAL_ADDR"),
        **config.rdzv_configs,
    )
    kills = oom_kills()
    try:
        spec = WorkerSpec(
            role="default",
            local_world_size=processes(config.nproc_per_node, name),
            entrypoint=name,
            rdzv_handler=registry.get_rendezvous_handler(parameters),
            max_restarts=config.max_restarts,
            monitor_interval=_SLEEP,
        )
        with GangRun(context, inputs, config.start_method).prepared() as prepared:
            agent = _Agent(spec, prepared, float(config.monitor_interval))
            try:
                result = agent.run()
            finally:
                spec.rdzv_handler.shutdown()
            if result is None:  # the others have ended without this node
                return NO_OUTPUT
            if agent.failure is not None and result.is_failed():
                # Of the errors of all nodes the earliest counts: let the one that is behind this come first.
                if agent.failure.is_consequence:
                    time.sleep(CAUSE_SECONDS)
                raise_for(agent.failure, agent.world_size, name, oom_kills() - kills)
            return prepared.result(agent.gang) if agent.gang is not None else NO_OUTPUT
    except (RendezvousTimeoutError, RendezvousConnectionError) as error:
        raise RankDiedError(
            f"the nodes of the gang have not found each other: {error or type(error).__name__}",
            place=name,
            expected=f"{least} nodes at least, at {parameters.endpoint}",
            hint="pods that wait for a machine: raise rdzv_configs={'timeout': ..., 'join_timeout': ...}",
        ) from error


class _Agent(SimpleElasticAgent):  # type: ignore[misc]
    """Starts, watches and ends the ranks of this node as torch's agent says."""

    def __init__(self, spec: WorkerSpec, prepared: PreparedRun, interval: float) -> None:
        super().__init__(spec)
        self._prepared = prepared
        self._interval = interval
        self._checkpoint = current_context().checkpoint
        self.gang: Gang | None = None
        self.failure: Failure | None = None
        self.world_size = 0
        self._spared = 0

    def _start_workers(self, worker_group: WorkerGroup) -> dict[int, Any]:
        spec = worker_group.spec
        restarts = _round(worker_group)
        places = []
        for worker in worker_group.workers:
            self.world_size = worker.world_size
            numbers = {
                "RANK": worker.global_rank,
                "LOCAL_RANK": worker.local_rank,
                "GROUP_RANK": worker_group.group_rank,
                "ROLE_RANK": worker.role_rank,
                "WORLD_SIZE": worker.world_size,
                "LOCAL_WORLD_SIZE": spec.local_world_size,
                "GROUP_WORLD_SIZE": worker_group.group_world_size,
                "ROLE_WORLD_SIZE": worker.role_world_size,
                "MASTER_PORT": worker_group.master_port,
                "TORCHELASTIC_RESTART_COUNT": restarts,
                "TORCHELASTIC_MAX_RESTARTS": spec.max_restarts,
            }
            variables = {name: str(number) for name, number in numbers.items()}
            variables |= {
                "MASTER_ADDR": str(worker_group.master_addr),
                "ROLE_NAME": spec.role,
                "TORCHELASTIC_RUN_ID": spec.rdzv_handler.get_run_id(),
                "TORCHELASTIC_USE_AGENT_STORE": str(spec.rdzv_handler.use_agent_store),
                **defaults(worker.world_size, is_one_machine=False),
                # A gang that a rank starts itself is its own.
                REPLICA_VARIABLE: "",
            }
            places.append(Place(worker.global_rank, variables))
        self.gang = self._prepared.gang(places)
        return {worker.local_rank: worker.global_rank for worker in worker_group.workers}

    def _monitor_workers(self, worker_group: WorkerGroup) -> RunResult:
        gang = self.gang
        if gang is None:
            return RunResult(WorkerState.UNKNOWN)
        gang.attend(self._interval)
        if self._checkpoint.preempted:
            tell_of_preemption(gang)
        if gang.failures:
            self.failure = settled(gang)
            # Another node's failure counts there. A few only, or two nodes that cannot reach each other go on for ever.
            if self.failure.is_consequence and worker_group.spec.max_restarts and self._spared < _SPARED:
                self._spared += 1
                self._remaining_restarts += 1
            return RunResult(WorkerState.FAILED)
        if gang.is_done and gang.is_over:
            # The agent wants to see every rank among these; what rank 0 returned lies in its file.
            returned = dict.fromkeys((worker.global_rank for worker in worker_group.workers), None)
            return RunResult(WorkerState.SUCCEEDED, returned)
        return RunResult(WorkerState.HEALTHY)

    def _stop_workers(self, worker_group: WorkerGroup, *_: Any, **__: Any) -> None:
        if self.gang is not None:
            self.gang.stop()

    def _shutdown(self, *_: Any, **__: Any) -> None:
        if self.gang is not None:
            self.gang.stop()


def _round(worker_group: WorkerGroup) -> int:
    """The number of this round, the same on every node, and never one that was before.

    torch puts what ranks tell each other under this number. Its agents count restarts each for itself, so after one
    node has failed and another has merely joined it again, their ranks would wait for each other at different places.
    """
    store = worker_group.store
    if worker_group.group_rank == 0:
        number = int(store.underlying_store.add("flytepath/rounds", 1)) - 1
        store.set("flytepath/round", str(number))
    return int(store.get("flytepath/round"))
