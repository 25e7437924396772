"""A training loop that survives: its state is saved as it goes, and when its machine is taken away.

    flytepath run examples/checkpoints.py training
    flytepath run examples/checkpoints.py training --fail-at 130

What it shows:

- ``checkpoint.save(state, step=...)`` and ``checkpoint.load()``: the state is any value, and comes back as it was;
- the generator of random numbers is a part of the state, so a run that was cut ends with what one that was not gives;
- ``checkpoint.on_preemption``: SIGTERM leaves some seconds, and the hook saves where the loop stands.

With ``--fail-at 130`` the first attempt fails in that step, and the second goes on from step 100.
"""

from __future__ import annotations

import math
import random
from typing import Any

from flytepath import FlyteRecoverableException, current_context, task, workflow


@task(retries=1, interruptible=True)
def fit(steps: int, fail_at: int) -> list[float]:
    """Logistic regression by stochastic gradient descent: the weights."""
    checkpoint = current_context().checkpoint
    checkpoint.keep(last=2)
    state: dict[str, Any] = checkpoint.load() or {
        "step": 0,
        "weights": [0.0, 0.0, 0.0],
        "random": random.Random(7).getstate(),
    }

    @checkpoint.on_preemption
    def save() -> None:
        checkpoint.save(state, step=state["step"])

    while state["step"] < steps:
        if state["step"] == fail_at and current_context().attempt == 1:
            raise FlyteRecoverableException(f"the machine was taken away in step {fail_at}")
        weights, chance = _step(state["weights"], state["random"])
        # The next state is a new object: the hook may run between any two lines, and must never see half a step.
        state = {"step": state["step"] + 1, "weights": weights, "random": chance}
        if state["step"] % 50 == 0:
            save()
    return list(state["weights"])


def _step(weights: list[float], state: Any) -> tuple[list[float], Any]:
    chance = random.Random()
    chance.setstate(state)
    x = [1.0, chance.gauss(0, 1), chance.gauss(0, 1)]
    label = 1.0 if 0.5 + 2 * x[1] - x[2] + chance.gauss(0, 0.1) > 0 else 0.0
    guess = 1 / (1 + math.exp(-sum(w * v for w, v in zip(weights, x, strict=True))))
    better = [w + 0.5 * (label - guess) * v for w, v in zip(weights, x, strict=True)]
    return better, chance.getstate()


@workflow
def training(steps: int = 300, fail_at: int = -1) -> list[float]:
    """The weights after all steps, whether or not an attempt was lost in between."""
    return fit(steps=steps, fail_at=fail_at)
