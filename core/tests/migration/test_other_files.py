"""Requirements, project files and notebooks: names change, everything else stays."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("libcst")

from flytepath.migration.notebooks import rewrite_notebook
from flytepath.migration.requirements import (
    mentions,
    rewrite_pyproject,
    rewrite_requirement,
    rewrite_requirements,
    rewrite_setup_cfg,
)
from flytepath.migration.table import Table

TABLE = Table.of(())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("flytekit", "flytepath"),
        ("flytekit>=1.10,<2", "flytepath"),
        ("Flytekit == 1.10.*", "flytepath"),
        ("flytekitplugins_spark[x] >= 1.0 ; python_version < '3.12'", "flyte-plugin-spark ; python_version < '3.12'"),
        ("flytekitplugins-deck-standard", "flytepath"),
        ("flytekitplugins-unheard-of", ""),
        ("flytekit @ git+https://example.org/flytekit.git", ""),
        ("flytekit-uv", ""),
        ("flyte", None),
        ("pandas>=2", None),
    ],
)
def test_one_requirement(old: str, new: str | None) -> None:
    assert rewrite_requirement(old, TABLE) == new


def test_a_requirements_file_keeps_its_lines_comments_and_ends() -> None:
    text = (
        "# flytekit below\r\npandas==2.1  # frames\r\nflytekit>=1.10  # the engine\r\n"
        "flytekitplugins-spark\r\n-e git+https://example.org/flytekit.git#egg=flytekit\r\n\r\n"
    )
    outcome = rewrite_requirements("requirements.txt", text, TABLE)
    assert outcome.after == text.replace("flytekit>=1.10", "flytepath").replace("flytekitplugins", "flyte-plugin")
    assert [found.line for found in outcome.findings] == [5]


def test_what_core_brings_is_required_once() -> None:
    outcome = rewrite_requirements("requirements.txt", "flytekit==1\nflytekitplugins-polars\nrich\n", TABLE)
    assert outcome.after == "flytepath\nrich\n"


def test_a_hashed_requirements_file_is_left_to_its_tool() -> None:
    text = "flytekit==1.10 \\\n    --hash=sha256:abc\n"
    outcome = rewrite_requirements("requirements.txt", text, TABLE)
    assert outcome.after == text
    assert "lock" in outcome.findings[0].hint


PYPROJECT = """\
[project]
name = "mine"            # flytekit user
dependencies = [
    "pandas",
    "flytekit>=1.10",  # the engine
    'flytekitplugins-pod==1',
    "flytekitplugins-mlflow",
]
[project.optional-dependencies]
spark = ["flytekitplugins-spark"]
[dependency-groups]
dev = [{include-group = "x"}, "flytekit"]
[tool.poetry.dependencies]
python = "^3.11"
flytekit = "^1.10"  # why
flytekitplugins-ray = {version = "^1", optional = true}
[tool.poetry.group.dev.dependencies]
"flytekitplugins-dask" = '1.*'
[tool.mypy]
flytekit = "x"
"""


def test_a_pyproject_keeps_its_formatting() -> None:
    outcome = rewrite_pyproject("pyproject.toml", PYPROJECT, TABLE)
    expected = (
        PYPROJECT.replace("flytekit>=1.10", "flytepath")
        .replace("'flytekitplugins-pod==1'", '"flyte-plugin-kubernetes"')
        .replace("flytekitplugins-spark", "flyte-plugin-spark")
        .replace('"x"}, "flytekit"', '"x"}, "flytepath"')
        .replace('flytekit = "^1.10"', 'flytepath = "*"')
        .replace("\"flytekitplugins-dask\" = '1.*'", '"flyte-plugin-dask" = "*"')
    )
    assert outcome.after == expected
    assert rewrite_pyproject("pyproject.toml", expected, TABLE).after == expected
    names = [found.name for found in outcome.findings]
    assert any("flytekitplugins-mlflow" in name for name in names)
    assert any("flytekitplugins-ray" in name for name in names)


def test_a_broken_pyproject_is_skipped() -> None:
    outcome = rewrite_pyproject("pyproject.toml", "[project\nflytekit", TABLE)
    assert outcome.status == "skipped"
    assert not outcome.changes


def test_a_setup_cfg_changes_only_in_its_requirement_lists() -> None:
    text = (
        "[metadata]\nname = x\ndescription =\n    flytekit\n[options]\ninstall_requires =\n    flytekit>=1\n"
        "    rich\n[options.extras_require]\nspark =\n    flytekitplugins-spark\n"
    )
    outcome = rewrite_setup_cfg("setup.cfg", text, TABLE)
    assert outcome.after == text.replace("flytekit>=1", "flytepath").replace(
        "flytekitplugins-spark", "flyte-plugin-spark"
    )


def test_other_files_are_reported_by_line() -> None:
    text = "FROM python\nRUN pip install flytekit\nENTRYPOINT pyflyte-execute\n"
    assert [(found.line, found.hint) for found in mentions("Dockerfile", text)] == [
        (2, "replace it by hand"),
        (3, "use the command flytepath"),
    ]


def notebook(*sources: str | list[str], indent: int = 1) -> str:
    cells = [
        {
            "cell_type": "code",
            "execution_count": 1,
            "metadata": {},
            "outputs": [{"text": "flytekit é"}],
            "source": source,
        }
        for source in sources
    ]
    cells.insert(0, {"cell_type": "markdown", "metadata": {}, "source": ["flytekit.task"]})  # type: ignore[dict-item]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=indent) + "\n"


def test_the_code_of_a_notebook_is_rewritten_across_cells() -> None:
    before = notebook(
        ["%pip install x\n", "import flytekit\n", "if True:\n", "    !ls é\n"],
        ["@flytekit.task\n", "def f(): ...\n"],
        "flytekit.types.file.FlyteFile?",
        ["%%bash\n", "echo import flytekit"],
        ["x = flytekit.types.file.FlyteFile"],
        [],
    )
    outcome = rewrite_notebook("x.ipynb", before, TABLE)
    after = (
        before.replace('"import flytekit\\n', '"import flytepath\\n')
        .replace("@flytekit.task", "@flytepath.task")
        .replace("x = flytekit.types.file.FlyteFile", "x = flytepath.FlyteFile")
    )
    assert outcome.after == after
    assert not rewrite_notebook("x.ipynb", after, TABLE).changes
    assert len(outcome.findings) == 2


def test_a_finding_in_a_notebook_names_its_cell_and_line() -> None:
    text = notebook(["import os\n"], ["x = 1\n", "from flytekit.remote import FlyteRemote"])
    (found,) = rewrite_notebook("x.ipynb", text, TABLE).findings
    assert (found.line, found.reason.split(":")[0]) == (2, "cell 2")


@pytest.mark.parametrize(
    "text", ["flytekit", '{"flytekit": 1}', '{"cells":   ["flytekit"]}', notebook(["x = flytekit ("])]
)
def test_a_notebook_that_cannot_be_read_is_skipped(text: str) -> None:
    outcome = rewrite_notebook("x.ipynb", text, TABLE)
    assert outcome.status == "skipped"
    assert not outcome.changes
    assert outcome.findings


def test_a_notebook_with_formatting_that_would_be_lost_is_skipped() -> None:
    text = notebook(["import flytekit"]).replace('"nbformat": 4', '"nbformat":   4')
    outcome = rewrite_notebook("x.ipynb", text, TABLE)
    assert outcome.status == "skipped"
