"""A notebook as it is when a task is defined: read, checked, and written anew without what running it left in it."""

from __future__ import annotations

import ast
import json
import keyword
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from flytepath.plugin import DefinitionError

#: The tag of the cell after which papermill puts the inputs.
PARAMETERS: Final = "parameters"
#: The tag of the cell that papermill puts there.
INJECTED: Final = "injected-parameters"
#: Languages in which papermill can write parameters: those of its translators.
LANGUAGES: Final = ("python", "r", "scala", "julia", "matlab", "c#", "f#", "powershell", "bash")
#: What editors and earlier runs note in the metadata of a cell or of the notebook.
_NOTES_OF_RUNS: Final = frozenset(
    {"execution", "ExecuteTime", "papermill", "widgets", "scrolled", "collapsed", "jupyter"}
)
_CELL_TYPES: Final = frozenset({"code", "markdown", "raw"})
_CELL_MAGIC: Final = re.compile(r"\s*%%(\w+)")
#: Magics of a whole cell that still is Python for this kernel.
_PYTHON_MAGICS: Final = frozenset({"capture", "prun", "time", "timeit"})
_ID: Final = re.compile(r"[a-zA-Z0-9-_]{1,64}")


def read_notebook(path: Path, place: str) -> str:
    """The notebook at ``path``, checked, as canonical JSON without outputs, so that a run in an editor changes nothing.

    Args:
        path: the file.
        place: where it is named, for errors.

    Raises:
        DefinitionError: the file cannot be read, or is no notebook of format 4.
    """
    try:
        if not path.is_file() and not path.is_dir():
            path.stat()  # says why, where nothing is there
            raise OSError("it is no regular file")
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise DefinitionError(
            f"the notebook cannot be read: {getattr(error, 'strerror', None) or error}",
            place=place,
            expected="the path of an .ipynb file",
            actual=str(path)[:200],
        ) from error
    return canonical_notebook(content, str(path), place)


