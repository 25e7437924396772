"""When a task fails: what still runs, and who cleans up.

    flytepath run examples/failures.py rehearse
    flytepath run examples/failures.py rehearse --broken true

What it shows:

- ``on_failure``: a task that runs when the workflow has failed, with the workflow's inputs and, as ``err``, with what
  happened; the run is a failure all the same;
- ``WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE``: what does not need the task that failed is done first;
- an exception keeps its class, and its message names what is wrong. The second command above fails on purpose.
"""

from __future__ import annotations

from flytepath import FlyteError, WorkflowFailurePolicy, task, workflow


@task
def book_stage(name: str) -> str:
    """The stage is ours."""
    return f"stage for {name}"


@task
def tune(instrument: str, broken: bool) -> str:
    """Fails if a string breaks."""
    if broken:
        raise RuntimeError(f"a string of the {instrument} is broken")
    return f"{instrument} in tune"


@task
def play(stage: str, instruments: list[str]) -> str:
    """If all are there."""
    return f"{stage}: {', '.join(instruments)}"


@task
def give_back(name: str, err: FlyteError | None = None) -> None:
    """Clean up: runs when the rehearsal has failed."""
    print(f"the stage of {name} is free again: {err.message if err else 'nobody knows why'}")


@workflow(on_failure=give_back, failure_policy=WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE)
def rehearse(name: str = "the quartet", broken: bool = False) -> str:
    """The viola is tuned, whatever happens to the cello."""
    stage = book_stage(name=name)
    tuned = [tune(instrument="viola", broken=False), tune(instrument="cello", broken=broken)]
    return play(stage=stage, instruments=tuned)
