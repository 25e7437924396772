"""Notebooks for tests, written cell by cell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PYTHON = {"name": "python3", "display_name": "Python 3", "language": "python"}
#: The first line of a cell that uses what the plugin gives to notebooks.
USE = "from flyte_plugin_papermill import load_dataframe, load_dir, load_file, load_value, record_outputs\n"


def code(source: str, *tags: str) -> dict[str, Any]:
    """A code cell."""
    return {
        "cell_type": "code",
        "metadata": {"tags": list(tags)} if tags else {},
        "source": source,
        "outputs": [],
        "execution_count": None,
    }


def notebook(*cells: str | dict[str, Any], kernel: dict[str, Any] | None = PYTHON) -> dict[str, Any]:
    """A notebook; the first cell, if it is text, has the tag ``parameters``."""
    made = [
        code(cell, *(["parameters"] if number == 0 else [])) if isinstance(cell, str) else cell
        for number, cell in enumerate(cells)
    ]
    for number, cell in enumerate(made):
        cell.setdefault("id", f"c{number}")
    metadata: dict[str, Any] = {"language_info": {"name": "python"}}
    if kernel is not None:
        metadata["kernelspec"] = kernel
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def written(path: Path, *cells: str | dict[str, Any], kernel: dict[str, Any] | None = PYTHON) -> Path:
    """The same as a file."""
    path.write_text(json.dumps(notebook(*cells, kernel=kernel)), encoding="utf-8")
    return path
