"""What can go wrong with a notebook as it runs."""

from __future__ import annotations

from flytepath.authoring.kinds.processes import ProcessFailedError


class NotebookFailedError(ProcessFailedError):
    """A cell raised, or the kernel could not be had. Names the cell, and holds its traceback."""

    code = "FP-PAPERMILL-CELL"


class NotebookOutputError(ProcessFailedError):
    """The notebook did not record what the task declares."""

    code = "FP-PAPERMILL-OUTPUT"
