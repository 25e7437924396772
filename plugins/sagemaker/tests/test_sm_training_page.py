"""The page about training runs as it stands, and the example gives what it says: here, and in containers."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from flyte_plugin_sagemaker.testing import SageMakerDouble
from flyte_plugin_sagemaker.training import SECONDARY
from sm_platform import Platform

PAGE = (Path(__file__).parents[3] / "docs" / "sagemaker.md").read_text(encoding="utf-8")
EXAMPLE = (Path(__file__).parents[1] / "examples" / "spot_training.py").read_text(encoding="utf-8")


def test_the_programs_of_the_page_run(sagemaker_double: SageMakerDouble) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    found: dict[str, object] = {"__name__": "page"}
    exec(compile("\n\n".join(blocks), "sagemaker.md", "exec"), found)
    test = found["test_it_goes_on_after_an_interruption"]
    assert callable(test)
    test(sagemaker_double)


def test_every_state_that_is_in_use_is_in_the_table() -> None:
    for word in SECONDARY:
        if word != "PreparingTraining":
            assert f"`{word}`" in PAGE, word


def test_the_example_gives_a_line() -> None:
    module = ModuleType("spot_training")
    sys.modules[module.__name__] = module
    try:
        exec(compile(EXAMPLE, "spot_training.py", "exec"), module.__dict__)
        line = module.best()
    finally:
        del sys.modules[module.__name__]
    assert (round(line.slope, 1), round(line.intercept, 1), line.rate) == (2.0, 1.0, 0.2)


@pytest.mark.proof
def test_the_example_runs_in_containers(sagemaker_double: SageMakerDouble, tmp_path: Path) -> None:
    platform = Platform(sagemaker_double, tmp_path, EXAMPLE)
    assert '"rate": 0.2' in platform.run("best").replace("'", '"').replace("rate=0.2", '"rate": 0.2')
    assert len(sagemaker_double.training.made) == 3
    assert all(made["EnableManagedSpotTraining"] for made in sagemaker_double.training.made)
