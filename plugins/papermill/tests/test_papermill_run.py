"""Notebooks as tasks: inputs in, outputs out, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from flyte_plugin_papermill import NotebookFailedError, NotebookOutputError, NotebookTask
from flytepath.errors import DefinitionError


def _written(path: Path, *cells: str, tags: tuple[str, ...] = ("parameters",)) -> Path:
    def cell(number: int, text: str) -> dict[str, Any]:
        metadata = {"tags": list(tags)} if number == 0 else {}
        return {
            "cell_type": "code",
            "id": f"c{number}",
            "metadata": metadata,
            "source": text,
            "outputs": [],
            "execution_count": None,
        }

    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    content = {
        "cells": [cell(*one) for one in enumerate(cells)],
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(content))
    return path


RECORD = "from flyte_plugin_papermill import record_outputs\n"


def test_inputs_are_parameters_and_the_source_is_left_alone(tmp_path: Path) -> None:
    path = _written(tmp_path / "n.ipynb", "x = 1", RECORD + "open('left', 'w').close()\nrecord_outputs(y=x * 2)")
    before = path.read_bytes()
    task = NotebookTask(name="double", notebook_path=path, inputs={"x": int}, outputs={"y": int})
    assert task(x=21) == 42
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["n.ipynb"]


def test_a_failing_cell_is_named(tmp_path: Path) -> None:
    path = _written(tmp_path / "n.ipynb", "x = 1", "raise KeyError('gone')")
    with pytest.raises(NotebookFailedError, match="KeyError: 'gone'"):
        NotebookTask(name="fails", notebook_path=path, inputs={"x": int})(x=1)


def test_outputs_that_were_not_recorded_are_refused(tmp_path: Path) -> None:
    path = _written(tmp_path / "n.ipynb", "x = 1")
    with pytest.raises(NotebookOutputError, match="did not record"):
        NotebookTask(name="silent", notebook_path=path, outputs={"y": int})()


def test_bad_notebooks_are_refused_when_defined(tmp_path: Path) -> None:
    bad = tmp_path / "bad.ipynb"
    bad.write_text("{")
    with pytest.raises(DefinitionError, match="cannot be read"):
        NotebookTask(name="bad", notebook_path=bad)
    plain = _written(tmp_path / "plain.ipynb", "x = 1", tags=())
    with pytest.raises(DefinitionError, match="no cell that takes"):
        NotebookTask(name="plain", notebook_path=plain, inputs={"x": int})
