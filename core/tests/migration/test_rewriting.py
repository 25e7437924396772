"""Programs in the style of flytekit, before and after, and what the rewriting leaves alone."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("libcst")

import flytepath
from flytepath.migration.findings import Outcome
from flytepath.migration.python import rewrite_python
from flytepath.migration.reading import read
from flytepath.migration.table import Table

HERE = Path(__file__).parent
PROGRAMS = sorted(path.name for path in (HERE / "before").glob("*.py"))
TABLE = Table.of(())


def rewrite(source: str | bytes) -> tuple[str, Outcome]:
    given = source.encode() if isinstance(source, str) else source
    outcome, new = rewrite_python("x.py", given, TABLE)
    return new.decode(), outcome


def missing_names(tree: ast.Module) -> list[str]:
    """What a rewritten program needs and this environment does not have."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    modules = {alias.asname or alias.name: alias.name for node in imports for alias in node.names}
    wanted = {name for name in modules.values() if name.startswith("flyte_plugin_")}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            wanted |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            wanted.add(f"{modules.get(node.value.id)}.{node.attr}")
    names = {name.removeprefix("flytepath.") for name in wanted if name.startswith("flytepath.")}
    plugins = {name.partition(".")[0] for name in wanted if name.startswith("flyte_plugin_")}
    return sorted(name for name in names if not hasattr(flytepath, name)) + sorted(
        name for name in plugins if importlib.util.find_spec(name) is None
    )


def said(outcome: Outcome) -> list[tuple[int, str]]:
    return [(found.line, found.name) for found in outcome.findings]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_rewritten_as_expected(name: str) -> None:
    _, new = rewrite_python(name, (HERE / "before" / name).read_bytes(), TABLE)
    assert new.decode() == (HERE / "after" / name).read_text()
    compile(new, name, "exec")


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_second_time_changes_nothing(name: str) -> None:
    after = (HERE / "after" / name).read_bytes()
    outcome, again = rewrite_python(name, after, TABLE)
    assert again == after
    assert not outcome.changes


def carried_over_whole(name: str) -> bool:
    """Whether nothing of a program stays with flytekit or goes to a plugin."""
    _, facts = read((HERE / "after" / name).read_bytes())
    return not any(statement.module or statement.items[0].name != "flytepath" for statement in facts.statements)