def canonical_notebook(content: bytes, file: str, place: str) -> str:
    """The notebook that ``content`` holds; see :func:`read_notebook`.

    Example:
        >>> canonical_notebook(b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "n.ipynb", "t")
        '{"cells":[],"metadata":{},"nbformat":4,"nbformat_minor":5}'
    """
    try:
        given = json.loads(content.decode("utf-8-sig"), parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise _no_notebook("is not UTF-8 text", file, place) from error
    except json.JSONDecodeError as error:
        why = "is empty" if not content.strip() else f"is not valid JSON: {error.msg}"
        raise _no_notebook(why, f"{file}, line {error.lineno}, column {error.colno}", place) from error
    except RecursionError as error:
        raise _no_notebook("is nested too deeply", file, place) from error
    except ValueError as error:
        raise _no_notebook(f"holds a number that is none of JSON: {error}", file, place) from error
    if not isinstance(given, dict) or "nbformat" not in given:
        raise _no_notebook("is JSON, and no notebook", file, place)
    if given["nbformat"] != 4:
        raise DefinitionError(
            "the notebook is of another format",
            place=place,
            expected="nbformat 4",
            actual=f"nbformat {given['nbformat']!r} in {file}",
            hint="convert it: jupyter nbconvert --to notebook --nbformat 4 FILE",
        )
    cells, metadata, minor = given.get("cells"), given.get("metadata", {}), given.get("nbformat_minor", 0)
    if not isinstance(cells, list) or not isinstance(metadata, dict) or type(minor) is not int or minor < 0:
        raise _no_notebook("is no notebook: it has no list of cells", file, place)
    checked = [_cell(cell, number, minor, file, place) for number, cell in enumerate(cells, 1)]
    made = {"cells": checked, "metadata": _metadata(metadata), "nbformat": 4, "nbformat_minor": minor}
    seen: set[str] = set()
    for number, cell in enumerate(checked, 1):
        if minor >= 5 and cell["id"] in seen:
            cell["id"] = f"cell-{number}-again"
        seen.add(cell.get("id", ""))
    text = json.dumps(made, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _no_notebook(f"holds half a character, {error.object[error.start]!r}", file, place) from error
    return text


def _no_number(name: str) -> None:
    raise ValueError(name)


def _cell(given: Any, number: int, minor: int, file: str, place: str) -> dict[str, Any]:
    where = f"{file}, cell {number}"
    if not isinstance(given, dict) or given.get("cell_type") not in _CELL_TYPES:
        raise _no_notebook("holds what is no cell", where, place)
    source = given.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    metadata = given.get("metadata", {})
    tags = metadata.get("tags", []) if isinstance(metadata, dict) else None
    if not isinstance(source, str) or not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise _no_notebook("holds a damaged cell", where, place)
    made: dict[str, Any] = {
        "cell_type": given["cell_type"],
        "metadata": {name: value for name, value in metadata.items() if name not in _NOTES_OF_RUNS},
        "source": source,
    }
    if given["cell_type"] == "code":
        made.update(outputs=[], execution_count=None)
    elif given.get("attachments"):
        made["attachments"] = given["attachments"]
    if minor >= 5:
        own = given.get("id")
        made["id"] = own if isinstance(own, str) and _ID.fullmatch(own) else f"cell-{number}"
    return made


def _metadata(given: Mapping[str, Any]) -> dict[str, Any]:
    made = {name: value for name, value in given.items() if name not in _NOTES_OF_RUNS}
    language = made.get("language_info")
    if isinstance(language, dict):
        # The rest is the version of the interpreter that ran it last.
        made["language_info"] = {"name": language.get("name", "")}
    return made


def _no_notebook(why: str, where: str, place: str) -> DefinitionError:
    return DefinitionError(
        f"the file {why}", place=place, expected="a Jupyter notebook (nbformat 4, JSON in UTF-8)", actual=where
    )


def check_notebook(
    source: str, place: str, *, inputs: Collection[str], outputs: Collection[str], kernel: str | None
) -> None:
    """Refuse a notebook that can never be the body of a task with these inputs and outputs.

    Args:
        source: from :func:`read_notebook`.
        place: the task, for errors.
        inputs, outputs: their names.
        kernel: the kernel the task asks for, in place of the notebook's own.

    Raises:
        DefinitionError: there is no cell for the parameters or more than one, no kernel is named, its language cannot
            take parameters, a name cannot be a variable, or a cell records an output that is not declared.
    """
    notebook = json.loads(source)
    if not kernel and not kernel_name(notebook):
        raise DefinitionError(
            "the notebook names no kernel",
            place=f"{place}(kernel_name)",
            expected="metadata.kernelspec.name in the notebook, or kernel_name=...",
            hint="kernel_name='python3' is the Python of the worker",
        )
    if inputs:
        _check_parameters(notebook, place, kernel)
    if language_name(notebook) == "python":
        _check_names(place, inputs)
        _check_recorded(notebook, place, outputs)


def kernel_name(notebook: Mapping[str, Any]) -> str:
    """The kernel that a notebook names, ``""`` for none."""
    spec = notebook["metadata"].get("kernelspec")
    name = spec.get("name") if isinstance(spec, dict) else None
    return name if isinstance(name, str) else ""


def language_name(notebook: Mapping[str, Any]) -> str:
    """The language of a notebook in lower case; Python where it does not say."""
    metadata = notebook["metadata"]
    for part, key in (("kernelspec", "language"), ("language_info", "name")):
        found = metadata.get(part)
        if isinstance(found, dict) and isinstance(found.get(key), str) and found[key]:
            return str(found[key]).lower()
    return "python"


def _check_parameters(notebook: Mapping[str, Any], place: str, kernel: str | None) -> None:
    numbered = [
        (number, cell)
        for number, cell in enumerate(notebook["cells"], 1)
        if PARAMETERS in cell["metadata"].get("tags", ())
    ]
    tagged = [cell for _, cell in numbered]
    if not any(cell["cell_type"] == "code" for cell in tagged):
        raise DefinitionError(
            "the notebook has no cell that takes the inputs",
            place=f"{place}(notebook_path)",
            expected=f"a code cell with the tag {PARAMETERS!r}",
            actual=f"a {tagged[0]['cell_type']} cell with that tag"
            if tagged
            else f"no cell with the tag {PARAMETERS!r}",
            hint="in JupyterLab: the cell that gives the inputs their defaults > Property Inspector > Add Tag",
        )
    if len(tagged) > 1:
        # Papermill puts the inputs after the first; the others would take them back.
        raise DefinitionError(
            f"several cells have the tag {PARAMETERS!r}",
            place=f"{place}(notebook_path)",
            expected="one, after which the inputs are set",
            actual=", ".join(f"cell {number} ({cell['cell_type']})" for number, cell in numbered),
        )
    language = language_name(notebook)
    if kernel is None and language not in LANGUAGES:
        raise DefinitionError(
            f"nobody can write parameters in {language}",
            place=f"{place}(inputs)",
            expected="a notebook in " + ", ".join(LANGUAGES),
            actual=language,
            hint="leave the inputs out, or name the kernel with kernel_name",
        )


def _check_names(place: str, inputs: Collection[str]) -> None:
    for name in inputs:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise DefinitionError(
                f"the input {name!r} can be no variable of the notebook",
                place=f"{place}(inputs)",
                expected="a name of Python",
                actual=name,
            )


def _check_recorded(notebook: Mapping[str, Any], place: str, outputs: Collection[str]) -> None:
    if outputs and not any(cell["cell_type"] == "code" for cell in notebook["cells"]):
        raise DefinitionError(
            "the notebook has no code that could record the outputs",
            place=f"{place}(outputs)",
            expected="a cell that calls record_outputs(" + ", ".join(f"{name}=..." for name in outputs) + ")",
            actual="no code cell",
        )
    for number, cell in enumerate(notebook["cells"], 1):
        if cell["cell_type"] != "code":
            continue
        for name in recorded_names(cell["source"]):
            if name not in outputs:
                raise DefinitionError(
                    f"cell {number} of the notebook records an output that the task does not declare",
                    place=f"{place}(outputs)",
                    expected=", ".join(outputs) or "no outputs",
                    actual=name,
                    hint=f"declare it: outputs=kwtypes({name}=...)",
                )


def recorded_names(source: str) -> list[str]:
    """The names that calls of ``record_outputs`` in a cell give, as far as they stand there.

    Example:
        >>> recorded_names("%matplotlib inline\\nrecord_outputs(mean=m, **more)")
        ['mean']
    """
    foreign = _CELL_MAGIC.match(source)
    if foreign and foreign[1] not in _PYTHON_MAGICS:
        return []
    # Magics and shell commands are IPython's own; the rest of the cell still is Python.
    lines = [re.sub(r"^(\s*)[%!?].*", r"\1pass", line) for line in source.splitlines()]
    try:
        tree = ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []  # the kernel says what is wrong with it, if anything
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called == "record_outputs":
                found += [given.arg for given in node.keywords if given.arg]
    return found
