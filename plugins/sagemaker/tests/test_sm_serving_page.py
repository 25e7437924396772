"""The page on models, endpoints and calls says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import flyte_plugin_sagemaker
import pytest

PAGE = Path(__file__).parents[3] / "docs" / "sagemaker-serving.md"


@pytest.fixture
def page() -> str:
    if not PAGE.exists():
        pytest.skip("the page is part of the repository")
    return PAGE.read_text()


def test_its_code_runs(page: str) -> None:
    scope: dict[str, object] = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), scope)
    assert {"make_model", "score", "tag"} <= set(scope)


def test_every_task_that_it_names_is_there(page: str) -> None:
    named = set(re.findall(r"\b((?:SageMaker|Boto)\w*(?:Task|Config)|\w+_sagemaker_deployment)\b", page))
    assert len(named) >= 15
    assert not [name for name in named if not hasattr(flyte_plugin_sagemaker, name)]


def test_every_error_code_that_it_names_is_ours(page: str) -> None:
    known = {
        value.code
        for name in flyte_plugin_sagemaker.__all__
        if hasattr(value := getattr(flyte_plugin_sagemaker, name), "code")
    }
    assert set(re.findall(r"FP-AWS-[A-Z-]+", page)) <= known
