"""The README's example runs as it stands."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from flyte_plugin_papermill import NotebookCellError
from papermill_notebooks import notebook

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def sales(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The module of the README, and the notebook whose cells it shows."""
    module, *cells = blocks("python")
    folder = tmp_path_factory.mktemp("readme")
    (folder / "sales_of_the_readme.py").write_text(module, encoding="utf-8")
    (folder / "sales.ipynb").write_text(json.dumps(notebook(*cells)), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield importlib.import_module("sales_of_the_readme")
    del sys.modules["sales_of_the_readme"]


def test_the_workflow_runs(sales: Any) -> None:
    assert sales.pipeline() == "Rome: 10"


def test_the_error_is_the_one_shown(sales: Any) -> None:
    with pytest.raises(NotebookCellError) as caught:
        sales.pipeline(by="country")
    for line in str(caught.value).splitlines()[:2]:
        assert line in README
