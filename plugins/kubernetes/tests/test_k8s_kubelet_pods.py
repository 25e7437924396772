"""The kubelet double runs pods as a node does: processes, volumes, variables, restarts, reasons, logs."""

from __future__ import annotations

from typing import Any

import pytest
from flyte_plugin_kubernetes.testing import Cluster, RestRefusal
from kubernetes import client

Json = dict[str, Any]


def container(*command: str, name: str = "main", **more: Any) -> Json:
    return {"name": name, "image": "busybox:1.36", "command": list(command)} | more


def shell(script: str, **more: Any) -> Json:
    return container("sh", "-c", script, **more)


def start(cluster: Cluster, *containers: Json, name: str = "a", **spec: Any) -> str:
    body = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": list(containers)} | spec
    path = f"/api/v1/namespaces/{cluster.namespace}/pods"
    cluster.rest.post(path, {"metadata": {"name": name, "labels": {"app": "x"}}, "spec": body})
    return f"{path}/{name}"


def until_phase(cluster: Cluster, path: str, *phases: str) -> Json:
    def look() -> Json | None:
        found = cluster.rest.get(path)
        return found if found["status"]["phase"] in phases else None

    return cluster.wait(look, f"{path} to be {phases}")


def end(cluster: Cluster, path: str) -> Json:
    return until_phase(cluster, path, "Succeeded", "Failed")


def waiting(cluster: Cluster, path: str, reason: str) -> Json:
    def look() -> Json | None:
        for status in cluster.rest.get(path)["status"].get("containerStatuses") or ():
            found: Json = status["state"].get("waiting") or {}
            if found.get("reason") == reason:
                return found | {"restarts": status["restartCount"], "last": status["lastState"]}
        return None

    return cluster.wait(look, f"a container waiting by {reason}")


def logs(cluster: Cluster, name: str = "a", **more: Any) -> str:
    with cluster.client() as api:
        # As bytes: the client would read a text that looks like JSON.
        answer = client.CoreV1Api(api).read_namespaced_pod_log(name, cluster.namespace, _preload_content=False, **more)
        text: str = answer.data.decode()
        answer.release_conn()
        return text


def events(cluster: Cluster, name: str = "a") -> dict[str, str]:
    path = f"/api/v1/namespaces/{cluster.namespace}/events"
    found = cluster.rest.get(path, fieldSelector=f"involvedObject.name={name},involvedObject.kind=Pod")["items"]
    return {event["reason"]: event["message"] for event in found}


def terminated(pod: Json, at: int = 0) -> Json:
    found: Json = pod["status"]["containerStatuses"][at]["state"]["terminated"]
    return found


def test_a_container_that_ends_well_succeeds(cluster: Cluster) -> None:
    pod = end(cluster, start(cluster, shell("echo hello")))
    assert pod["status"]["phase"] == "Succeeded"
    assert (terminated(pod)["exitCode"], terminated(pod)["reason"]) == (0, "Completed")
    assert pod["spec"]["nodeName"] and pod["status"]["startTime"]
    assert logs(cluster) == "hello\n"
    cluster.wait(lambda: {"Scheduled", "Created", "Started"} <= set(events(cluster)), "the events of a start")


def test_a_container_that_fails_tells_its_code(cluster: Cluster) -> None:
    pod = end(cluster, start(cluster, shell("exit 3")))
    assert pod["status"]["phase"] == "Failed"
    assert (terminated(pod)["exitCode"], terminated(pod)["reason"]) == (3, "Error")


@pytest.mark.parametrize(("number", "code"), [(9, 137), (15, 143)])
def test_an_end_by_a_signal_is_told_as_a_shell_does(double_cluster: Cluster, number: int, code: int) -> None:
    # Only the double: the first process of a real container is spared its own signals. $$$$ is $$ to Kubernetes.
    pod = end(double_cluster, start(double_cluster, shell(f"kill -{number} $$$$")))
    assert (terminated(pod)["exitCode"], terminated(pod)["reason"]) == (code, "Error")


