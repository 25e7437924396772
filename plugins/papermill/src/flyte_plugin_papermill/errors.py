"""What can go wrong with a notebook as it runs, each with a code of its own. What is wrong with it before is a
``DefinitionError``.
"""

from __future__ import annotations

from typing import Any

from flytepath.plugin import TaskFailedError


class NotebookError(TaskFailedError):
    """The base of the errors of notebooks that run.

    Attributes:
        notebook: where the executed notebook is kept, as far as it was executed: a path or a URI; empty if nowhere.
    """

    code = "FP-PAPERMILL"
    notebook: str = ""


class NotebookCellError(NotebookError):
    """A cell raised. It is the user's own error, seen from outside the kernel.

    Attributes:
        ename, evalue: the name of the exception's class, and its text.
        cell: the number of the cell in the author's notebook, from 1; 0 for the cell with the injected parameters.
        traceback: what the kernel showed, without colours.

    Example:
        >>> error = NotebookCellError.of("report", 3, "KeyError", "'x'", "...")
        >>> error.cell, error.ename, error.evalue
        (3, 'KeyError', "'x'")
    """

    code = "FP-PAPERMILL-CELL"
    ename: str = ""
    evalue: str = ""
    cell: int = 0
    traceback: str = ""

    @classmethod
    def of(cls, task: str, cell: int, ename: str, evalue: str, traceback: str) -> NotebookCellError:
        """The error of the cell with number ``cell``."""
        what = f"cell {cell}" if cell else "the cell with the parameters"
        made = cls(
            f"{what} of the notebook raised {ename}: {evalue}", place=f"{task}({what})", actual=traceback or None
        )
        made.ename, made.evalue, made.cell, made.traceback = ename, evalue, cell, traceback
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        told = (self.place or "").partition("(")[0]
        return (NotebookCellError.of, (told, self.cell, self.ename, self.evalue, self.traceback))


class NotebookOutputError(NotebookError):
    """An output was not recorded, is not declared, or is not of its type."""

    code = "FP-PAPERMILL-OUTPUT"


class NotebookIncompleteError(NotebookError):
    """The run ended without an error, and cells never ran."""

    code = "FP-PAPERMILL-INCOMPLETE"


class NotebookTimeoutError(NotebookError):
    """A cell took longer than ``execution_timeout``."""

    code = "FP-PAPERMILL-TIMEOUT"


class KernelMissingError(NotebookError):
    """The machine that runs the task has no such kernel."""

    code = "FP-PAPERMILL-NO-KERNEL"


class KernelStartError(NotebookError):
    """The kernel did not start, or not within ``start_timeout``."""

    code = "FP-PAPERMILL-KERNEL-START"


class KernelDiedError(NotebookError):
    """The kernel's process ended while a cell ran, for example because memory was short."""

    code = "FP-PAPERMILL-KERNEL-DIED"


class EngineMissingError(NotebookError):
    """Papermill knows no engine of that name on the machine that runs the task."""

    code = "FP-PAPERMILL-NO-ENGINE"


class PapermillMissingError(NotebookError):
    """A library that runs or renders notebooks is not installed where the task runs."""

    code = "FP-PAPERMILL-MISSING"
