"""What can be wrong with checkpoints."""

from __future__ import annotations

from flytepath.errors import FlytePathError


class CheckpointError(FlytePathError, ValueError):
    """A checkpoint cannot be written, or what an earlier attempt left is of another shape."""

    code = "FP-CHECKPOINT"


class CheckpointWarning(UserWarning):
    """A checkpoint is torn or damaged, and an older one is used in its place."""