def test_variables_come_from_everywhere(cluster: Cluster) -> None:
    base = f"/api/v1/namespaces/{cluster.namespace}"
    cluster.rest.post(f"{base}/secrets", {"metadata": {"name": "s"}, "stringData": {"key": "hidden", "B": "b"}})
    cluster.rest.post(f"{base}/configmaps", {"metadata": {"name": "m"}, "data": {"key": "shown"}})
    env = [
        {"name": "PLAIN", "value": "1"},
        {"name": "TWICE", "value": "$(PLAIN)$(PLAIN) $$(PLAIN) $(NONE)"},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}},
        {"name": "MAP", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "key"}}},
        {"name": "NOT", "valueFrom": {"secretKeyRef": {"name": "none", "key": "k", "optional": True}}},
    ]
    script = 'echo "$TWICE|$POD|$APP|$SECRET|$MAP|${NOT-unset}|$PRE_B|$0"'
    main = container("sh", "-c", script, "$(PLAIN)", env=env, envFrom=[{"prefix": "PRE_", "secretRef": {"name": "s"}}])
    end(cluster, start(cluster, main))
    assert logs(cluster) == "11 $(PLAIN) $(NONE)|a|x|hidden|shown|unset|b|1\n"


def test_nothing_of_this_process_is_inherited(double_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTEPATH_HOME_OF_THE_TEST", "leaks")
    end(double_cluster, start(double_cluster, container("env")))
    assert "leaks" not in logs(double_cluster)


def test_python_is_this_python(double_cluster: Cluster) -> None:
    import sys

    end(double_cluster, start(double_cluster, container("python", "-c", "import sys; print(sys.executable)")))
    assert logs(double_cluster).strip() == sys.executable


def test_volumes_are_shared_and_filled(cluster: Cluster) -> None:
    path = f"/api/v1/namespaces/{cluster.namespace}/secrets"
    cluster.rest.post(path, {"metadata": {"name": "s"}, "stringData": {"key": "hidden"}})
    volumes = [
        {"name": "work", "emptyDir": {}},
        {"name": "secret", "secret": {"secretName": "s"}},
        {"name": "about", "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    ]
    mounts = [
        {"name": "work", "mountPath": "/work-here"},
        {"name": "secret", "mountPath": "/secret-here"},
        {"name": "about", "mountPath": "/about-here"},
    ]
    first = shell("echo made > /work-here/x", name="first", volumeMounts=mounts)
    main = shell("cat /work-here/x /secret-here/key /about-here/name", volumeMounts=mounts)
    end(cluster, start(cluster, main, initContainers=[first], volumes=volumes))
    assert logs(cluster, container="main") == "made\nhiddena"


def test_init_containers_run_in_order_and_one_that_fails_ends_the_pod(cluster: Cluster) -> None:
    inits = [shell("exit 4", name="first"), shell("true", name="second")]
    pod = end(cluster, start(cluster, shell("echo ran"), initContainers=inits))
    assert pod["status"]["phase"] == "Failed"
    codes = [one["state"].get("terminated", {}).get("exitCode") for one in pod["status"]["initContainerStatuses"]]
    assert codes == [4, None]
    assert "waiting" in pod["status"]["containerStatuses"][0]["state"]


def test_a_native_sidecar_ends_with_what_it_serves(cluster: Cluster) -> None:
    cluster.needs((1, 29), "init containers that run on beside the others")
    side = shell("trap 'exit 0' TERM; while :; do sleep 0.05; done", name="side", restartPolicy="Always")
    pod = end(cluster, start(cluster, shell("true"), initContainers=[side]))
    assert pod["status"]["phase"] == "Succeeded"
    assert "terminated" in pod["status"]["initContainerStatuses"][0]["state"]


def test_a_sidecar_that_never_ends_keeps_the_pod_running(cluster: Cluster) -> None:
    path = start(cluster, shell("exit 5"), shell("sleep 60", name="side"))

    def look() -> Json | None:
        found = cluster.rest.get(path)
        states = found["status"].get("containerStatuses") or [{"state": {}}]
        return found if "terminated" in states[0]["state"] else None

    pod = cluster.wait(look, "the end of the first container")
    assert (pod["status"]["phase"], terminated(pod)["exitCode"]) == ("Running", 5)


def test_more_memory_than_the_limit_is_the_end(cluster: Cluster) -> None:
    hungry = "x = bytearray(400 * 2**20)\nimport time\ntime.sleep(60)"
    main = container("python", "-c", hungry, image="python:3.12-slim", resources={"limits": {"memory": "128Mi"}})
    pod = end(cluster, start(cluster, main))
    assert (terminated(pod)["reason"], terminated(pod)["exitCode"]) == ("OOMKilled", 137)


def test_a_command_that_is_not_there_is_a_start_error(cluster: Cluster) -> None:
    pod = end(cluster, start(cluster, container("no-such-program")))
    assert (terminated(pod)["reason"], terminated(pod)["exitCode"]) == ("StartError", 128)
    assert "no-such-program" in terminated(pod)["message"]


def test_an_image_without_python(double_cluster: Cluster) -> None:
    double_cluster.node().images.without_python.add("busybox:1.36")
    pod = end(double_cluster, start(double_cluster, container("python", "-c", "pass")))
    assert 'exec: "python": executable file not found in $PATH' in terminated(pod)["message"]


def test_an_image_that_cannot_be_pulled_waits(cluster: Cluster) -> None:
    image = "nobody.invalid/none:1"
    if cluster.kubelet is not None:
        cluster.node().images.cannot_pull(image)
    path = start(cluster, container("true", image=image))
    found = waiting(cluster, path, "ImagePullBackOff")
    assert found["message"].startswith(f'Back-off pulling image "{image}"')
    assert cluster.rest.get(path)["status"]["phase"] == "Pending"
    cluster.wait(lambda: {"Failed", "BackOff"} <= set(events(cluster)), "the events of a pull that fails")
    cluster.rest.delete(path)
    cluster.wait(lambda: cluster.find(path) is None, "the pod to be gone")


def test_an_image_that_appears_is_pulled(double_cluster: Cluster) -> None:
    double_cluster.node().images.cannot_pull("busybox:1.36")
    path = start(double_cluster, container("true"))
    waiting(double_cluster, path, "ErrImagePull")
    double_cluster.node().images.clear()
    assert end(double_cluster, path)["status"]["phase"] == "Succeeded"


def test_a_name_that_is_none_of_an_image(cluster: Cluster) -> None:
    waiting(cluster, start(cluster, container("true", image="Not/An/Image")), "InvalidImageName")


def test_a_secret_that_is_missing_is_waited_for(cluster: Cluster) -> None:
    env = [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "late", "key": "k"}}}]
    path = start(cluster, shell("echo $A", env=env))
    found = waiting(cluster, path, "CreateContainerConfigError")
    assert found["message"] == 'secret "late" not found'
    secrets = f"/api/v1/namespaces/{cluster.namespace}/secrets"
    cluster.rest.post(secrets, {"metadata": {"name": "late"}, "stringData": {"k": "v"}})
    assert end(cluster, path)["status"]["phase"] == "Succeeded"


