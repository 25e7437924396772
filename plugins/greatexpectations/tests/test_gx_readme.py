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
from flytepath import FlyteFile
from gx_attempt import Attempt

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tumours(tmp_path_factory: pytest.TempPathFactory) -> Any:
    blocks = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    folder = tmp_path_factory.mktemp("readme")
    (folder / "tumours_of_the_readme.py").write_text("\n\n".join(blocks), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield importlib.import_module("tumours_of_the_readme")
    del sys.modules["tumours_of_the_readme"]


def test_the_workflow_runs(tumours: Any) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    assert tumours.pipeline() == 14.13
    assert "prints `14.13`" in README
    assert len(tumours.load_measured()) == 569


def test_the_error_is_the_one_shown(tumours: Any) -> None:
    with pytest.raises(ValidationFailedError) as caught:
        tumours.check(tumours=pd.DataFrame({"mean radius": [31.0, 12.0]}))
    for line in str(caught.value).splitlines()[:3]:
        assert line in README


def test_the_file_and_the_table_are_validated(tumours: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pd.DataFrame({"x": [1, 2]}).to_csv(tmp_path / "tumours.csv", index=False)
    assert tumours.check_file(tumours=FlyteFile(str(tmp_path / "tumours.csv")), at_least=2).success
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(tmp_path / "w.db")) as connection:
        pd.DataFrame({"id": [1, 2, 2], "radius": [1.0, 9.0, 2.0]}).to_sql("tumours", connection, index=False)
    monkeypatch.setenv("_FSEC_WAREHOUSE_URL", f"sqlite:///{tmp_path / 'w.db'}")
    assert tumours.check_table(above=5.0).success
    with pytest.raises(ValidationFailedError, match="column 'id'"):
        tumours.check_table(above=0.0)


def test_every_option_of_the_task_is_in_the_table(tumours: Any, tmp_path: Path) -> None:
    import inspect

    from flyte_plugin_greatexpectations import GreatExpectationsTask, GreatExpectationsType

    table = README[README.index("| option | of |") : README.index("What belongs to a context root")]
    for kind in (GreatExpectationsTask, GreatExpectationsType):
        for name in inspect.signature(kind.__init__).parameters:
            assert name in ("self", "metadata") or f"`{name}`" in table, name
    assert Attempt(tumours.check, tmp_path).context.payload["dataset"] == "tumours"
