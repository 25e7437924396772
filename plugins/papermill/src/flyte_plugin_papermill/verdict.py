"""What became of a notebook, read from the notebook itself: neither an exit nor a status is taken at its word."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from flyte_plugin_papermill.errors import NotebookCellError, NotebookError, NotebookIncompleteError, NotebookOutputError
from flyte_plugin_papermill.notebook import INJECTED
from flyte_plugin_papermill.recording import MIME, OutputRecordingError, from_json
from flyte_plugin_papermill.shortening import shortened

#: The tag of the cells that papermill puts where a notebook failed.
ERROR_MARK: Final = "papermill-error-cell-tag"
#: Jupyter's own tag for a cell whose error is meant to happen.
EXPECTED: Final = "raises-exception"
#: Characters of an exception's text and of its traceback that an error has; the executed notebook has the rest.
_TOLD: Final = 4_000
_TRACEBACK: Final = 40_000
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def numbered(cells: list[Any]) -> list[tuple[int, Any]]:
    """The cells with the numbers they have in the author's notebook, from 1; 0 for the one with the parameters."""
    found, number = [], 0
    for cell in cells:
        tags = cell.metadata.get("tags", ())
        if ERROR_MARK in tags:
            continue
        if INJECTED in tags:
            found.append((0, cell))
            continue
        number += 1
        found.append((number, cell))
    return found


def failure_of(task: str, notebook: Any) -> NotebookError | None:
    """What went wrong, ``None`` where every cell did what it should.

    A cell with the tag ``raises-exception`` may raise; ``sys.exit(0)`` ends a notebook well, and nothing else leaves a
    cell out.

    Args:
        task: the task's name.
        notebook: what was executed.
    """
    for number, cell in numbered(notebook.cells):
        if cell.cell_type != "code":
            continue
        tags = cell.metadata.get("tags", ())
        for output in cell.get("outputs", ()):
            if output.output_type != "error":
                continue
            if output.ename == "SystemExit" and output.evalue in ("", "0", "None"):
                return None
            if EXPECTED not in tags or output.ename == OutputRecordingError.__name__:
                return _raised(task, number, output)
        noted = cell.metadata.get("papermill", {})
        if noted.get("exception") is True and EXPECTED not in tags:
            return NotebookCellError.of(task, number, "CellExecutionError", "it left no output that says more", "")
        if cell.execution_count is None and cell.source.strip() and noted.get("start_time") is None:
            return NotebookIncompleteError(
                f"cell {number} of the notebook never ran",
                place=f"{task}(cell {number})",
                expected="every cell, or sys.exit(0) before it",
                actual=f"the run ended before cell {number} without an error",
            )
    return None


def _raised(task: str, number: int, output: Any) -> NotebookError:
    evalue = shortened(_COLOURS.sub("", output.evalue), _TOLD)
    if output.ename == OutputRecordingError.__name__:
        return NotebookOutputError(evalue, place=f"{task}(cell {number})", hint="see record_outputs")
    text = shortened(_COLOURS.sub("", "\n".join(output.get("traceback", ()))), _TRACEBACK)
    return NotebookCellError.of(task, number, output.ename, evalue, text)


def recorded(notebook: Any, kept: Mapping[str, Any] | None = None) -> dict[str, tuple[Any, int]]:
    """What the notebook recorded: the noted value, and the number of the cell, by the name of the output.

    Args:
        notebook: what was executed.
        kept: what was noted beside it; the number is 0 where the notebook does not show it any more.
    """
    found: dict[str, tuple[Any, int]] = {}
    for number, cell in numbered(notebook.cells):
        for output in cell.get("outputs", ()):
            noted = output.get("data", {}).get(MIME)
            if isinstance(noted, Mapping):
                found.update({str(name): (value, number) for name, value in noted.items()})
    # A cell may have cleared or captured what it showed, of which an earlier value would be left.
    return found | {name: (value, found.get(name, (None, 0))[1]) for name, value in (kept or {}).items()}


def cell_named(number: int) -> str:
    """How an error names the cell of a recorded value.

    Example:
        >>> cell_named(3), cell_named(0)
        ('cell 3', 'a cell')
    """
    return f"cell {number}" if number else "a cell"


def check_names(task: str, found: Mapping[str, tuple[Any, int]], declared: Mapping[str, Any]) -> None:
    """Refuse outputs that are missing, or that nobody declared.

    Raises:
        NotebookOutputError: with the names, and the cell.
    """
    for name, (_, cell) in found.items():
        if name not in declared:
            raise NotebookOutputError(
                f"{cell_named(cell)} of the notebook recorded an output that the task does not declare",
                place=f"{task}({cell_named(cell)})",
                expected=", ".join(declared) or "no outputs",
                actual=name,
                hint=f"declare it: outputs=kwtypes({name}=...)",
            )
    missing = [name for name in declared if name not in found]
    if missing:
        raise NotebookOutputError(
            f"the notebook did not record the output {missing[0]!r}",
            place=f"{task}() -> {missing[0]}",
            expected=", ".join(declared),
            actual=", ".join(found) or "nothing was recorded",
            hint="call record_outputs(" + ", ".join(f"{name}=..." for name in missing) + ") in a cell",
        )


def value_of(noted: Any, python_type: Any) -> Any:
    """A noted value, as the native one.

    Raises:
        TypeTransformerFailedError: what was noted exactly is of another type than ``python_type``.
    """
    from pathlib import Path

    from flyte_plugin_papermill.exchange import read_value
    from flyte_plugin_papermill.recording import MARK

    if isinstance(noted, dict) and noted.get(MARK) == "value":
        return read_value(Path(noted["at"]), python_type)
    return from_json(noted)
