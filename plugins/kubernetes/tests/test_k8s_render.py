"""``flytepath render`` prints the manifests: what each level of the merge order says can be seen before it runs."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import pytest
import yaml

FLOW = """
    from flytepath import ContainerTask, PodTemplate, Resources, kwtypes, map_task, task, workflow

    SPEC = {
        "containers": [{"name": "primary", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}],
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
    }


    @task(
        backend="kubernetes",
        requests=Resources(cpu="2"),
        pod_template=PodTemplate(pod_spec=SPEC, labels={"tier": "batch"}),
    )
    def work(x: int) -> int:
        return x


    area = ContainerTask(
        name="area",
        image="alpine:3.20",
        command=["sh", "-c", "echo $(($0 * 2)) > /var/outputs/area", "{{.inputs.a}}"],
        inputs=kwtypes(a=int),
        outputs=kwtypes(area=int),
        backend="kubernetes",
    )


    @workflow
    def flow(x: int) -> None:
        work(x=x).with_overrides(requests=Resources(cpu="3"), labels={"node": "first"})
        area(a=x)
        map_task(work)(x=[1, 2, 3])
"""
SETTINGS = """
    [store]
    blobs = "s3://acme-flows"
    [backends.kubernetes]
    image = "flows:1"
    labels = { team = "platform" }
    [backends.kubernetes.pod_template.spec]
    tolerations = [{ key = "flows", operator = "Exists" }]
    [projects.vision.backends.kubernetes]
    labels = { team = "vision" }
    [projects.vision.domains.production.backends.kubernetes.pod_template.spec]
    priorityClassName = "production"
"""


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("render")
    (folder / "flow.py").write_text(textwrap.dedent(FLOW))
    (folder / "flytepath.toml").write_text(textwrap.dedent(SETTINGS))
    command = ["render", "flow.py", "flow", "--project", "vision", "--domain", "production", "--x", "4"]
    done = subprocess.run(
        [sys.executable, "-m", "flytepath", *command], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def test_every_level_of_the_merge_order_is_in_the_manifest(manifests: list[dict[str, Any]]) -> None:
    pod = manifests[0]
    assert (pod["kind"], pod["metadata"]["namespace"]) == ("Pod", "vision-production")
    labels = pod["metadata"]["labels"]
    assert (labels["team"], labels["tier"], labels["node"]) == ("vision", "batch", "first")
    spec = pod["spec"]
    assert [one["key"] for one in spec["tolerations"]] == ["flows", "gpu"]
    assert spec["priorityClassName"] == "production"
    (container,) = spec["containers"]
    assert container["image"] == "flows:1"
    assert container["resources"] == {"requests": {"cpu": "3", "memory": "1Gi"}}


def test_values_that_are_known_stand_in_the_command_of_a_container(manifests: list[dict[str, Any]]) -> None:
    (primary,) = [one for one in manifests[1]["spec"]["initContainers"] if one["name"] == "primary"]
    assert primary["command"] == ["sh", "-c", "echo $$(($0 * 2)) > /var/outputs/area", "4"]


def test_a_map_is_one_indexed_job_of_the_same_pod(manifests: list[dict[str, Any]]) -> None:
    job = manifests[2]
    assert (job["kind"], job["spec"]["completionMode"], job["spec"]["completions"]) == ("Job", "Indexed", 3)
    template = job["spec"]["template"]
    assert [one["key"] for one in template["spec"]["tolerations"]] == ["flows", "gpu"]
    assert template["spec"]["containers"][0]["command"][-1] == "$(JOB_COMPLETION_INDEX)"
