"""A line is fitted on spot machines: each item of a map is a training job that goes on where an earlier one stood.

`best()` runs it here, and `flytepath run spot_training.py best` at SageMaker, once `[backends.sagemaker]` says whose
account it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from flyte_plugin_sagemaker import SagemakerTraining
from flytepath import Retry, current_context, map_task, task, workflow

POINTS = [(0.0, 1.0), (1.0, 3.0), (2.0, 5.0), (3.0, 7.0)]


@dataclass
class Fit:
    """A line, and how far the points are from it."""

    rate: float
    slope: float
    intercept: float
    loss: float


@task(
    task_config=SagemakerTraining(instance_type="ml.m5.large", spot=True),
    retries=Retry(1, system=5),
    timeout=3600,
    environment={"OMP_NUM_THREADS": "1"},
)
def fit(rate: float) -> Fit:
    """Gradient descent, saved as it goes."""
    checkpoint = current_context().checkpoint
    state = checkpoint.load() or {"step": 0, "slope": 0.0, "intercept": 0.0}
    while state["step"] < 200:
        errors = [(state["slope"] * x + state["intercept"] - y, x) for x, y in POINTS]
        state = {
            "step": state["step"] + 1,
            "slope": state["slope"] - rate * sum(error * x for error, x in errors) / len(POINTS),
            "intercept": state["intercept"] - rate * sum(error for error, _ in errors) / len(POINTS),
        }
        if state["step"] % 50 == 0:
            checkpoint.save(state, step=state["step"])
    loss = sum((state["slope"] * x + state["intercept"] - y) ** 2 for x, y in POINTS)
    return Fit(rate, state["slope"], state["intercept"], loss)


@task
def chosen(fits: list[Fit]) -> Fit:
    """The best of them, on the engine's machine."""
    return min(fits, key=lambda each: each.loss)


@workflow
def best() -> Fit:
    """Three rates, three training jobs."""
    return chosen(fits=map_task(fit)(rate=[0.01, 0.1, 0.2]))
