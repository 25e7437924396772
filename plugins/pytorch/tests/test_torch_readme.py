"""The README's example runs as it stands, called and run."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flytepath import FlytePath

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    folder = tmp_path_factory.mktemp("readme")
    (folder / "line_of_the_readme.py").write_text("\n\n".join(blocks), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield importlib.import_module("line_of_the_readme")
    del sys.modules["line_of_the_readme"]


def test_the_workflow_learns_the_slope_called_and_run(line: Any, home: Path) -> None:
    assert line.fit() == pytest.approx(3.0, abs=0.01)
    with FlytePath(home=home) as api:
        ended = api.wait(api.execute(line.fit, {}), 120)
        assert ended.status == "succeeded", ended.error
        assert ended.outputs["o0"] == pytest.approx(3.0, abs=0.01)


def test_the_task_for_a_cluster_is_defined(line: Any) -> None:
    assert line.train_on_a_cluster.task_config.world_size == 4
    assert line.NODES.nodes == (4, 4)
