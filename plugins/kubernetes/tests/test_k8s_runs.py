"""Plain Python workflows on a cluster, from ``flytepath run`` to pods that run, and what happens to them there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flyte_plugin_kubernetes.testing import Cluster

DEADLINE = 120.0
#: The version of a cluster that maps need, and for what.
INDEXED_JOBS = ((1, 29), "a limit of failures for each index of a Job")

FLOW = """
    from __future__ import annotations

    import os
    import signal
    import time
    from pathlib import Path

    from flytepath import Retry, Resources, map_task, task, workflow

    HERE = Path(__file__).parent


    def until(name: str) -> None:
        end = time.monotonic() + 100
        while not (Path(os.environ["FLAGS"]) / name).exists():
            assert time.monotonic() < end
            time.sleep(0.02)


    def times(name: str) -> int:
        path = Path(os.environ["FLAGS"]) / f"times-{name}-{os.getpid()}"
        path.touch()
        return len(list(path.parent.glob(f"times-{name}-*")))


    @task
    def add(a: int, b: int) -> int:
        print(f"adding {a} and {b}")
        return a + b

    @task
    def broken(x: int) -> int:
        print("about to fail")
        raise ValueError(f"{x} is no good")

    @task(retries=2)
    def third_time(x: int) -> int:
        if times("third") < 3:
            raise ValueError("not yet")
        return x

    @task
    def item(x: int) -> int:
        print(f"item {x}")
        return x * 10

    @task(retries=1)
    def fussy(x: int) -> int:
        if x == 2 and times("fussy") < 2:
            raise ValueError("not the first time")
        return x

    @task(timeout=2)
    def slow(x: int) -> int:
        time.sleep(100)
        return x

    @task
    def waits(x: int) -> int:
        until("go")
        return x

    @task(limits=Resources(mem="150Mi"), requests=Resources(mem="100Mi"), retries=Retry(0, system=0))
    def hungry(x: int) -> int:
        held = bytearray(600 * 1024 * 1024)
        for place in range(0, len(held), 4096):
            held[place] = 1
        time.sleep(30)
        return len(held)

    @task(container_image="no.such/image:1")
    def imageless(x: int) -> int:
        return x

    @task(retries=Retry(0, system=0))
    def killed(x: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return x

    @workflow
    def chain(a: int, b: int) -> int:
        return add(a=add(a=a, b=b), b=1)

    @workflow
    def failing(x: int) -> int:
        return broken(x=x)

    @workflow
    def retried(x: int) -> int:
        return third_time(x=x)

    @workflow
    def mapped(xs: list[int]) -> list[int]:
        return map_task(item)(x=xs)

    @workflow
    def mapped_retried(xs: list[int]) -> list[int]:
        return map_task(fussy)(x=xs)

    @workflow
    def late(x: int) -> int:
        return slow(x=x)

    @workflow
    def waiting(x: int) -> int:
        return waits(x=x)

    @workflow
    def waiting_items(xs: list[int]) -> list[int]:
        return map_task(waits)(x=xs)

    @workflow
    def eating(x: int) -> int:
        return hungry(x=x)

    @workflow
    def without_image(x: int) -> int:
        return imageless(x=x)

    @workflow
    def dying(x: int) -> int:
        return killed(x=x)
"""


class Platform:
    """The command line, with tasks that run on a cluster."""

    def __init__(self, cluster: Cluster, folder: Path, **settings: Any) -> None:
        self.cluster = cluster
        self.work = folder / "work"
        self.flags = folder / "flags"
        for path in (self.work, self.flags):
            path.mkdir()
        (self.work / "cluster_flow.py").write_text(textwrap.dedent(FLOW))
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        text = f"""
            [store]
            blobs = "{folder / "shared"}"
            [task_backends]
            python = "kubernetes"
            [backends.kubernetes]
            kubeconfig = "{cluster.kubeconfig}"
            namespace = "{cluster.namespace}"
            image = "{cluster.worker_image()}"
        """
        (self.work / "flytepath.toml").write_text(textwrap.dedent(text) + "\n".join(lines) + "\n")
        self._environment = {**os.environ, "FLYTEPATH_HOME": str(folder / "home")}
        cluster.node().environment["FLAGS"] = str(self.flags)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "flytepath", *arguments]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=self.work, env=self._environment, text=True, **pipes)

    def called(self, *arguments: str, status: int = 0) -> str:
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=DEADLINE)
        finally:
            process.kill()
        assert process.returncode == status, out + err
        return out + err

    def run(self, name: str, *arguments: str, status: int = 0) -> str:
        return self.called("run", "cluster_flow.py", name, *arguments, status=status)

    def shown(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.called("executions", "show", self.latest(), "--json"))
        return found

    def latest(self) -> str:
        found: str = json.loads(self.called("executions", "list", "--json"))[0]["id"]
        return found

    def running(self) -> list[str]:
        return [pod["metadata"]["name"] for pod in self.cluster.pods() if pod["status"]["phase"] == "Running"]

    def until(self, look: Callable[[], Any], what: str) -> Any:
        return self.cluster.wait(look, what, DEADLINE)

    def is_empty(self) -> bool:
        jobs = self.cluster.rest.get(f"/apis/batch/v1/namespaces/{self.cluster.namespace}/jobs")["items"]
        return not self.cluster.pods() and not jobs


@pytest.fixture
def platform(cluster: Cluster, tmp_path: Path) -> Iterator[Platform]:
    if cluster.needs_worker_image:
        pytest.skip("the blobs of this test lie on this machine, where the cluster's nodes do not find them")
    made = Platform(cluster, tmp_path)
    yield made
    made.until(made.is_empty, "the cluster to be empty: nothing outlives its job")


def test_a_workflow_runs_in_pods_and_leaves_nothing_there(platform: Platform) -> None:
    assert "o0 = 6" in platform.run("chain", "--a", "2", "--b", "3")
    told = platform.called("executions", "logs", platform.latest())
    assert "adding 2 and 3" in told
    assert "adding 5 and 1" in told


def test_an_error_of_the_user_comes_back_whole(platform: Platform) -> None:
    told = platform.run("failing", "--x", "4", status=1)
    assert "ValueError" in told
    assert "4 is no good" in told
    assert "about to fail" in platform.called("executions", "logs", platform.latest())


@pytest.mark.proof
def test_attempts_that_fail_are_made_again(platform: Platform) -> None:
    assert "o0 = 7" in platform.run("retried", "--x", "7")


def test_a_map_is_one_indexed_job(platform: Platform) -> None:
    platform.cluster.needs(*INDEXED_JOBS)
    made: set[str] = set()
    process = platform.start("run", "cluster_flow.py", "mapped", "--xs", "[1, 2, 3, 4]")
    jobs = f"/apis/batch/v1/namespaces/{platform.cluster.namespace}/jobs"

    def ended() -> bool:
        made.update(job["metadata"]["uid"] for job in platform.cluster.rest.get(jobs)["items"])
        return process.poll() is not None

    platform.until(ended, "the end of the run")
    out, err = process.communicate()
    assert "o0 = [10, 20, 30, 40]" in out, out + err
    assert len(made) == 1
    logs = platform.called("executions", "logs", platform.latest())
    assert all(f"item {x}" in logs for x in (1, 2, 3, 4)), logs


@pytest.mark.proof
def test_an_item_that_fails_is_made_again_alone(platform: Platform) -> None:
    platform.cluster.needs(*INDEXED_JOBS)
    assert "o0 = [1, 2, 3]" in platform.run("mapped_retried", "--xs", "[1, 2, 3]")


@pytest.mark.proof
def test_what_takes_too_long_is_ended(platform: Platform) -> None:
    told = platform.run("late", "--x", "1", status=1)
    assert "FP-TIMEOUT" in told


def test_memory_that_runs_out_is_told_as_that(platform: Platform) -> None:
    told = platform.run("eating", "--x", "1", status=1)
    assert "FP-OUT-OF-MEMORY" in told
    assert "OOMKilled" in told
    assert "150Mi" in told


@pytest.mark.proof
def test_a_worker_that_is_killed_is_no_fault_of_the_user(platform: Platform) -> None:
    told = platform.run("dying", "--x", "1", status=1)
    assert "SIGKILL" in told
    assert "FP-JOB-LOST" in told


def test_a_pod_that_is_evicted_is_made_again(platform: Platform) -> None:
    process = platform.start("run", "cluster_flow.py", "waiting", "--x", "5")
    first = platform.until(platform.running, "a running pod")[0]
    platform.cluster.node().evict(platform.cluster.namespace, first)
    platform.until(lambda: [name for name in platform.running() if name != first], "another pod")
    (platform.flags / "go").touch()
    out, err = process.communicate(timeout=DEADLINE)
    assert "o0 = 5" in out, out + err


@pytest.mark.proof
def test_a_pod_that_somebody_deletes_is_made_again(platform: Platform) -> None:
    process = platform.start("run", "cluster_flow.py", "waiting", "--x", "5")
    first = platform.until(platform.running, "a running pod")[0]
    pods = f"/api/v1/namespaces/{platform.cluster.namespace}/pods"
    platform.cluster.rest.delete(f"{pods}/{first}", gracePeriodSeconds=0)
    platform.until(lambda: [name for name in platform.running() if name != first], "another pod")
    (platform.flags / "go").touch()
    out, err = process.communicate(timeout=DEADLINE)
    assert "o0 = 5" in out, out + err


@pytest.mark.parametrize("workflow", ["waiting --x 5", "waiting_items --xs [5,6]"])
def test_an_engine_that_is_killed_is_gone_on_with(platform: Platform, workflow: str) -> None:
    if "items" in workflow:
        platform.cluster.needs(*INDEXED_JOBS)
    process = platform.start("run", "cluster_flow.py", *workflow.split())
    before = platform.until(platform.running, "a running pod")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=DEADLINE)
    (platform.flags / "go").touch()
    told = platform.called("executions", "resume", platform.latest())
    assert "o0 = 5" in told or "o0 = [5, 6]" in told
    assert before


def test_an_abort_ends_the_pod(platform: Platform) -> None:
    process = platform.start("run", "cluster_flow.py", "waiting", "--x", "5")
    platform.until(platform.running, "a running pod")
    platform.called("executions", "abort", platform.latest())
    process.communicate(timeout=DEADLINE)
    platform.until(platform.is_empty, "the pod to go")


def test_an_image_that_is_not_there_is_named(cluster: Cluster, tmp_path: Path) -> None:
    if cluster.needs_worker_image:
        pytest.skip("the blobs of this test lie on this machine, where the cluster's nodes do not find them")
    platform = Platform(cluster, tmp_path, image_pull_seconds=1)
    cluster.node().images.cannot_pull("no.such/image:1")
    told = platform.run("without_image", "--x", "1", status=1)
    assert "no.such/image:1" in told
    assert "FP-JOB-INVALID" in told
    platform.until(platform.is_empty, "the pod to go")
