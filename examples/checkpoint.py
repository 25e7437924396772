"""A checkpoint: an attempt that follows a failed one goes on where that one stopped.

    flytepath run examples/checkpoint.py training
    flytepath run examples/checkpoint.py training --fail-at 6

What it shows:

- ``current_context().checkpoint``: read what an earlier attempt left, write what the next one will need;
- a write replaces the whole checkpoint at once, so a machine that is taken away cannot tear it;
- an error that asks for a retry, ``FlyteRecoverableException``.

With ``--fail-at 6`` the first attempt fails there, and the second one starts at epoch 6 and not at 0.
"""

from __future__ import annotations

import json

from flytepath import FlyteRecoverableException, current_context, task, workflow


@task(retries=1)
def fit(epochs: int, fail_at: int) -> list[float]:
    """The square root of two by Newton's method, an epoch a step, starting from a bad guess."""
    checkpoint = current_context().checkpoint
    left = checkpoint.read()
    losses: list[float] = json.loads(left)["losses"] if left else []
    guess: float = json.loads(left)["guess"] if left else 1000.0

    for epoch in range(len(losses), epochs):
        if epoch == fail_at and left is None:
            raise FlyteRecoverableException(f"the machine was taken away in epoch {epoch}")
        guess = (guess + 2 / guess) / 2
        losses.append(abs(guess * guess - 2))
        checkpoint.write(json.dumps({"guess": guess, "losses": losses}).encode())
    return losses


@workflow
def training(epochs: int = 12, fail_at: int = -1) -> list[float]:
    """The loss of every epoch, whether or not an attempt was lost in between."""
    return fit(epochs=epochs, fail_at=fail_at)
