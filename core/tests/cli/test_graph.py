"""``flytepath graph`` and ``flytepath completion`` as a user types them."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from flytepath.cli.completion import complete_inputs, complete_names, complete_sources

FLOW = """
    from flytepath import LaunchPlan, map_task, task, workflow

    @task
    def double(x: int) -> int:
        "Twice."
        return 2 * x

    @workflow
    def inner(x: int) -> int:
        return double(x=x)

    @workflow
    def outer(xs: list[int], y: int = 3) -> list[int]:
        "All twice."
        inner(x=y)
        return map_task(double)(x=xs)

    plan = LaunchPlan.get_or_create(outer, "plan", fixed_inputs={"y": 1})
    many = map_task(double)
    _hidden = 1
"""


@pytest.fixture
def flow(cli: Any) -> Any:
    cli.write("flow.py", FLOW)
    return cli


def test_a_graph_is_drawn_in_every_form_without_a_store(flow: Any) -> None:
    tree = flow.run("graph", "flow.py", "outer").stdout
    assert tree.startswith("flow.outer(xs: list[integer], y: integer = 3)\n├── n0  workflow inner\n")
    assert flow.run("graph", "flow.py", "outer", "--format", "mermaid").stdout.startswith("flowchart TD\n")
    assert flow.run("graph", "flow.py", "outer", "--format", "dot").stdout.startswith('digraph "outer" {\n')
    ElementTree.fromstring(flow.run("graph", "flow.py", "outer", "--format", "svg").stdout)
    assert not flow.home.exists()


def test_the_name_of_the_file_says_the_form(flow: Any) -> None:
    for name, begins in (("a.svg", "<svg"), ("a.mmd", "flowchart"), ("a.dot", "digraph"), ("a.txt", "flow.outer")):
        assert flow.run("graph", "flow.py", "outer", "-o", name).stdout == f"{name}\n"
        assert (flow.folder / name).read_text("utf-8").startswith(begins)
    assert "cannot be written" in flow.error("graph", "flow.py", "outer", "-o", "none/a.svg", status=2)


def test_tasks_plans_and_maps_have_graphs_too(flow: Any) -> None:
    assert "x=x" in flow.run("graph", "flow.py", "double").stdout
    assert "n0" in flow.run("graph", "flow.py", "plan").stdout
    assert "map" in flow.run("graph", "flow.py", "many").stdout
    assert "did you mean 'outer'" in flow.error("graph", "flow.py", "outr", status=2)


def test_references_are_drawn_as_they_are_declared(cli: Any) -> None:
    cli.write(
        "flow.py",
        """
        from flytepath import reference_task, reference_workflow, workflow
        @reference_task(project="p", domain="d", name="lib.clean", version="v1")
        def clean(x: int) -> int: ...
        @reference_workflow(project="p", domain="d", name="lib.train", version="v2")
        def train(x: int) -> int: ...
        @workflow
        def flow(x: int) -> int:
            return train(x=clean(x=x))
        """,
    )
    assert "x=n0.o0" in cli.run("graph", "flow.py", "flow").stdout
    assert "n0" in cli.run("graph", "flow.py", "train").stdout
    assert not cli.home.exists()


def completed(cli: Any, *words: str) -> list[str]:
    cli.env |= {
        "_FLYTEPATH_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["flytepath", *words]),
        "COMP_CWORD": str(len(words)),
    }
    done = cli.run(status=None)
    assert not done.stderr
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_commands_files_names_and_inputs_are_completed(flow: Any) -> None:
    flow.write("broken.py", "def (:")
    assert completed(flow, "launch") == ["launchplans"]
    assert completed(flow, "run", "fl") == ["flow.py"]
    assert completed(flow, "run", "flow.py", "") == ["double", "inner", "outer", "plan", "many"]
    assert completed(flow, "graph", "flow.py", "ou") == ["outer"]
    assert completed(flow, "run", "flow.py", "outer", "--")[:2] == ["--xs", "--y"]
    assert completed(flow, "run", "broken.py", "") == []
    assert completed(flow, "run", "none.py", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_printed(cli: Any, shell: str) -> None:
    assert "_FLYTEPATH_COMPLETE" in cli.run("completion", shell).stdout


def test_completion_reads_syntax_and_runs_nothing(tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "loud.py").write_text(
        "import flytepath as fp\nraise SystemExit(1)\n@fp.task(retries=2)\nasync def one(a: int, *, b: str): 'Doc.'\n"
    )
    (tmp_path / "raw.py").write_bytes(b"\x00\xff")
    assert [(item.value, item.help) for item in complete_names("pack.loud", "o")] == [("one", "Doc.")]
    assert [item.value for item in complete_inputs("pack/loud.py", "one", "")] == ["--a", "--b"]
    assert complete_names("raw.py", "") == []
    assert complete_names("pack", "") == []
    assert [item.value for item in complete_sources("")] == ["pack/", "raw.py"]
    assert [item.value for item in complete_sources("pack/l")] == ["pack/loud.py"]
    assert complete_sources("none/x") == []
