"""One run of a notebook: papermill executes it, what it recorded is read, and the deck is made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flyte_plugin_papermill.errors import NotebookFailedError, NotebookOutputError
from flyte_plugin_papermill.recording import OUTPUTS


def run_notebook(
    task: str,
    source: str,
    parameters: Mapping[str, Any],
    outputs: Mapping[str, str],
    settings: Mapping[str, Any],
    render_deck: bool,
) -> dict[str, Any]:
    """Execute the notebook and return its recorded outputs by name.

    Raises:
        NotebookFailedError: a cell raised, or the kernel could not be had.
        NotebookOutputError: an output is missing, or one was recorded that is not declared.
    """
    import nbformat
    from flytepath.types.transfers import fresh_folder

    folder = fresh_folder()
    place = folder.with_name(f"{folder.name}.notebook")
    place.mkdir()
    given, executed = place / "given.ipynb", place / "executed.ipynb"
    given.write_text(source, encoding="utf-8")
    try:
        _execute(task, given, executed, parameters, folder, settings)
    finally:
        if render_deck and executed.is_file():
            _add_deck(executed)
    return _recorded(task, nbformat.read(executed, as_version=4), outputs, folder)


def _execute(
    task: str, given: Path, executed: Path, parameters: Mapping[str, Any], folder: Path, settings: Mapping[str, Any]
) -> None:
    import papermill
    from jupyter_client.kernelspec import NoSuchKernel
    from papermill.exceptions import PapermillExecutionError

    try:
        papermill.execute_notebook(
            str(given), str(executed), parameters=dict(parameters), cwd=str(folder), progress_bar=False, **settings
        )
    except PapermillExecutionError as error:
        raise NotebookFailedError(
            f"cell {error.cell_index} of the notebook raised {error.ename}: {error.evalue}",
            place=f"{task}(cell {error.cell_index})",
            actual="\n".join(error.traceback),
        ) from error
    except NoSuchKernel as error:
        raise NotebookFailedError(
            f"there is no kernel {error.name!r}",
            place=f"{task}(kernel_name)",
            hint="install it in the task's image, or name another with kernel_name",
        ) from error


def _recorded(task: str, notebook: Any, declared: Mapping[str, str], folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            found.update(output.get("data", {}).get(OUTPUTS, {}))
    if found.keys() != declared.keys():
        raise NotebookOutputError(
            "the notebook did not record the outputs that the task declares",
            place=task,
            expected=", ".join(declared) or "none",
            actual=", ".join(found) or "none",
            hint="call record_outputs(name=value) with each of them",
        )
    return {key: _native(task, key, found[key], kind, folder) for key, kind in declared.items()}


def _native(task: str, name: str, value: Any, kind: str, folder: Path) -> Any:
    if kind not in ("file", "directory", "path"):
        return value
    path = folder / value if isinstance(value, str) else None
    if path is None or not path.exists():
        raise NotebookOutputError(
            f"the output {name!r} is not there", place=f"{task}() -> {name}", expected=f"a {kind}", actual=repr(value)
        )
    from flytepath.types.directories import FlyteDirectory
    from flytepath.types.files import FlyteFile

    return {"file": FlyteFile, "directory": FlyteDirectory, "path": Path}[kind](str(path))


def _add_deck(executed: Path) -> None:
    from flytepath.authoring.context import current_context
    from nbconvert import HTMLExporter

    html, _ = HTMLExporter(template_name="basic", sanitize_html=True).from_filename(str(executed))
    current_context().add_deck("notebook", html)