def test_a_volume_that_is_missing_is_told_in_an_event(cluster: Cluster) -> None:
    volumes = [{"name": "v", "secret": {"secretName": "late"}}]
    start(cluster, shell("true"), volumes=volumes)
    cluster.wait(lambda: 'secret "late" not found' in events(cluster).get("FailedMount", ""), "the event")


def test_what_crashes_is_started_again_later_and_later(cluster: Cluster) -> None:
    path = start(cluster, shell("echo once; exit 1"), restartPolicy="Always")
    found = waiting(cluster, path, "CrashLoopBackOff")
    assert found["restarts"] >= 1
    assert found["last"]["terminated"]["exitCode"] == 1
    assert logs(cluster, previous=True) == "once\n"


def test_on_failure_starts_again_until_it_ends_well(cluster: Cluster) -> None:
    volumes, mounts = [{"name": "v", "emptyDir": {}}], [{"name": "v", "mountPath": "/v-here"}]
    main = shell("test -e /v-here/x || { touch /v-here/x; exit 1; }", volumeMounts=mounts)
    pod = end(cluster, start(cluster, main, volumes=volumes, restartPolicy="OnFailure"))
    assert (pod["status"]["phase"], pod["status"]["containerStatuses"][0]["restartCount"]) == ("Succeeded", 1)


