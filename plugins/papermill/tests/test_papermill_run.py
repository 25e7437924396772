"""Notebooks in durable runs: with everything a task can be combined with, the outcome is the one that was asked for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from papermill_flows import Flows, decks, events, output, text_at
from papermill_notebooks import USE

FLOW = """
    import datetime as dt

    inputs = kwtypes(x=int)
    outputs = kwtypes(y=int)
    plain = dict(inputs=inputs, outputs=outputs, output_notebooks=False)
    double = NotebookTask("double", "double.ipynb", **plain)
    whole = NotebookTask("whole", "double.ipynb", inputs=inputs, outputs=outputs)
    cached = NotebookTask("cached", "double.ipynb", cache=True, cache_version="1", **plain)
    flaky = NotebookTask("flaky", "flaky.ipynb", retries=2, inputs=kwtypes(place=str), outputs=kwtypes(tries=int),
        output_notebooks=False)
    fails = NotebookTask("fails", "fails.ipynb", inputs=inputs, output_notebooks=False)
    where = NotebookTask("where", "where.ipynb", outputs=kwtypes(found=dict), output_notebooks=False,
        environment={"OF_THE_TASK": "here"})
    secretive = NotebookTask("secretive", "secretive.ipynb", outputs=kwtypes(length=int), output_notebooks=False,
        secret_requests=[Secret(group="db", key="password", mount_requirement=Secret.MountType.ENV_VAR)])

    @task
    def length(note: FlyteFile, page: FlyteFile) -> int:
        return len(open(note).read()) * len(open(page).read())

    @workflow
    def one(x: int = 21) -> int:
        return double(x=x)

    @workflow
    def handed_on(x: int = 1) -> int:
        y, note, page = whole(x=x)
        return length(note=note, page=page)

    @workflow
    def mapped(many: list[int]) -> list[int]:
        return map_task(double, concurrency=2)(x=many)

    @workflow
    def kept(x: int = 3) -> int:
        return cached(x=x)

    @workflow
    def retried(place: str) -> int:
        return flaky(place=place)

    @workflow
    def failing(x: int = 1):
        fails(x=x)

    @workflow
    def placed() -> dict:
        return where()

    @workflow
    def overridden() -> dict:
        return where().with_overrides(task_config=NotebookConfig(kernel_name="other-kernel"), timeout=60)

    @workflow
    def secret() -> int:
        return secretive()

    @dynamic
    def many(count: int) -> int:
        total = 0
        found = [double(x=x) for x in range(count)]
        return found[-1]

    @workflow
    def dynamically(count: int = 2) -> int:
        return many(count=count)
