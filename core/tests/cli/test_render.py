"""``flytepath render``: what would be submitted, with nobody asked and nothing written."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

sys.path.append(str(Path(__file__).parent.parent / "plugin"))

from fake_distributions import Distributions
from flytepath.client.rendering import stand_in
from flytepath.model.types import LiteralType
from flytepath.testing import MemoryBlobs

if TYPE_CHECKING:
    from conftest import CommandLine

PROCESS = """
    @hookimpl
    def flytepath_backends():
        return [BackendDeclaration(
            name="process", backend="flytepath.testing.process_backend:ProcessBackend",
            settings="flytepath.testing.process_backend:ProcessSettings", idempotency="B", runs_workers=True,
            array_limit=3, name_limit=40)]
"""
VENDOR = """
    @hookimpl
    def flytepath_task_types():
        return [TaskTypeDeclaration(name="vendor-job", task_type="flytepath.testing.reference_task:VendorJobTask",
                                    config="flytepath.testing.reference_task:VendorJob", default_backend="vendor")]

    @hookimpl
    def flytepath_backends():
        return [BackendDeclaration(
            name="vendor", backend="flytepath.testing.reference_backend:VendorBackend",
            settings="flytepath.testing.reference_backend:VendorSettings", idempotency="B", array_limit=100,
            name_limit=40)]
"""
LINES = """
    from flytepath import task, workflow

    @task(backend="process", environment={"SCRIPT": "select 1\\nfrom orders"})
    def asked() -> int:
        return 1

    @workflow
    def flow() -> int:
        return asked()
"""
POLICY = """
    from flytepath.plugin import AppliesTo, DefinitionError, Resources

    @hookimpl
    def flytepath_resource_policies():
        return [ResourcePolicyDeclaration(name="refuses", policy="flyte_plugin_policy.plugin:refuse",
                                          applies_to=AppliesTo(projects=("strict",)))]

    def refuse(request):
        raise DefinitionError("nothing runs here", place="the strict project")
"""
FLOW = """
    from functools import partial

    from flytepath import conditional, dynamic, kwtypes, map_task, task, workflow
    from flytepath.authoring.task import PythonInstanceTask
    from flytepath.testing.reference_task import VendorJob

    query = PythonInstanceTask("flow.query", VendorJob(seconds=None, outputs={"rows": {"$input": "x"}}),
                               inputs=kwtypes(x=int, label=str), outputs=kwtypes(rows=int))

    @task(backend="process", environment={"FACTOR": "3"})
    def scaled(x: int) -> int:
        return x * 3

    @task
    def plain(x: int) -> int:
        return x

    @dynamic
    def grown(n: int) -> list[int]:
        return [scaled(x=x) for x in range(n)]

    @workflow
    def inner(x: int) -> int:
        return scaled(x=plain(x=x)).with_overrides(environment={"FACTOR": "5"})

    @workflow
    def chain(x: int = 3) -> int:
        return scaled(x=inner(x=x))

    @workflow
    def over(xs: list[int]) -> list[int]:
        return map_task(scaled)(x=xs)

    @workflow
    def asked(x: int = 3) -> int:
        return query(x=x, label="a")

    @workflow
    def asked_later(x: int) -> int:
        return query(x=scaled(x=x), label="a")

    @workflow
    def asked_over(xs: list[int]) -> list[int]:
        return map_task(partial(query, label="b"))(x=xs)

    @workflow
    def growing(n: int) -> list[int]:
        return grown(n=n)

    @workflow
    def either(x: int) -> int:
        return conditional("which").if_(x > 1).then(scaled(x=x)).else_().then(query(x=x, label="c"))

    @workflow
    def here(x: int) -> int:
        return plain(x=x)
