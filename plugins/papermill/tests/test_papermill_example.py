"""The example gives what it says, called."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def wine() -> Iterator[Any]:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        yield importlib.import_module("wine")
    del sys.modules["wine"]


def test_the_notebook_reports_the_best_model(wine: Any) -> None:
    before = {path.name: path.read_bytes() for path in EXAMPLES.glob("*.ipynb")}
    choice = wine.choose()
    assert choice.best == "logistic regression"
    assert choice.accuracy == pytest.approx(0.983, abs=0.01)
    page = Path(choice.page).read_text()
    assert "<strong>logistic regression</strong> is best" in page
    assert "data:image/svg+xml;base64," in page
    assert "<td>naive Bayes</td>" in page
    assert {path.name: path.read_bytes() for path in EXAMPLES.glob("*.ipynb")} == before


@pytest.mark.proof
def test_the_notebook_is_mapped(wine: Any) -> None:
    found = wine.choose_for_each(folds=[3, 5])
    assert [line.partition(":")[0] for line in found] == ["logistic regression"] * 2