@pytest.mark.parametrize("name", [name for name in PROGRAMS if carried_over_whole(name)])
def test_a_rewritten_program_runs(name: str, tmp_path: Path) -> None:
    path = HERE / "after" / name
    assert missing_names(ast.parse(path.read_text())) == []
    done = subprocess.run([sys.executable, str(path)], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_what_cannot_be_carried_over_is_named_with_its_line() -> None:
    source = (HERE / "before" / "split_statement.py").read_text()
    _, outcome = rewrite(source)
    lines = source.splitlines()
    assert "flytekit.FlyteRemote" in [name for _, name in said(outcome)]
    for line, name in said(outcome):
        assert name.rpartition(".")[2] in lines[line - 1]
    assert all(found.hint and found.reason for found in outcome.findings)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import flytekit", "import flytepath"),
        ("import flytekit as flytekit", "import flytepath as flytekit"),
        ("import  os ,flytekit;x=1", "import os, flytepath;x=1"),
        ("if True: import flytekit; flytekit.task", "if True: import flytepath; flytepath.task"),
        ("from flytekit import task, task", "from flytepath import task"),
        ("from flytekit import task as task", "from flytepath import task as task"),
        ("from flytekit import (task)", "from flytepath import (task)"),
        ("from flytekit import \\\n  task, \\\n  workflow", "from flytepath import \\\n  task, \\\n  workflow"),
        ("from flytekit . core . task import task", "from flytepath import task"),
        ("from .flytekit import task", "from .flytekit import task"),
        ("from . import tasks", "from . import tasks"),
        ("from flytekitx import task", "from flytekitx import task"),
        ("import flytekit\ndel flytekit.task", "import flytepath\ndel flytepath.task"),
        ("import flytekit\nprint(flytekit . task)", "import flytepath\nprint(flytepath.task)"),
        ("import flytekit\nx.flytekit.task", "import flytepath\nx.flytekit.task"),
        ("import flytekit\nf(flytekit=flytekit.task)", "import flytepath\nf(flytekit=flytepath.task)"),
        ("import flytekit\nf'{flytekit.task}'", "import flytepath\nf'{flytepath.task}'"),
        ("import flytekit\nimport flytekit", "import flytepath\n"),
        ("import flytekit\nimport flytekit # two", "import flytepath\nimport flytepath # two"),
        ("from flytekit.types import file\nfile.FlyteFile", "import flytepath\nflytepath.FlyteFile"),
        ("from flytekit.types import file as f\nf.file.FlyteFile", "import flytepath as f\nf.FlyteFile"),
        ("from flytekit.types import file\nprint(file)", "import flytepath as file\nprint(file)"),
        ("import flytekit.types.file", "import flytepath"),
        (
            "import flytekitplugins.spark, flytekitplugins.ray\nflytekitplugins.ray.RayJobConfig",
            "import flyte_plugin_spark, flyte_plugin_ray\nflyte_plugin_ray.RayJobConfig",
        ),
        (
            "from flytekitplugins.kfpytorch.task import Elastic as E, PyTorch",
            "from flyte_plugin_pytorch import Elastic as E, PyTorch",
        ),
        (
            "import flytekit as fl\nfl.FlyteRemote(); fl.task",
            "import flytepath\nimport flytekit as fl\nfl.FlyteRemote(); flytepath.task",
        ),
        (
            "def f(x: 'flytekit.types.file.FlyteFile') -> r'flytekit.task': ...\nimport flytekit",
            "def f(x: 'flytepath.FlyteFile') -> r'flytepath.task': ...\nimport flytepath",
        ),
        (
            "import flytekit\nx: 'list[flytekit.FlyteFile] | None' = None",
            "import flytepath\nx: 'list[flytepath.FlyteFile] | None' = None",
        ),
        (
            "def f():\n\timport flytekit\n\treturn flytekit.task",
            "def f():\n\timport flytepath\n\treturn flytepath.task",
        ),
        ("import flytekit\nimport flytekit;\nx", "import flytepath\nimport flytepath;\nx"),
        ("if 0: import flytekit\nimport flytekit", "if 0: import flytepath\nimport flytepath"),
        ("class A:\n  import flytekit\nA.flytekit.task", "class A:\n  import flytepath as flytekit\nA.flytekit.task"),
        (
            "try: pass\nexcept flytekit.exceptions.user.FlyteAssertion: pass\nimport flytekit",
            "try: pass\nexcept flytepath.FlyteAssertion: pass\nimport flytepath",
        ),
        (
            "import flytekit.core.task as t\nt.task, t.TaskPlugins",
            "import flytepath\nimport flytekit.core.task as t\nflytepath.task, t.TaskPlugins",
        ),
        (
            "import flytekit.configuration\nflytekit.task, flytekit.configuration.Config",
            "import flytepath\nimport flytekit.configuration\nflytepath.task, flytekit.configuration.Config",
        ),
        ("import flytekit\n@flytekit.task\nclass A(flytekit.Deck): ...", None),
        ("import flytekit\nmatch x:\n  case flytekit.Resources(): ...", None),
        ("import flytekit\n[y := flytekit.task for _ in ()]", None),
    ],
)
def test_forms_of_imports_and_uses(source: str, expected: str | None) -> None:
    new, _ = rewrite(source)
    assert new == (expected if expected is not None else source.replace("flytekit", "flytepath"))
    assert rewrite(new)[0] == new


