"""Pods and raw containers from a workflow to a node and back: values, sidecars, secrets and failures really happen."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flyte_plugin_kubernetes.testing.cluster import Cluster
from flytepath import FlytePath

DEADLINE = 120.0

FLOW = """
    from __future__ import annotations

    import os
    from pathlib import Path

    from flyte_plugin_kubernetes import Pod
    from flytepath import ContainerTask, FlyteDirectory, FlyteFile, Resources, Secret, current_context, kwtypes
    from flytepath import map_task, task, workflow

    SPEC = {
        "containers": [
            {"name": "main", "env": [{"name": "PLACE", "value": "/scratch"}]},
            {"name": "sidecar", "image": "busybox:1.36", "command": ["sh", "-c", "while true; do sleep 1; done"]},
        ],
        "volumes": [{"name": "scratch", "emptyDir": {}}],
    }
    SPEC["containers"][0]["volumeMounts"] = [{"name": "scratch", "mountPath": "/scratch"}]


    @task(task_config=Pod(pod_spec=SPEC, primary_container_name="main"), requests=Resources(cpu="100m"))
    def beside_a_sidecar(x: int) -> int:
        path = Path(os.environ["PLACE"]) / "x"
        path.write_text(str(x + 1))
        return int(path.read_text())


    @task(backend="kubernetes", environment={"WORD": "$(PLACE) $$"}, secret_requests=[Secret("db", "password")])
    def told() -> list[str]:
        return [os.environ["WORD"], str(len(current_context().secrets.get("db", "password")))]


    @task(backend="kubernetes")
    def doubled(x: int) -> int:
        return x * 2


    @task
    def written(text: str) -> FlyteFile:
        path = Path(current_context().working_directory) / "text"
        path.write_text(text)
        return FlyteFile(path)


    raw = ContainerTask(
        name="raw",
        image="busybox:1.36",
        command=[
            "sh",
            "-c",
            'printf "%s|" "$1" "$2" > /var/outputs/seen; cat /var/inputs/file >> /var/outputs/seen; '
            'cat /var/inputs/a > /var/outputs/a; printf "%s" "$MODE" > /var/outputs/mode',
            "sh",
            "{{.inputs.a}}",
            "<{{.inputs.text}}>",
        ],
        inputs=kwtypes(a=int, text=str, file=FlyteFile),
        outputs=kwtypes(seen=str, a=int, mode=str),
        environment={"MODE": "a $(HOME) $$"},
        backend="kubernetes",
    )
    fails = ContainerTask(name="fails", image="busybox:1.36", command=["sh", "-c", "exit 7"], backend="kubernetes")
    forgets = ContainerTask(
        name="forgets", image="busybox:1.36", command=["true"], outputs=kwtypes(a=int), backend="kubernetes"
    )
    sleeps = ContainerTask(
        name="sleeps", image="busybox:1.36", command=["sleep", "600"], timeout=2, retries=1, backend="kubernetes"
    )
    tree = ContainerTask(
        name="tree",
        image="busybox:1.36",
        command=[
            "sh",
            "-c",
            "cd /var/outputs; mkdir d; cp /var/inputs/d/* d; cat /proc/sys/kernel/random/uuid > f",
        ],
        inputs=kwtypes(d=FlyteDirectory),
        outputs=kwtypes(d=FlyteDirectory, f=FlyteFile),
        backend="kubernetes",
        cache=True,
        cache_version="1",
    )
    secretive = ContainerTask(
        name="secretive",
        image="busybox:1.36",
        command=["sh", "-c", 'printf "%s" "${#_FSEC_DB_PASSWORD}" > /var/outputs/size'],
        outputs=kwtypes(size=int),
        secret_requests=[Secret("db", "password")],
        backend="kubernetes",
    )
    filed = ContainerTask(
        name="filed",
        image="busybox:1.36",
        command=["sh", "-c", "cat /var/inputs/a > /var/outputs/a"],
        inputs=kwtypes(a=int),
        outputs=kwtypes(a=int),
        backend="kubernetes",
    )


    @task
    def folder() -> FlyteDirectory:
        made = Path(current_context().working_directory) / "made"
        made.mkdir()
        (made / "a").write_text("1")
        (made / "b").write_text("2")
        return FlyteDirectory(made)


    @task(backend="kubernetes")
    def listed(d: FlyteDirectory, f: FlyteFile) -> list[str]:
        return [*sorted(path.name for path in Path(d).iterdir()), Path(f).read_text()]


    @workflow
    def copying() -> list[str]:
        d, f = tree(d=folder())
        return listed(d=d, f=f)


    @workflow
    def keeping_secrets() -> int:
        return secretive()


    @workflow
    def sleeping() -> None:
        sleeps()


    @workflow
    def sidecar(x: int) -> int:
        return beside_a_sidecar(x=x)


    @workflow
    def telling() -> list[str]:
        return told()


    @workflow
    def container(a: int, text: str) -> tuple[str, int, str]:
        seen, same, mode = raw(a=a, text=text, file=written(text=text))
        return seen, doubled(x=same), mode


    @workflow
    def failing() -> None:
        fails()


    @workflow
    def forgetting() -> int:
        return forgets()


    @workflow
    def mapped(xs: list[int]) -> list[int]:
        return map_task(filed)(a=map_task(doubled)(x=xs))
