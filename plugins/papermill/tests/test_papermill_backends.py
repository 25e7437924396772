"""Notebooks elsewhere: as jobs of a plain backend, and under ``Pod(...)`` on a cluster, without the working tree."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_distributions import Distributions
from flytepath import FlytePath
from papermill_flows import Flows, decks, events, output, text_at
from papermill_notebooks import USE, written

PROCESS = """
    @hookimpl
    def flytepath_backends():
        return [BackendDeclaration(
            name="process", backend="flytepath.testing.process_backend:ProcessBackend",
            settings="flytepath.testing.process_backend:ProcessSettings", idempotency="B", runs_workers=True,
            array_limit=10, name_limit=40)]
"""
FLOW = """
    plain = dict(inputs=kwtypes(x=int), output_notebooks=False, backend="process")
    double = NotebookTask("double", "../elsewhere/double.ipynb", outputs=kwtypes(y=int), **plain)
    fails = NotebookTask("fails", "../elsewhere/fails.ipynb", **plain)

    @workflow
    def mapped(many: list[int]) -> list[int]:
        return map_task(double)(x=many)

    @workflow
    def one(x: int) -> int:
        return double(x=x)

    @workflow
    def failing(x: int = 1):
        fails(x=x)
"""


@pytest.fixture(scope="module")
def flows(tmp_path_factory: pytest.TempPathFactory) -> Flows:
    """Notebooks that lie where no code bundle takes them along; workers are jobs."""
    folder = tmp_path_factory.mktemp("jobs")
    fakes = Distributions(folder / "site", folder / "home")
    fakes.add("process", PROCESS)
    made = Flows(folder)
    made.env.update(fakes.environment())
    (folder / "elsewhere").mkdir()
    (folder / "jobs").mkdir()
    made.notebook("../elsewhere/double", "x = 1", USE + "print('doubling', x)\nrecord_outputs(y=x * 2)")
    made.notebook("../elsewhere/fails", "x = 1", "print('so far')\nraise ValueError('no good')")
    made.module(FLOW)
    (made.folder / "flytepath.toml").write_text(
        f'[store]\nblobs = "{folder}/shared"\n[backends.process]\nfolder = "{folder}/jobs"\n'
        f'python = "{sys.executable}"\n'
    )
    return made


def test_a_notebook_runs_as_a_job(flows: Flows) -> None:
    view = flows.succeeded("one", "--x", "4")
    assert output(view) == 8
    assert "doubling 4" in decks(view)["out_rendered_nb"]


@pytest.mark.proof
def test_a_notebook_is_mapped_over_jobs(flows: Flows) -> None:
    assert output(flows.succeeded("mapped", "--many", "[1, 2]")) == [2, 4]


@pytest.mark.proof
def test_a_failing_cell_of_a_job_is_told_and_its_notebook_is_kept(flows: Flows) -> None:
    view = flows.failed("failing")
    [failed] = [event["error"] for event in events(view, "attempt_failed")]
    assert failed["code"] == "FP-PAPERMILL-CELL"
    assert failed["message"] == "cell 2 of the notebook raised ValueError: no good"
    assert 'id="fp-failed-cell"' in decks(view)["out_rendered_nb"]
    kept = json.loads(text_at(failed["hint"].rpartition(" is ")[2]))
    assert any("so far" in json.dumps(cell.get("outputs", "")) for cell in kept["cells"])


POD = """
    from __future__ import annotations

    from flyte_plugin_kubernetes import Pod
    from flyte_plugin_papermill import NotebookTask
    from flytepath import kwtypes, workflow

    SPEC = {"containers": [{"name": "main", "env": [{"name": "PLACE", "value": "a pod"}]}]}
    pod = Pod(pod_spec=SPEC, primary_container_name="main")
    told = NotebookTask("told", "../elsewhere/told.ipynb", task_config=pod, inputs=kwtypes(x=int),
        outputs=kwtypes(place=str, x=int), output_notebooks=False)


    @workflow
    def telling(x: int) -> tuple[str, int]:
        place, same = told(x=x)
        return place, same
"""


@pytest.fixture
def cluster() -> Iterator[Any]:
    pytest.importorskip("kubernetes", reason="the client of Kubernetes is not installed")
    testing = pytest.importorskip("flyte_plugin_kubernetes.testing.cluster")
    home = testing.ClusterHome()
    made = testing.Cluster(home)
    yield made
    made.clean()
    home.close()


def test_the_same_notebook_runs_in_a_pod(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    written(
        tmp_path / "elsewhere" / "told.ipynb",
        "x = 1",
        USE + "import os\nrecord_outputs(place=os.environ['PLACE'], x=x)",
    )
    work = tmp_path / "work"
    work.mkdir()
    (work / "pod_of_a_notebook.py").write_text(textwrap.dedent(POD))
    (work / "flytepath.toml").write_text(
        textwrap.dedent(
            f"""
            [store]
            blobs = "{tmp_path / "shared"}"
            [backends.kubernetes]
            kubeconfig = "{cluster.kubeconfig}"
            namespace = "{cluster.namespace}"
            image = "{cluster.worker_image()}"
            """
        )
    )
    monkeypatch.syspath_prepend(str(work))
    monkeypatch.chdir(work)
    with FlytePath(home=tmp_path / "home") as api:
        flow = importlib.import_module("pod_of_a_notebook")
        shutil.rmtree(tmp_path / "elsewhere")
        ended = api.wait(api.execute(flow.telling, {"x": 5}), 150.0)
        assert ended.outputs == {"o0": "a pod", "o1": 5}, ended.error
    monkeypatch.delitem(sys.modules, "pod_of_a_notebook")
