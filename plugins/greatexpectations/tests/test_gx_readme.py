"""The README's examples run as they stand."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from flyte_plugin_greatexpectations import ValidationFailedError


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Any:
    readme = Path(__file__).parents[1] / "README.md"
    blocks = re.findall(r"^```python\n(.*?)^```$", readme.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    folder = tmp_path_factory.mktemp("readme")
    (folder / "people_of_the_readme.py").write_text("\n\n".join(blocks), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield importlib.import_module("people_of_the_readme")
    del sys.modules["people_of_the_readme"]


def test_the_workflow_runs(people: Any) -> None:
    assert people.pipeline() == 60.5


def test_the_error_is_the_one_shown(people: Any) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    with pytest.raises(ValidationFailedError) as caught:
        people.check(people=pd.DataFrame({"name": ["Ada", "Grace"], "age": [36, -1]}))
    for line in str(caught.value).splitlines()[:3]:
        assert line in readme


def test_the_marked_type_and_the_parameter_run(people: Any) -> None:
    frame = people.load_named()
    assert people.check_size(people=frame, at_least=2).success