"""


class Platform:
    """A platform of this process whose tasks run on a cluster."""

    def __init__(self, api: FlytePath, flows: Any) -> None:
        self._api, self._flows = api, flows

    def run(self, name: str, **inputs: Any) -> Any:
        return self._api.wait(self._api.execute(getattr(self._flows, name), inputs), DEADLINE)

    def error(self, name: str) -> Any:
        return self.run(name).error


@pytest.fixture
def platform(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Platform]:
    if cluster.needs_worker_image:
        pytest.skip("the blobs of this test lie on this machine, where the cluster's nodes do not find them")
    work = tmp_path / "work"
    work.mkdir()
    (work / "pods_flow.py").write_text(textwrap.dedent(FLOW))
    (work / "flytepath.toml").write_text(
        textwrap.dedent(
            f"""
            [store]
            blobs = "{tmp_path / "shared"}"
            [backends.kubernetes]
            kubeconfig = "{cluster.kubeconfig}"
            namespace = "{cluster.namespace}"
            image = "{cluster.worker_image()}"
            {getattr(request, "param", "")}
            """
        )
    )
    monkeypatch.syspath_prepend(str(work))
    monkeypatch.chdir(work)
    try:
        with FlytePath(home=tmp_path / "home") as api:
            yield Platform(api, importlib.import_module("pods_flow"))
    finally:
        monkeypatch.delitem(sys.modules, "pods_flow", raising=False)


HOSTILE = "a'b\"c $(id) `id` $$ $(HOME) ; | & é"


def test_a_task_ends_with_its_primary_container_whatever_its_sidecars_do(platform: Platform) -> None:
    assert platform.run("sidecar", x=1).outputs == {"o0": 2}


def test_variables_arrive_as_they_were_said_and_secrets_by_reference(platform: Platform, cluster: Cluster) -> None:
    secret = {"metadata": {"name": "db"}, "stringData": {"password": "swordfish"}}
    cluster.rest.post(f"/api/v1/namespaces/{cluster.namespace}/secrets", secret)
    assert platform.run("telling").outputs == {"o0": ["$(PLACE) $$", "9"]}


@pytest.mark.parametrize("platform", ['secrets.mount = "file"'], indirect=True)
def test_secrets_may_come_as_files(platform: Platform, cluster: Cluster) -> None:
    secret = {"metadata": {"name": "db"}, "stringData": {"password": "swordfish"}}
    cluster.rest.post(f"/api/v1/namespaces/{cluster.namespace}/secrets", secret)
    assert platform.run("telling").outputs == {"o0": ["$(PLACE) $$", "9"]}


def test_values_go_through_a_container_that_knows_nothing_of_them(platform: Platform) -> None:
    ended = platform.run("container", a=21, text=HOSTILE)
    assert ended.outputs == {"o0": f"21|<{HOSTILE}>|{HOSTILE}", "o1": 42, "o2": "a $(HOME) $$"}


def test_a_container_that_fails_fails_its_task_with_its_exit_code(platform: Platform) -> None:
    error = platform.error("failing")
    assert (error.kind, error.code) == ("user", "FP-JOB-FAILED")
    assert "container primary ended with exit code 7" in error.message


def test_an_output_that_was_not_written_is_told_by_its_name(platform: Platform) -> None:
    assert "did not write the output 'a'" in str(platform.error("forgetting"))


def test_folders_and_files_go_through_a_container_and_are_cached(platform: Platform) -> None:
    first = platform.run("copying").outputs["o0"]
    assert first[:2] == ["a", "b"]
    assert platform.run("copying").outputs["o0"] == first


def test_a_container_is_given_its_secrets(platform: Platform, cluster: Cluster) -> None:
    secret = {"metadata": {"name": "db"}, "stringData": {"password": "swordfish"}}
    cluster.rest.post(f"/api/v1/namespaces/{cluster.namespace}/secrets", secret)
    assert platform.run("keeping_secrets").outputs == {"o0": 9}


def test_a_container_that_takes_too_long_is_ended_and_leaves_no_pod(platform: Platform, cluster: Cluster) -> None:
    assert platform.run("sleeping").error.code == "FP-TIMEOUT"
    cluster.wait(lambda: not cluster.pods(), "the pods to be gone")


def test_containers_are_mapped_over_files(platform: Platform, cluster: Cluster) -> None:
    cluster.needs((1, 29), "a limit of failures for each index of a Job")
    assert platform.run("mapped", xs=[1, 2, 3]).outputs == {"o0": [2, 4, 6]}
