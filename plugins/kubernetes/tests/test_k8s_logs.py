"""The log of a job: each line once, wherever it is read on, with a heading where there are several."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import k8s_backends as backends
import pytest
from flyte_plugin_kubernetes import pod_logs
from flyte_plugin_kubernetes.backend import KubernetesBackend
from flyte_plugin_kubernetes.testing import ApiServer
from flytepath.plugin import BackendError, ErrorClass, Handle, LogChunk, PlanRequest
from flytepath.testing import run_unblocked

BORN = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=60)


class Cluster:
    """A pod with a log that a test writes."""

    def __init__(self, server: ApiServer, folder: Path, **changes: Any) -> None:
        self.server = server
        self.backend: KubernetesBackend = backends.pods(server, folder)
        self.request: PlanRequest = backends.request(**changes)
        self.plan = self.backend.plan(self.request)
        self.handle: Handle = run_unblocked(self.backend.submit(self.plan))

    def is_in(self, phase: str, *containers: str, code: int | None = None) -> None:
        state: dict[str, Any] = {"running": {"startedAt": "2030-01-01T00:00:00Z"}}
        if code is not None:
            state = {"terminated": {"exitCode": code, "reason": "Completed", "finishedAt": "2030-01-01T00:00:00Z"}}
        facts = {"image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": state}
        status = {"phase": phase, "containerStatuses": [{"name": name, **facts} for name in containers or ["primary"]]}
        backends.set_status(self.server, self.plan.spec, status)

    def wrote(self, *lines: str, container: str = "primary", every: float = 0.4, end: str = "\n") -> None:
        stamped = []
        for number, line in enumerate(lines):
            at = BORN + timedelta(seconds=number * every)
            stamped.append(f"{at.strftime('%Y-%m-%dT%H:%M:%S')}.{at.microsecond:06d}Z {line}")
        self.server.given_logs["jobs", self.plan.external_name, container] = "\n".join(stamped) + end

    def read(self, cursor: str | None = None) -> LogChunk:
        return run_unblocked(self.backend.logs(self.handle, cursor))


@pytest.fixture
def cluster(api_server: ApiServer, tmp_path: Path) -> Cluster:
    return Cluster(api_server, tmp_path)


def test_a_log_is_read_on_while_it_is_written(cluster: Cluster) -> None:
    lines = [f"line {number}" for number in range(12)]
    cluster.is_in("Running")
    text, cursor = "", None
    for upto in range(len(lines) + 1):
        cluster.wrote(*lines[:upto], end="\n" if upto else "")
        piece = cluster.read(cursor)
        assert not piece.complete
        text, cursor = text + piece.text, piece.cursor
    cluster.is_in("Succeeded", code=0)
    last = cluster.read(cursor)
    assert (text + last.text, last.complete) == ("".join(f"{line}\n" for line in lines), True)
    again = cluster.read()
    assert (again.text, again.complete) == (text, True)


def test_lines_of_one_moment_are_each_told_once(cluster: Cluster) -> None:
    cluster.is_in("Running")
    cluster.wrote("a", "b", every=0)
    first = cluster.read()
    cluster.wrote("a", "b", "b", "c", every=0)
    second = cluster.read(first.cursor)
    assert (first.text, second.text) == ("a\nb\n", "b\nc\n")


def test_a_line_that_is_not_whole_yet_is_left_for_later(cluster: Cluster) -> None:
    cluster.is_in("Running")
    cluster.wrote("whole", "beginn", end="")
    first = cluster.read()
    assert first.text == "whole\n"
    cluster.wrote("whole", "beginning", end="")
    cluster.is_in("Succeeded", code=0)
    assert cluster.read(first.cursor).text == "beginning"


def test_a_second_that_holds_more_than_one_piece_is_read_to_its_end(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_logs, "_BYTES", 200)
    lines = [f"{number} {'x' * 60}" for number in range(40)]
    cluster.is_in("Succeeded", code=0)
    cluster.wrote(*lines, every=0)
    text, cursor = "", None
    for _ in range(len(lines) + 2):
        piece = cluster.read(cursor)
        text, cursor = text + piece.text, piece.cursor
        if piece.complete:
            break
    assert text == "".join(f"{line}\n" for line in lines)
    assert piece.complete


def test_several_containers_are_told_apart(api_server: ApiServer, tmp_path: Path) -> None:
    template = {"spec": {"containers": [{"name": "primary"}, {"name": "proxy", "image": "i"}]}}
    cluster = Cluster(api_server, tmp_path, pod_template={"pod_spec": template["spec"]})
    names = [container["name"] for container in cluster.plan.spec["spec"]["containers"]]
    cluster.is_in("Succeeded", *names, code=0)
    for name in names:
        cluster.wrote(f"this is {name}", container=name)
    piece = cluster.read()
    head = f"=== {cluster.plan.external_name}"
    assert piece.text == "".join(f"{head} {name} ===\nthis is {name}\n" for name in names)
    assert piece.complete


def test_what_has_not_begun_has_no_log_yet(cluster: Cluster) -> None:
    assert (cluster.read().text, cluster.read().complete) == ("", False)


def test_what_is_gone_has_no_log_any_more(cluster: Cluster) -> None:
    cluster.server.core().delete_namespaced_pod(cluster.plan.external_name, "jobs", grace_period_seconds=0)
    assert (cluster.read().text, cluster.read().complete) == ("", True)


def test_a_server_in_trouble_is_an_error_and_no_end(cluster: Cluster) -> None:
    cluster.is_in("Running")
    cluster.server.fail(verb="get", resource="pods/log")
    with pytest.raises(BackendError) as error:
        cluster.read()
    assert error.value.error_class is ErrorClass.UNAVAILABLE


@pytest.mark.parametrize("cursor", ["nonsense", json.dumps({"a": 1}), json.dumps(["", {"a": 3}])])
def test_a_strange_cursor_is_refused(cluster: Cluster, cursor: str) -> None:
    with pytest.raises(BackendError) as error:
        cluster.read(cursor)
    assert error.value.error_class is ErrorClass.PROTOCOL


@pytest.mark.parametrize(
    ("stamp", "nanos"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01T00:00:01.000000001Z", 1_000_000_001),
        ("1970-01-01T01:00:01.25+01:00", 1_250_000_000),
        ("Traceback", None),
    ],
)
def test_times_of_lines_are_compared_as_times(stamp: str, nanos: int | None) -> None:
    assert pod_logs._nanos(stamp) == nanos
