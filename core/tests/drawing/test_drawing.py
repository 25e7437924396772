"""Compiled workflows as pictures and text: what is in them, that they are well formed, and that they never vary."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from typing import Any
from xml.etree import ElementTree

import pytest
from flytepath.drawing import draw_dot, draw_mermaid, draw_svg, draw_tree, picture_of
from flytepath.drawing.layers import layered
from flytepath.drawing.mermaid import quoted as mermaid_quoted
from flytepath.drawing.placing import Box, placed
from flytepath.drawing.svg import escaped
from flytepath.model.literal import Literal
from flytepath.model.task import Interface, TaskSpec, Variable
from flytepath.model.types import INTEGER, STRING
from flytepath.model.workflow import (
    CaseSpec,
    Comparison,
    GateSpec,
    GraphSpec,
    InputBinding,
    ListBinding,
    LiteralBinding,
    MapSpec,
    NodeSpec,
    OutputBinding,
    WorkflowSpec,
)

ONE = Interface(inputs=(Variable(name="x", type=INTEGER),), outputs=(Variable(name="o0", type=INTEGER),))
TASK = TaskSpec(name="flow.work", interface=ONE, documentation="Does <it> & more.\nAt length.")
SVG = "{http://www.w3.org/2000/svg}"


def of(node: str) -> OutputBinding:
    return OutputBinding(node=node, name="o0")


def constant(value: Any) -> LiteralBinding:
    return LiteralBinding(value=Literal.make(STRING if isinstance(value, str) else INTEGER, value))


def spec_of(*nodes: NodeSpec, **more: Any) -> WorkflowSpec:
    return WorkflowSpec(
        **{"name": "flow.wf", "interface": ONE, "nodes": nodes, "tasks": {"flow.work": TASK}, "outputs": {}} | more
    )


def work(path: str, *before: str, **more: Any) -> NodeSpec:
    inputs: dict[str, Any] = {"x": InputBinding(name="x")} if not before else {}
    inputs |= {f"x{i}": of(name) for i, name in enumerate(before)}
    return NodeSpec(path=path, task="flow.work", inputs=inputs, **more)


@pytest.fixture
def everything() -> WorkflowSpec:
    below = Comparison(operator="<", left=of("n0"), right=InputBinding(name="x"))
    return spec_of(
        work("n0"),
        work("n1/n0", "n0"),
        work("n1/n1", "n1/n0"),
        work("n2", "n1/n1", map=MapSpec(mapped=("x0",), concurrency=3, min_success_ratio=0.5)),
        NodeSpec(
            path="n3",
            cases=(
                CaseSpec(condition=below, nodes=(work("n3/c0/n0", "n2"),)),
                CaseSpec(error="nothing to do"),
            ),
            interface=ONE,
        ),
        NodeSpec(path="n4", gate=GateSpec(kind="approve", signal="go on?", timeout_seconds=60.0), interface=ONE),
        NodeSpec(path="n5", graph="flow.inner", inputs={"x": of("n3")}, upstream=("n4",), interface=ONE),
        outputs={"o0": of("n5")},
        graphs={"flow.inner": GraphSpec(name="flow.inner", interface=ONE, nodes=(work("n0"), work("n1", "n0")))},
        on_failure=work("fn0"),
    )


def edges(spec: WorkflowSpec) -> set[tuple[str, str, bool]]:
    return {(edge.source, edge.target, edge.is_order) for edge in picture_of(spec).edges}


def test_edges_follow_values_conditions_and_order(everything: WorkflowSpec) -> None:
    assert edges(everything) == {
        ("in:x", "n0", False),
        ("n0", "n1/n0", False),
        ("n1/n0", "n1/n1", False),
        ("n1/n1", "n2", False),
        ("n0", "n3", False),
        ("in:x", "n3", False),
        ("n2", "n3/c0/n0", False),
        ("n3", "n5", False),
        ("n4", "n5", True),
        ("n5/n0", "n5/n1", False),
        ("n5", "out:o0", False),
        ("in:x", "fn0", False),
    }


def test_sub_workflows_cases_and_graphs_are_boxes_around_their_nodes(everything: WorkflowSpec) -> None:
    held = {shape.id: [inner.id for inner in shape.inside] for shape in picture_of(everything).walk() if shape.inside}
    assert held == {
        "n1": ["n1/n0", "n1/n1"],
        "n3": ["n3/c0", "n3/c1"],
        "n3/c0": ["n3/c0/n0"],
        "n3/c1": ["n3/c1/fail"],
        "n5": ["n5/n0", "n5/n1"],
    }


def test_values_inside_lists_are_edges_too() -> None:
    both = NodeSpec(path="n2", task="flow.work", inputs={"x": ListBinding(items=(of("n0"), of("n1"), constant(3)))})
    assert {("n0", "n2", False), ("n1", "n2", False)} <= edges(spec_of(work("n0"), work("n1"), both))


def test_the_svg_is_xml_with_every_node_once_and_a_word_on_each(everything: WorkflowSpec) -> None:
    root = ElementTree.fromstring(draw_svg(everything))
    paths = [group.get("data-path") for group in root.iter(f"{SVG}g") if group.get("data-path")]
    assert sorted(paths) == sorted(shape.id for shape in picture_of(everything).walk())
    titles = "\n".join(title.text or "" for title in root.iter(f"{SVG}title"))
    assert "Does <it> & more." in titles
    assert "flow.work(x: integer) -> o0: integer" in titles
    assert "n4 → n5: order only" in titles
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"if n0.o0 < x", "else", "go on?", "waits for approval, at most 60 s", "nothing to do"} <= set(texts)
    dashed = [path for path in root.iter(f"{SVG}path") if "order" in (path.get("class") or "")]
    assert len(dashed) == 1


def boxes(box: Box) -> list[Box]:
    return [box, *(inner for child in box.inside for inner in boxes(child))]


def test_boxes_stand_inside_their_own_and_never_on_each_other(everything: WorkflowSpec) -> None:
    for box in boxes(placed(picture_of(everything))):
        for inner in box.inside:
            assert box.x <= inner.x
            assert box.y < inner.y
            assert inner.x + inner.width <= box.x + box.width + 0.01
            assert inner.y + inner.height <= box.y + box.height + 0.01
        for one in box.inside:
            for other in box.inside:
                apart = (
                    one.x + one.width <= other.x + 0.01
                    or other.x + other.width <= one.x + 0.01
                    or one.y + one.height <= other.y + 0.01
                    or other.y + other.height <= one.y + 0.01
                )
                assert one is other or apart, (one.shape.id, other.shape.id)


def test_edges_point_down(everything: WorkflowSpec) -> None:
    for box in boxes(placed(picture_of(everything))):
        for curve in box.curves:
            assert curve.points[0][1] < curve.points[-1][1]


def test_rows_are_longest_paths_and_crossings_are_taken_out() -> None:
    layers = layered(6, [(0, 5), (1, 4), (2, 3)])
    place = {vertex: row.index(vertex) for row in layers.rows for vertex in row}
    assert [len(row) for row in layers.rows] == [3, 3]
    assert [place[0], place[1], place[2]] == [place[5], place[4], place[3]]


def test_a_wide_fan_is_wrapped_into_rows() -> None:
    layers = layered(402, [(0, i) for i in range(1, 401)] + [(i, 401) for i in range(1, 401)])
    assert max(sum(vertex < 402 for vertex in row) for row in layers.rows) <= 40
    below = {vertex: index for index, row in enumerate(layers.rows) for vertex in row}
    assert all(below[0] < below[i] < below[401] for i in range(1, 401))


def test_a_circle_is_drawn_rather_than_refused() -> None:
    assert sum(map(len, layered(3, [(0, 1), (1, 2), (2, 0)]).rows)) >= 3


def test_two_thousand_nodes_are_drawn_and_all_are_there() -> None:
    nodes = [work(f"n{i}", *(f"n{j}" for j in {i - 1, i // 2} if 0 <= j < i)) for i in range(2000)]
    spec = spec_of(*nodes)
    root = ElementTree.fromstring(draw_svg(spec))
    assert sum(1 for group in root.iter(f"{SVG}g") if group.get("class") == "s") == 2002
    assert draw_mermaid(spec).count("work<br>") == 2000


def test_a_graph_too_large_to_open_is_a_closed_box_that_says_so() -> None:
    inner = GraphSpec(name="flow.inner", interface=ONE, nodes=tuple(work(f"n{i}") for i in range(1500)))
    nodes = [NodeSpec(path=f"n{i}", graph="flow.inner", inputs={"x": InputBinding(name="x")}) for i in range(2)]
    shapes = {shape.id: shape for shape in picture_of(spec_of(*nodes, graphs={"flow.inner": inner})).shapes}
    assert len(shapes["n0"].inside) == 1500
    assert not shapes["n1"].inside
    assert "1500 nodes" in shapes["n1"].note


def test_a_graph_that_holds_itself_ends() -> None:
    node = NodeSpec(path="n0", graph="g", inputs={"x": InputBinding(name="x")})
    spec = spec_of(node, graphs={"g": GraphSpec(name="g", interface=ONE, nodes=(node,))})
    for draw in (draw_svg, draw_mermaid, draw_dot, draw_tree):
        assert "g" in draw(spec)


NASTY = "a\"b'c<d>&e`f\\g#h\n]]></title>[(){}|;--> %% ﷽ \x00\x1b end subgraph"


@pytest.fixture
def nasty() -> WorkflowSpec:
    gate = NodeSpec(path="n1", gate=GateSpec(kind="input", signal=NASTY, type=STRING), interface=ONE)
    fails = NodeSpec(path="n2", cases=(CaseSpec(error=NASTY),), interface=ONE, name=NASTY)
    return spec_of(work("n0", name=NASTY, line=NASTY), gate, fails, name=NASTY, documentation=NASTY)


def test_labels_are_escaped_in_svg(nasty: WorkflowSpec) -> None:
    root = ElementTree.fromstring(draw_svg(nasty))
    assert any((text.text or "").startswith("a\"b'c<d>&e`f") for text in root.iter(f"{SVG}text"))


def test_labels_are_escaped_in_mermaid(nasty: WorkflowSpec) -> None:
    for line in draw_mermaid(nasty).splitlines()[1:]:
        assert re.fullmatch(
            r' *(s\d+(\[|\(\[|\[\[|\{\{|>|\{)"[^"<>`\\\x00-\x1f]*(<br>[^"<>`\\\x00-\x1f]*)*"(\]|\]\)|\]\]|\}\}|\})'
            r'|subgraph s\d+\["[^"]*"\]|end|s\d+ (-\.->|-->\|"[^"|]*"\|) s\d+)',
            line,
        ), line
    assert mermaid_quoted("#quot;") == '"#35;quot;"'


def test_labels_are_escaped_in_dot(nasty: WorkflowSpec) -> None:
    text = draw_dot(nasty)
    unquoted = re.sub(r'"(?:[^"\\\n]|\\.)*"', "Q", text)
    assert '"' not in unquoted
    assert "\x00" not in text
    assert unquoted.count("{") == unquoted.count("}")


def test_what_xml_cannot_hold_is_left_out() -> None:
    assert escaped("a\x00\x0b\ud800\uffffb") == "ab"


def test_the_tree_shows_where_values_come_from(everything: WorkflowSpec) -> None:
    assert draw_tree(everything) == textwrap.dedent(
        """\
        flow.wf(x: integer)
        ├── n0  task work  x=x
        ├── n1  workflow
        │   ├── n0  task work  x0=n0.o0
        │   └── n1  task work  x0=n1/n0.o0
        ├── n2  map work  (for each x0, 3 at once, at least 50% succeed) x0=n1/n1.o0
        ├── n3  branch
        │   ├── if n0.o0 < x
        │   │   └── n0  task work  x0=n2.o0
        │   └── else
        │       └── fails  (nothing to do)
        ├── n4  gate go on?  (waits for approval, at most 60 s)
        ├── n5  workflow inner  x=n3.o0 after n4
        │   ├── n0  task work  x=x
        │   └── n1  task work  x0=n0.o0
        ├── fn0  failure work  (on failure) x=x
        └── -> o0: integer  = n5.o0
        """
    )


def test_a_sub_workflow_has_its_name_where_it_is_known(everything: WorkflowSpec) -> None:
    for draw in (draw_svg, draw_mermaid, draw_dot, draw_tree):
        assert "cleaning" in draw(everything, {"n1": "flow.cleaning"})


def test_the_same_spec_gives_the_same_bytes_in_every_process(tmp_path: Any, everything: WorkflowSpec) -> None:
    (tmp_path / "spec.json").write_text(everything.model_dump_json())
    program = (
        "import hashlib, sys; from flytepath.drawing import *; from flytepath.model.workflow import WorkflowSpec\n"
        "spec = WorkflowSpec.model_validate_json(open(sys.argv[1]).read())\n"
        "for draw in (draw_svg, draw_mermaid, draw_dot, draw_tree):\n"
        "    print(hashlib.sha256(draw(spec).encode()).hexdigest())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "spec.json")],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1
    assert len(seen.pop().split()) == 4


def test_an_empty_workflow_is_a_picture_too() -> None:
    spec = WorkflowSpec(name="flow.wf", interface=Interface())
    ElementTree.fromstring(draw_svg(spec))
    assert draw_tree(spec) == "flow.wf()\n"