"""


@pytest.fixture(scope="module")
def flows(tmp_path_factory: pytest.TempPathFactory) -> Flows:
    folder = tmp_path_factory.mktemp("runs")
    kernels = folder / "jupyter" / "kernels" / "other-kernel"
    made = Flows(folder, JUPYTER_PATH=str(folder / "jupyter"), _FSEC_DB_PASSWORD="swordfish-7Q")
    kernels.mkdir(parents=True)
    argv = ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Other", "language": "python", "env": {"OF_THE_KERNEL": "other"}}
    (kernels / "kernel.json").write_text(json.dumps(spec))
    made.notebook("double", "x = 1", USE + "print('doubling', x)\nrecord_outputs(y=x * 2)")
    made.notebook(
        "flaky",
        "place = ''",
        USE + "from pathlib import Path\ntries = len(list(Path(place).iterdir())) + 1\n"
        "Path(place, str(tries)).touch()\nassert tries > 2, f'try {tries}'\nrecord_outputs(tries=tries)",
    )
    made.notebook("fails", "x = 1", "print('so far')\nraise ValueError('no good: <b>')")
    made.notebook(
        "where",
        "x = 1",
        USE + "import os, besides\n"
        "names = ('OF_THE_TASK', 'OF_THE_KERNEL')\n"
        "record_outputs(found={'cwd': os.listdir(), 'besides': besides.WORD, "
        "**{n: os.environ.get(n) for n in names}})",
    )
    made.notebook(
        "secretive",
        "x = 1",
        USE + "import os\n"
        "word = next(value for name, value in os.environ.items() if name.upper().endswith('DB_PASSWORD'))\n"
        "print('it is', word)\nrecord_outputs(length=len(word))",
    )
    (made.folder / "besides.py").write_text("WORD = 'a module of the project'\n")
    made.module(FLOW)
    return made


def test_a_notebook_runs_and_tells_each_cell_in_the_log(flows: Flows) -> None:
    view = flows.succeeded("one", "--x", "4")
    assert output(view) == 8
    log = flows.log(view["id"])
    assert "doubling 4" in log
    assert "cell 2 of 2" in log
    assert "doubling 4" in decks(view)["out_rendered_nb"]


@pytest.mark.proof
def test_the_executed_notebook_and_its_page_are_values_of_the_workflow(flows: Flows) -> None:
    assert output(flows.succeeded("handed_on")) > 1000


@pytest.mark.proof
def test_a_map_runs_the_notebook_for_each_item(flows: Flows) -> None:
    assert output(flows.succeeded("mapped", "--many", "[1, 2, 3]")) == [2, 4, 6]


def test_a_changed_notebook_misses_the_cache(flows: Flows) -> None:
    first = flows.succeeded("kept")
    assert events(first, "attempt_started")
    assert not events(flows.succeeded("kept"), "attempt_started")
    before = (flows.folder / "double.ipynb").read_text()
    flows.notebook("double", "x = 1", USE + "record_outputs(y=x * 20)")
    try:
        changed = flows.succeeded("kept")
    finally:
        (flows.folder / "double.ipynb").write_text(before)
    assert output(changed) == 60
    assert not events(flows.succeeded("kept"), "attempt_started")


@pytest.mark.proof
def test_a_failing_cell_is_tried_again(flows: Flows, tmp_path: Path) -> None:
    place = tmp_path / "tries"
    place.mkdir()
    view = flows.succeeded("retried", "--place", str(place))
    assert output(view) == 3
    failures = [event["error"] for event in events(view, "attempt_failed")]
    assert [error["code"] for error in failures] == ["FP-PAPERMILL-CELL"] * 2
    assert [error["kind"] for error in failures] == ["user"] * 2


def test_a_failure_leaves_its_deck_and_its_notebook(flows: Flows) -> None:
    view = flows.failed("failing")
    [failed] = [event["error"] for event in events(view, "attempt_failed")]
    assert failed["message"] == "cell 2 of the notebook raised ValueError: no good: <b>"
    assert failed["place"] == "fails(cell 2)"
    assert "raise ValueError" in failed["actual"]
    page = decks(view)["out_rendered_nb"]
    assert "so far" in page
    assert 'id="fp-failed-cell"' in page
    kept = json.loads(text_at(failed["hint"].rpartition(" is ")[2]))
    assert any("so far" in json.dumps(cell.get("outputs", "")) for cell in kept["cells"])


def test_a_notebook_finds_the_modules_of_the_project_and_an_empty_folder(flows: Flows) -> None:
    found = output(flows.succeeded("placed"))
    assert found == {
        "cwd": [],
        "besides": "a module of the project",
        "OF_THE_TASK": "here",
        "OF_THE_KERNEL": None,
    }


@pytest.mark.proof
def test_a_node_runs_it_in_another_kernel(flows: Flows) -> None:
    assert output(flows.succeeded("overridden"))["OF_THE_KERNEL"] == "other"


@pytest.mark.proof
def test_a_secret_is_there_and_is_told_nowhere(flows: Flows) -> None:
    view = flows.succeeded("secret")
    assert output(view) == len("swordfish-7Q")
    assert "it is" in flows.log(view["id"])
    everything = json.dumps(view) + flows.log(view["id"]) + "".join(decks(view).values())
    assert "swordfish-7Q" not in everything
    kept = [path for path in (flows.folder.parent / "home").rglob("*secretive-out*") if path.is_file()]
    assert len({path.name for path in kept}) == 2
    assert not any("swordfish-7Q" in path.read_text() for path in kept)


@pytest.mark.proof
def test_a_dynamic_task_runs_notebooks(flows: Flows) -> None:
    assert output(flows.succeeded("dynamically")) == 2


@pytest.mark.proof
def test_a_resumed_run_needs_no_working_tree(tmp_path: Path) -> None:
    """The notebook lies beside the project, where no bundle takes it along; it fails, and then its place is gone."""
    (tmp_path / "notebooks").mkdir()
    flows = Flows(tmp_path)
    flows.notebook("../notebooks/flaky", "place = ''", USE + "import os\nrecord_outputs(y=len(os.listdir(place)))")
    flows.module(
        """
        counted = NotebookTask("counted", "../notebooks/flaky.ipynb", inputs=kwtypes(place=str),
            outputs=kwtypes(y=int), output_notebooks=False)

        @workflow
        def count(place: str) -> int:
            return counted(place=place)
        """
    )
    place = tmp_path / "place"
    view = flows.failed("count", "--place", str(place))
    shutil.rmtree(tmp_path / "notebooks")
    place.mkdir()
    again = flows.flytepath("executions", "recover", view["id"], "--json")
    assert again.returncode == 0, again.stdout + again.stderr
    assert output(flows.shown(json.loads(again.stdout)["id"])) == 0
