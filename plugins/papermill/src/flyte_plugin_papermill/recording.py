"""What a notebook calls to give the task's outputs. It runs in the kernel and needs nothing of the platform."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

#: The MIME type of the cell output that holds what was recorded.
OUTPUTS: Final = "application/vnd.flytepath.outputs+json"


def record_outputs(**outputs: Any) -> None:
    """Give the outputs of the task that runs this notebook; later calls add to earlier ones.

    Args:
        **outputs: values by output name: numbers, text, lists and dicts of those; a path for a file or a directory.

    Raises:
        TypeError: a value that is none of those.
        ValueError: a number that JSON cannot hold, such as ``nan``.
    """
    from IPython.display import display

    bundle = json.loads(json.dumps(outputs, default=_path, allow_nan=False))
    display({OUTPUTS: bundle, "text/plain": f"outputs: {', '.join(outputs)}"}, raw=True)


def _path(value: Any) -> str:
    if isinstance(value, os.PathLike):
        return str(Path(value).absolute())
    raise TypeError(f"record_outputs takes numbers, text, lists, dicts and paths, not {type(value).__name__}")