"""


@pytest.fixture
def render(cli: CommandLine, tmp_path: Path) -> Any:
    fakes = Distributions(tmp_path / "site", cli.home)
    for name, manifest in (("process", PROCESS), ("vendor", VENDOR), ("policy", POLICY)):
        fakes.add(name, manifest)
    (cli.folder / "flytepath.toml").write_text(
        f'[store]\nblobs = "{tmp_path}/shared"\n[backends.process]\nfolder = "/jobs"\n'
        # Nobody listens there, and no token is known: neither is needed.
        '[backends.vendor]\nurl = "http://127.0.0.1:9/"\n'
    )
    cli.write("flow.py", FLOW)
    cli.env.update(fakes.environment())
    return cli


def rendered(cli: CommandLine, *arguments: str) -> Any:
    return json.loads(cli.run("render", "-o", "json", "flow.py", *arguments).stdout)


def test_text_of_several_lines_is_shown_as_it_was_written(render: CommandLine) -> None:
    render.write("lines.py", LINES)
    text = render.run("render", "lines.py", "flow").stdout
    assert "SCRIPT: |-\n    select 1\n    from orders" in text
    assert yaml.safe_load(text)["env"]["SCRIPT"] == "select 1\nfrom orders"


def test_the_job_of_each_node_is_a_document_that_says_whose_it_is(render: CommandLine, tmp_path: Path) -> None:
    text = render.run("render", "flow.py", "chain", "--x", "2").stdout
    first, second = yaml.safe_load_all(text)
    worker = ["python", "-m", "flytepath.worker", "--attempt", "<attempt>"]
    assert first == {"commands": [worker], "env": {"FACTOR": "5"}}  # what the node overrides
    assert second == {"commands": [worker], "env": {"FACTOR": "3"}}
    assert text.startswith("# n0/n1 flow.scaled on process; known when it runs: x\n")
    assert "\n---\n# n1 flow.scaled on process" in text
    assert text.endswith("# n0/n0 flow.plain: it runs on this machine\n")
    assert not (tmp_path / "shared").exists()
    assert not (render.home / "flytepath.db").exists()


def test_the_same_code_gives_the_same_text_to_the_byte(render: CommandLine) -> None:
    texts = {render.run("render", "flow.py", "chain").stdout for _ in range(2)}
    assert len(texts) == 1
    names = [job["name"] for job in rendered(render, "chain")["jobs"]]
    assert len(set(names)) == 2


def test_a_map_is_an_array_of_as_many_items_as_are_given(render: CommandLine) -> None:
    (job,) = rendered(render, "over", "--xs", "[7, 8]")["jobs"]
    assert [command[-2:] for command in job["spec"]["commands"]] == [["--item", "0"], ["--item", "1"]]
    assert (job["node"], job["items"], job["jobs"], job["unknown"]) == ("n0", 2, 1, [])
    (one,) = rendered(render, "over")["jobs"]
    assert (one["items"], one["unknown"]) == (1, ["x"])
    text = render.run("render", "flow.py", "over", "--xs", "[1, 2, 3, 4, 5, 6, 7]").stdout
    assert text.startswith("# n0 flow.scaled on process; 3 items in one job; the first of 3 jobs\n")


def test_a_map_of_nothing_submits_nothing(render: CommandLine) -> None:
    assert rendered(render, "over", "--xs", "[]") == {
        "jobs": [],
        "here": [],
        "later": [{"node": "n0", "task": "flow.scaled", "why": "it has no items"}],
    }


def test_a_service_gets_the_values_that_are_known_and_others_are_stood_in_for(render: CommandLine) -> None:
    (job,) = rendered(render, "asked")["jobs"]
    assert job["spec"]["inputs"] == {"x": 3, "label": "a"}
    (later,) = [job for job in rendered(render, "asked_later")["jobs"] if job["backend"] == "vendor"]
    assert (later["spec"]["inputs"], later["unknown"]) == ({"x": 0, "label": "a"}, ["x"])
    (many,) = rendered(render, "asked_over", "--xs", "[4, 5]")["jobs"]
    assert [item["inputs"]["x"] for item in many["spec"]["items"]] == [4, 5]


def test_both_ways_of_a_branch_are_shown_and_what_grows_is_told(render: CommandLine) -> None:
    assert [job["backend"] for job in rendered(render, "either")["jobs"]] == ["process", "vendor"]
    (later,) = rendered(render, "growing")["later"]
    assert later["why"] == "it is dynamic: what it calls is known only when it runs"
    assert "# no job would be submitted" in render.run("render", "flow.py", "here").stdout


def test_a_task_alone_and_one_that_names_no_backend(render: CommandLine) -> None:
    assert [job["node"] for job in rendered(render, "scaled")["jobs"]] == ["n0"]
    (job,) = rendered(render, "plain", "--backend", "process")["jobs"]
    assert job["backend"] == "process"
    assert "flytepath render [OPTIONS] flow.py plain" in render.run("render", "flow.py", "plain", "--help").stdout


def test_what_is_wrong_is_said_with_its_code_and_a_status(render: CommandLine) -> None:
    assert "did you mean 'chain'" in render.error("render", "flow.py", "chian", status=2)
    assert "has no input 'y'" in render.error("render", "flow.py", "chain", "--y", "1", status=2)
    assert "nothing runs here" in render.error("render", "-p", "strict", "flow.py", "chain", status=2)
    (render.folder / "flytepath.toml").write_text('[store]\nblobs = "/nowhere"\n')
    error = render.error("render", "flow.py", "chain", status=1)
    assert "FP-BACKEND-MISSING" in error
    assert "folder" in error
    (render.folder / "flytepath.toml").write_text('[backends.process]\nfolder = "/jobs"\n')
    assert "FP-STORAGE-NOT-SHARED" in render.error("render", "flow.py", "chain", status=2)


def test_a_plan_that_is_refused_is_an_error_that_names_the_backend(render: CommandLine) -> None:
    render.write("xs.json", json.dumps({"label": "x" * 100_000}))
    render.write(
        "flow.py",
        FLOW.replace('label="a")', "label=label)").replace("asked(x: int = 3)", "asked(label: str, x: int = 3)"),
    )
    error = render.error("render", "--inputs-file", "xs.json", "flow.py", "asked", status=2)
    assert "FP-BACKEND-REFUSAL" in error
    assert "backend 'vendor' cannot run flow.query" in error


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (LiteralType("string"), "<x>"),
        (LiteralType("path"), "<x>"),
        (LiteralType("datetime"), "1970-01-01T00:00:00+00:00"),
        (LiteralType.list_of(LiteralType("float")), []),
        (LiteralType("tuple", (LiteralType("integer"), LiteralType("string"))), [0, "<x>"]),
        (LiteralType("enum", name="m.E", values=(("RED", 1),)), "RED"),
        (LiteralType.union_of(LiteralType("integer"), LiteralType("none")), None),
    ],
)
def test_a_value_that_is_not_known_is_one_of_its_type(kind: LiteralType, data: Any) -> None:
    made = stand_in("x", kind, MemoryBlobs())
    assert (made.type, made.data, made.ref) == (kind, data, None)


@pytest.mark.parametrize("kind", ["file", "dataframe", "set", "iterator", "opaque", "bytes", "timedelta", "decimal"])
def test_what_has_no_plain_value_lies_at_a_place_of_its_name(kind: str) -> None:
    items = (LiteralType("integer"),) if kind in ("set", "iterator") else ()
    made = stand_in("x", LiteralType(kind, items), MemoryBlobs())
    assert made.type.kind == kind
    assert made.ref is None or made.ref.uri == "<x>"


def test_of_jobs_that_are_alike_the_first_is_shown_and_what_is_known_of_its_items(render: CommandLine) -> None:
    render.write(
        "flow.py",
        FLOW
        + """
    @workflow
    def mixed(x: int) -> list[int]:
        return map_task(partial(query, label="b"))(x=[scaled(x=x), 2])

    @workflow
    def oversub(xs: list[int]) -> list[int]:
        return map_task(inner)(x=xs)
""",
    )
    (many,) = [job for job in rendered(render, "mixed")["jobs"] if job["backend"] == "vendor"]
    assert ([item["inputs"]["x"] for item in many["spec"]["items"]], many["unknown"]) == ([0, 2], ["x"])
    (first,) = rendered(render, "oversub", "--xs", "[4, 5, 6]")["jobs"]
    assert (first["node"], first["jobs"]) == ("n0/0/n1", 3)


def test_a_backend_that_nobody_brings_is_an_error_even_where_nothing_would_go_there(render: CommandLine) -> None:
    assert "nosuch" in render.error("render", "--backend", "nosuch", "flow.py", "scaled", status=1)