def test_a_deadline_ends_the_pod(cluster: Cluster) -> None:
    pod = end(cluster, start(cluster, container("sleep", "60"), activeDeadlineSeconds=1))
    assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "DeadlineExceeded")


def test_what_is_deleted_gets_its_signal_and_its_time(cluster: Cluster) -> None:
    script = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    path = start(cluster, shell(script), terminationGracePeriodSeconds=20)
    cluster.wait(lambda: cluster.pod("a") and "ready" in _log_or_none(cluster), "the trap to be set")
    hold = {"metadata": {"finalizers": ["example.com/hold"]}}
    cluster.rest.patch(path, hold, "application/merge-patch+json")
    cluster.rest.delete(path)
    pod = end(cluster, path)
    assert terminated(pod)["exitCode"] == 7
    cluster.rest.patch(path, {"metadata": {"finalizers": None}}, "application/merge-patch+json")
    cluster.wait(lambda: cluster.find(path) is None, "the pod to be gone")


def _log_or_none(cluster: Cluster) -> str:
    try:
        return logs(cluster)
    except client.ApiException:
        return ""


def test_what_does_not_heed_its_signal_is_killed(cluster: Cluster) -> None:
    path = start(cluster, shell("trap '' TERM; while :; do sleep 0.05; done"))
    until_phase(cluster, path, "Running")
    cluster.rest.delete(path, gracePeriodSeconds=1)
    cluster.wait(lambda: cluster.find(path) is None, "the pod to be gone")


def test_logs_are_read_from_where_one_asks(cluster: Cluster) -> None:
    end(cluster, start(cluster, shell("for i in 1 2 3; do echo line $i; done")))
    assert logs(cluster, tail_lines=1) == "line 3\n"
    assert logs(cluster, limit_bytes=4) == "line"
    stamped = logs(cluster, timestamps=True).splitlines()
    assert [line.split(" ", 1)[1] for line in stamped] == ["line 1", "line 2", "line 3"]
    assert stamped[0].split(" ")[0].endswith("Z")


def test_logs_are_followed_to_the_end(cluster: Cluster) -> None:
    path = start(cluster, shell("for i in 1 2 3; do echo line $i; sleep 0.1; done"))
    until_phase(cluster, path, "Running", "Succeeded")
    assert logs(cluster, follow=True) == "line 1\nline 2\nline 3\n"


def test_a_log_needs_a_container_that_is_there_and_named(cluster: Cluster) -> None:
    path = start(cluster, shell("true"), shell("true", name="other"))
    end(cluster, path)
    for query, words in (({}, "a container name must be specified"), ({"container": "none"}, "is not valid for pod")):
        with pytest.raises(RestRefusal, match=words) as error:
            cluster.rest.get(f"{path}/log", **query)
        assert error.value.code == 400


def test_a_log_before_the_start_is_refused(double_cluster: Cluster) -> None:
    double_cluster.node().images.cannot_pull("busybox:1.36")
    path = start(double_cluster, container("true"))
    waiting(double_cluster, path, "ImagePullBackOff")
    with pytest.raises(RestRefusal, match="is waiting to start") as error:
        double_cluster.rest.get(f"{path}/log")
    assert error.value.code == 400


def test_many_pods_run_at_once(cluster: Cluster) -> None:
    paths = [start(cluster, shell("true"), name=f"p{number}") for number in range(20)]
    assert {end(cluster, path)["status"]["phase"] for path in paths} == {"Succeeded"}