def test_global_statements_keep_the_module_working() -> None:
    source = "import flytekit\ndef f():\n  global flytekit\n  import flytekit\n  return flytekit.task\nassert f()\n"
    new, _ = rewrite(source)
    exec(compile(new, "x", "exec"), {})


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_line_ends_stay(ending: str) -> None:
    lines = ["import os, flytekit", "from flytekit import task, FlyteRemote", "x = flytekit.task", ""]
    new, _ = rewrite(ending.join(lines))
    assert new == ending.join(
        [
            "import os, flytepath",
            "from flytepath import task",
            "from flytekit import FlyteRemote",
            "x = flytepath.task",
            "",
        ]
    )


def test_line_ends_that_would_not_survive_are_refused() -> None:
    new, outcome = rewrite("import flytekit\rfrom flytekit import task\r")
    assert new == "import flytekit\rfrom flytekit import task\r"
    assert outcome.status == "skipped"


def test_mixed_line_ends_and_form_feeds_stay() -> None:
    source = b"x = 1\r\nimport flytekit\n\x0c\n\tif_ = '\x0c'\n".replace(b"\tif_", b"if_")
    assert rewrite(source)[0].encode() == source.replace(b"flytekit", b"flytepath")


@pytest.mark.parametrize(
    ("header", "encoding"),
    [("", "utf-8-sig"), ("# -*- coding: latin-1 -*-\n", "latin-1"), ("# coding: cp1252\n", "cp1252")],
)
def test_encodings_stay(header: str, encoding: str) -> None:
    source = f"{header}import flytekit  # éà\nx = 'ü', flytekit.task\n"
    _, new = rewrite_python("x.py", source.encode(encoding), TABLE)
    assert new == source.replace("flytekit", "flytepath").encode(encoding)


@pytest.mark.parametrize(
    "source", ["print 'flytekit'", "import flytekit\n  x = (", "# coding: nonsense\nimport flytekit"]
)
def test_a_file_that_is_not_python_is_skipped_with_its_line(source: str) -> None:
    new, outcome = rewrite(source)
    assert new == source
    assert outcome.status == "skipped"
    (found,) = outcome.findings
    assert found.reason.startswith("not read")


def test_code_that_is_nested_too_deeply_is_skipped() -> None:
    _, outcome = rewrite("import flytekit\nx = " + " + ".join(["1"] * 2000) + "\n")
    assert outcome.status == "skipped"
    assert "nested too deeply" in outcome.findings[0].reason


def test_the_same_name_elsewhere_is_not_touched() -> None:
    source = "class flytekit:\n    task = 1\nx = flytekit.task\n"
    assert rewrite(source)[0] == source


def test_a_star_import_is_reported_with_the_names_that_are_used() -> None:
    _, outcome = rewrite("from flytekit import *\n@task\ndef f(): return undefined\n")
    (found,) = outcome.findings
    assert found.hint.endswith("from flytepath import task")


def test_names_in_strings_are_reported_not_changed() -> None:
    source = "from unittest import mock\nmock.patch('flytekit.core.task.task')\nx = 'see flytekit.org or flytekit'\n"
    new, outcome = rewrite(source)
    assert new == source
    assert said(outcome) == [(2, "flytekit.core.task.task")]
    assert "flytepath.task" in outcome.findings[0].hint


def test_versions_examples_and_exported_names_are_reported() -> None:
    source = (
        '"""Doc.\n\n>>> from flytekit import task\n"""\nimport flytekit\n'
        "__all__ = ['flytekit']\nprint(flytekit.__version__)\n"
    )
    new, outcome = rewrite(source)
    assert new == source
    assert said(outcome) == [(3, "from flytekit import task"), (6, "flytekit"), (7, "flytekit.__version__")]


def test_nothing_is_written_that_does_not_parse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLE.names, "flytekit.task", ("flytepath", "class"))
    new, outcome = rewrite("from flytekit import task")
    assert new == "from flytekit import task"
    assert outcome.status == "skipped"
