"""``NotebookTask``: a task whose body is a Jupyter notebook, with inputs as parameters and recorded outputs."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flytepath.authoring.promise import caller_line
from flytepath.authoring.task import PythonInstanceTask
from flytepath.errors import DefinitionError
from flytepath.plugin.task_type import TaskType

if TYPE_CHECKING:
    from flytepath.model.types import LiteralType
    from flytepath.plugin.task_type import Json, TaskDeclaration

_SCALARS: Final = frozenset({"none", "boolean", "integer", "float", "string"})
_PATHS: Final = frozenset({"file", "directory", "path"})


@dataclasses.dataclass(frozen=True, slots=True)
class NotebookConfig:
    """What selects the task type of a :class:`NotebookTask` that has no other ``task_config``."""

    notebook: str


class NotebookTaskType(TaskType):
    """Runs the notebook. It is the payload itself, so that a changed notebook is a new version."""

    def compile(self, declaration: TaskDeclaration) -> Json:
        config: NotebookConfig = declaration.config
        return {"notebook": config.notebook}


class NotebookTask(PythonInstanceTask):
    """A Jupyter notebook as a task. Assign it to a module variable, that is how a worker finds it.

    The notebook is read when the task is defined and runs in an empty folder: neither it nor its folder is written to.

    Args:
        name: the task's name, unique in its project.
        notebook_path: the notebook. A relative path starts in the current folder, or else beside the module.
        task_config: another task type that is to run the notebook, for example a plugin's.
        inputs, outputs: types by name: numbers, text, lists and dicts of those, files and directories (as paths).
        render_deck: show the executed notebook as a deck, also if a cell failed.
        stream_logs: what cells print goes to the attempt's log while they run.
        kernel_name: the kernel, if not the one that the notebook names.
        engine_name: papermill's engine, if not its own.
        start_timeout: seconds for the kernel to start.
        execution_timeout: seconds for each cell.
        **kwargs: as for ``task``: ``retries``, ``timeout``, ``requests``, ...

    Raises:
        DefinitionError: the file is no notebook, has no cell tagged ``parameters`` to take the inputs, or a type cannot
            cross.
    """

    body = "notebook"

    def __init__(
        self,
        name: str,
        notebook_path: str | os.PathLike[str],
        task_config: Any = None,
        inputs: Mapping[str, Any] | None = None,
        outputs: Mapping[str, Any] | None = None,
        render_deck: bool = True,
        stream_logs: bool = True,
        kernel_name: str | None = None,
        engine_name: str | None = None,
        start_timeout: int = 60,
        execution_timeout: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.source = _notebook_text(name, Path(os.fspath(notebook_path)).expanduser(), bool(inputs))
        self._render_deck = render_deck
        self._settings: dict[str, Any] = {
            "kernel_name": kernel_name,
            "engine_name": engine_name,
            "start_timeout": start_timeout,
            "execution_timeout": execution_timeout,
            "log_output": stream_logs,
        }
        super().__init__(
            name=name,
            task_config=task_config or NotebookConfig(self.source),
            inputs=inputs or {},
            outputs=outputs or {},
            **kwargs,
        )
        for place, codecs in (("inputs", self.input_codecs), ("outputs", self.output_codecs)):
            for key, codec in codecs.items():
                if not _crosses(codec.literal_type, top=True):
                    raise DefinitionError(
                        f"a value of type {codec.literal_type} cannot cross into a notebook",
                        place=f"{name}({place}.{key})",
                        expected="a number, text, a list or dict of those, a file or a directory",
                        actual=str(codec.literal_type),
                    )

    def call_body(self, inputs: Mapping[str, Any]) -> Any:
        """Run the notebook in a folder of its own; the outputs it recorded."""
        from flyte_plugin_papermill.execution import run_notebook

        kinds = {key: codec.literal_type.kind for key, codec in self.output_codecs.items()}
        parameters = {
            key: str(Path(os.fspath(value)).absolute()) if self.input_codecs[key].literal_type.kind in _PATHS else value
            for key, value in inputs.items()
        }
        found = run_notebook(self.name, self.source, parameters, kinds, self._settings, self._render_deck)
        values = [found[key] for key in kinds]
        if not values:
            return None
        return values[0] if self.has_one_output else tuple(values)


def _crosses(declared: LiteralType, *, top: bool) -> bool:
    if declared.kind in _SCALARS or (top and declared.kind in _PATHS):
        return True
    return declared.kind in {"list", "dict", "union"} and all(_crosses(item, top=False) for item in declared.items)


def _notebook_text(name: str, given: Path, has_inputs: bool) -> str:
    """The notebook without its outputs, so that running it in an editor makes no new version of the task."""
    beside = Path(caller_line().rpartition(":")[0]).parent / given
    path = given if given.is_file() else beside
    place = f"{name}(notebook_path)"
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DefinitionError(f"the notebook cannot be read: {error}", place=place, actual=str(given)) from error
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if (
        not isinstance(cells, list)
        or not all(isinstance(cell, dict) for cell in cells)
        or notebook.get("nbformat") != 4
    ):
        raise DefinitionError("the file is no notebook", place=place, expected="nbformat 4", actual=str(given))
    if has_inputs and not any("parameters" in cell.get("metadata", {}).get("tags", ()) for cell in cells):
        raise DefinitionError(
            "the notebook has no cell that takes the inputs",
            place=place,
            expected="a code cell with the tag 'parameters'",
            actual=str(given),
            hint="add the tag to the cell that gives the inputs their defaults",
        )
    for cell in cells:
        if cell.get("cell_type") == "code":
            cell.update(outputs=[], execution_count=None)
    return json.dumps(notebook, sort_keys=True)
