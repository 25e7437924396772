"""Papermill's engines with something around them: every cell is told as it starts and ends, and kernels are guarded.

Importing this module imports papermill.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_output
from papermill.engines import NBClientEngine, papermill_engines

from flyte_plugin_papermill.notebook import INJECTED

#: The name that papermill knows it by.
ENGINE: Final = "flytepath"
_SHOWN: Final = 60
#: How long the output of a cell that has ended may take to arrive. A cell that prints much is soon minutes ahead.
_DRAIN_SECONDS: Final = 900


@dataclass(slots=True)
class Watch:
    """What is seen of a run as it goes on.

    Args:
        engine: papermill's engine that runs the cells; ``None`` for its own.
        kernel_manager: the class that starts the kernel, for engines that can be given one.
        tell: takes each line of the progress.
        cell: the place of the cell that runs, from 0; ``None`` before the first.
    """

    engine: str | None
    kernel_manager: type[Any]
    tell: Callable[[str], None]
    cell: int | None = None

    def follow(self, run: Any) -> None:
        """Tell of each code cell of ``run``, papermill's manager of a notebook that is about to be executed."""
        cells = run.nb.cells
        own = [place for place, cell in enumerate(cells) if INJECTED not in cell.metadata.get("tags", ())]
        # Numbers count all cells of the author's notebook, as errors do; those with code are told.
        places = {place: number for number, place in enumerate(own, 1) if cells[place].cell_type == "code"}
        start, complete, raised = run.cell_start, run.cell_complete, run.cell_exception
        began = 0.0

        def cell_start(cell: Any, cell_index: int | None = None, **more: Any) -> Any:
            nonlocal began
            began = time.monotonic()
            self.cell = cell_index
            if cell_index in places:
                lines = [line.strip() for line in cell.source.splitlines() if line.strip()]
                first = next((line for line in lines if not line.startswith("#")), "".join(lines[:1]))
                shown = first if len(first) <= _SHOWN else f"{first[:_SHOWN]}..."
                self.tell(f"cell {places[cell_index]} of {len(own)}: {shown}")
            return start(cell, cell_index, **more)

        def cell_complete(cell: Any, cell_index: int | None = None, **more: Any) -> Any:
            _join_streams(cell)
            done = complete(cell, cell_index, **more)
            if cell_index in places:
                failed = cell.metadata.get("papermill", {}).get("exception")
                how = "failed" if failed or sys.exc_info()[0] is not None else "done"
                self.tell(f"cell {places[cell_index]} of {len(own)} {how} in {time.monotonic() - began:.1f} s")
            return done

        def cell_exception(cell: Any, cell_index: int | None = None, **more: Any) -> Any:
            error = more.get("exception")
            if isinstance(error, CellExecutionError) and not any(o.output_type == "error" for o in cell.outputs):
                # IPython shows a group of exceptions as text only; the reply says what was raised.
                told = {"ename": error.ename, "evalue": error.evalue, "traceback": [error.traceback]}
                cell.outputs.append(new_output("error", **told))
            return raised(cell, cell_index, **more)

        run.cell_start, run.cell_complete, run.cell_exception = cell_start, cell_complete, cell_exception


def _join_streams(cell: Any) -> None:
    """Make one output of what was printed in pieces: thousands of them take minutes to check, write and draw."""
    joined: list[tuple[Any, list[str]]] = []
    for output in cell.get("outputs", ()):
        before = joined[-1][0] if joined else None
        if before is not None and output.output_type == "stream" == before.output_type and output.name == before.name:
            joined[-1][1].append(output.text)
        else:
            joined.append((output, [output.text] if output.output_type == "stream" else []))
    for output, pieces in joined:
        if len(pieces) > 1:
            output.text = "".join(pieces)
    if "outputs" in cell:
        cell.outputs = [output for output, _ in joined]


class WatchedEngine(NBClientEngine):  # type: ignore[misc]
    """The engine that is asked for, watched."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> Any:
        """Run the cells.

        Args:
            nb_man: papermill's manager of the notebook.
            kernel_name: the kernel.
            kwargs: ``watch``, a :class:`Watch`, and what the engine takes.
        """
        watch: Watch = kwargs.pop("watch")
        engine = papermill_engines.get_engine(watch.engine)
        watch.follow(nb_man)
        if takes_managers(watch.engine):
            kwargs["kernel_manager_class"] = watch.kernel_manager
            kwargs.setdefault("iopub_timeout", _DRAIN_SECONDS)
        return engine.execute_managed_notebook(nb_man, kernel_name, **kwargs)


def takes_managers(engine: str | None) -> bool:
    """Whether an engine starts kernels by the class it is given; another one starts them by itself.

    Raises:
        PapermillException: there is no such engine.
    """
    return issubclass(papermill_engines.get_engine(engine), NBClientEngine)


papermill_engines.register(ENGINE, WatchedEngine)
