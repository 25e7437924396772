"""A worker that is one of a gang already: its pod is a replica, and an operator has told it of the others."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flytepath.plugin import NO_OUTPUT, DefinitionError, variables_set

from flyte_plugin_pytorch.lost_peers import CAUSE_SECONDS, is_lost_peer

if TYPE_CHECKING:
    from collections.abc import Callable

    from flytepath.plugin import TaskContext

    from flyte_plugin_pytorch.config import Elastic


def run_as_rank(inputs: Mapping[str, Any], call_body: Callable[[Mapping[str, Any]], Any]) -> Any:
    """Call the body in this process, which is one rank; what it returned counts for rank 0 alone.

    Raises:
        DefinitionError: the operator has not said which rank this is.
    """
    missing = [name for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing:
        raise DefinitionError(
            f"this replica was not told its {missing[0]}",
            place="the environment",
            expected="RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, which the operator sets",
            hint="the training operator must manage PyTorchJob objects of this namespace",
        )
    rank = os.environ["RANK"]
    with (
        variables_set({"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "GROUP_RANK": rank}),
        leaving_process_group(),
    ):
        try:
            returned = call_body(inputs)
        except Exception as error:
            # Of the errors of all replicas the earliest counts: let the one that is behind this come first.
            if is_lost_peer(error):
                time.sleep(CAUSE_SECONDS)
            raise
    return returned if rank == "0" else NO_OUTPUT


def run_as_node(context: TaskContext, inputs: Mapping[str, Any], config: Elastic) -> Any:
    """Start this node's ranks, as soon as the nodes have found each other; what rank 0 returned, if it is here."""
    from flyte_plugin_pytorch.agent import run_agent

    return run_agent(context, inputs, config)


@contextmanager
def leaving_process_group() -> Iterator[None]:
    """What the body does with torch's default process group is undone: the next attempt may run in this process."""
    try:
        yield
    finally:
        distributed = sys.modules.get("torch.distributed")
        if distributed is not None and distributed.is_available() and distributed.is_initialized():
            distributed.destroy_process_group()
