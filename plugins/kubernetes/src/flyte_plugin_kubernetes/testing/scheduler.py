"""Gives pods their nodes: by what is free, by selectors, affinity and taints."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections import Counter
from fractions import Fraction
from typing import Any

from flyte_plugin_kubernetes.testing.amounts import amount
from flyte_plugin_kubernetes.testing.kubelet import event_of
from flyte_plugin_kubernetes.testing.pod_status import moment
from flyte_plugin_kubernetes.testing.rest import Informer, Rest, RestRefusal

Json = dict[str, Any]


class Scheduler:
    """The double of the scheduler, through REST.

    Args:
        rest: the API server.
    """

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._pods = Informer(rest, "/api/v1/pods", self._see)
        self._nodes = Informer(rest, "/api/v1/nodes", self._see)
        self._assumed: dict[str, str] = {}
        self._told: dict[str, str] = {}
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)

    def start(self) -> Scheduler:
        """Begins."""
        for informer in (self._nodes, self._pods):
            informer.start()
            informer.ready.wait(10)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Ends."""
        self._stopped.set()
        self._pods.stop()
        self._nodes.stop()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def wait_for_node(self, name: str, seconds: float = 10.0) -> None:
        """Waits until it knows that a node takes pods.

        Raises:
            TimeoutError: it does not, in time.
        """
        deadline = time.monotonic() + seconds
        while not any(node["metadata"]["name"] == name and _takes_pods(node) for node in self._nodes.all()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the scheduler does not see node {name}")
            time.sleep(0.002)

    def _see(self, sort: str, item: Json) -> None:
        del sort, item
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._wake.wait()
            self._wake.clear()
            pods = self._pods.all()
            known = {pod["metadata"]["uid"] for pod in pods}
            self._assumed = {uid: node for uid, node in self._assumed.items() if uid in known}
            self._told = {uid: words for uid, words in self._told.items() if uid in known}
            waiting = [pod for pod in pods if self._waits(pod)]
            for pod in sorted(waiting, key=_importance):
                if self._stopped.is_set():
                    return
                try:
                    self._place(pod, pods)
                except (OSError, RestRefusal):
                    # It is seen again with its next change, or gone.
                    continue

    def _waits(self, pod: Json) -> bool:
        spec, metadata = pod["spec"], pod["metadata"]
        ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        placed = spec.get("nodeName") or metadata["uid"] in self._assumed
        return not (placed or ended or "deletionTimestamp" in metadata or spec.get("schedulingGates"))

    def _place(self, pod: Json, pods: list[Json]) -> None:
        nodes = sorted(self._nodes.all(), key=lambda node: node["metadata"]["name"])
        reasons: Counter[str] = Counter()
        fitting = []
        for node in nodes:
            faults = _node_faults(pod, node) or self._room_faults(pod, node, pods)
            reasons.update(faults)
            if not faults:
                fitting.append(node)
        if not fitting:
            self._tell_unschedulable(pod, len(nodes), reasons)
            return
        target = min(fitting, key=lambda node: self._crowd(node, pods))["metadata"]["name"]
        metadata = pod["metadata"]
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": target},
        }
        self._assumed[metadata["uid"]] = target
        try:
            self._rest.post(f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/binding", body)
        except (OSError, RestRefusal):
            self._assumed.pop(metadata["uid"], None)
            raise
        words = f"Successfully assigned {metadata['namespace']}/{metadata['name']} to {target}"
        self._tell(pod, "Normal", "Scheduled", words)

    def _on(self, node: Json, pods: list[Json]) -> list[Json]:
        name = node["metadata"]["name"]
        return [
            pod
            for pod in pods
            if name in (pod["spec"].get("nodeName"), self._assumed.get(pod["metadata"]["uid"]))
            and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
        ]

    def _crowd(self, node: Json, pods: list[Json]) -> int:
        return len(self._on(node, pods))

    def _room_faults(self, pod: Json, node: Json, pods: list[Json]) -> list[str]:
        room = (node.get("status") or {}).get("allocatable") or {}
        there = self._on(node, pods)
        used: dict[str, Fraction] = {}
        for other in there:
            for name, value in pod_requests(other).items():
                used[name] = used.get(name, Fraction(0)) + value
        faults = []
        if len(there) + 1 > (amount(room.get("pods", "0")) or 0):
            faults.append("Too many pods")
        for name, value in pod_requests(pod).items():
            if value and used.get(name, Fraction(0)) + value > (amount(room.get(name, "0")) or 0):
                faults.append(f"Insufficient {name}")
        return faults

    def _tell_unschedulable(self, pod: Json, count: int, reasons: Counter[str]) -> None:
        found = ", ".join(sorted(f"{number} {reason}" for reason, number in reasons.items()))
        words = f"0/{count} nodes are available: {found}. preemption: 0/{count} nodes are available: "
        helps = count - sum(number for reason, number in reasons.items() if reason.startswith(("Insufficient", "Too")))
        words += (
            f"{count} Preemption is not helpful for scheduling."
            if helps > 0
            else (f"{count} No preemption victims found for incoming pod.")
        )
        if not count:
            words = "no nodes available to schedule pods"
        uid = pod["metadata"]["uid"]
        if self._told.get(uid) == words:
            return
        self._told[uid] = words
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": words,
            "lastTransitionTime": moment(dt.datetime.now(dt.UTC)),
        }
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}/status"
        self._rest.patch(path, {"metadata": {"uid": uid}, "status": {"conditions": [condition]}})
        self._tell(pod, "Warning", "FailedScheduling", words)

    def _tell(self, pod: Json, sort: str, reason: str, message: str) -> None:
        event = event_of(pod, sort, reason, message, "default-scheduler")
        self._rest.post(f"/api/v1/namespaces/{pod['metadata']['namespace']}/events", event)


def _importance(pod: Json) -> tuple[int, int]:
    return -(pod["spec"].get("priority") or 0), int(pod["metadata"]["resourceVersion"])


def pod_requests(pod: Json) -> dict[str, Fraction]:
    """What a pod asks of its node: its containers and sidecars together, or the greatest of its init containers."""
    spec = pod["spec"]
    together: dict[str, Fraction] = {}
    highest: dict[str, Fraction] = {}
    for container in spec.get("initContainers") or ():
        for name, value in _requests(container).items():
            if container.get("restartPolicy") == "Always":
                together[name] = together.get(name, Fraction(0)) + value
                highest[name] = max(highest.get(name, Fraction(0)), together[name])
            else:
                highest[name] = max(highest.get(name, Fraction(0)), together.get(name, Fraction(0)) + value)
    for container in spec["containers"]:
        for name, value in _requests(container).items():
            together[name] = together.get(name, Fraction(0)) + value
    names = {*together, *highest}
    return {name: max(together.get(name, Fraction(0)), highest.get(name, Fraction(0))) for name in names}


def _requests(container: Json) -> dict[str, Fraction]:
    resources = container.get("resources") or {}
    found = (resources.get("limits") or {}) | (resources.get("requests") or {})
    return {name: amount(value) or Fraction(0) for name, value in found.items()}


def _node_faults(pod: Json, node: Json) -> list[str]:
    spec, labels = pod["spec"], node["metadata"].get("labels") or {}
    if (node.get("spec") or {}).get("unschedulable"):
        return ["node(s) were unschedulable"]
    if not _takes_pods(node):
        return ["node(s) had untolerated taint {node.kubernetes.io/not-ready: }"]
    for taint in (node.get("spec") or {}).get("taints") or ():
        tolerated = any(_tolerates(one, taint) for one in spec.get("tolerations") or ())
        if taint.get("effect") in ("NoSchedule", "NoExecute") and not tolerated:
            return [f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"]
    wanted = spec.get("nodeSelector") or {}
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    terms = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get("nodeSelectorTerms")
    fits = all(labels.get(name) == value for name, value in wanted.items())
    if terms is not None:
        fits = fits and any(_term_fits(term, labels, node["metadata"]["name"]) for term in terms)
    return [] if fits else ["node(s) didn't match Pod's node affinity/selector"]


def _takes_pods(node: Json) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _tolerates(toleration: Json, taint: Json) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(toleration.get("key")) and toleration.get("value", "") == taint.get("value", "")


def _term_fits(term: Json, labels: dict[str, str], name: str) -> bool:
    fields = term.get("matchFields") or ()
    if any(not _expression_fits(one, {"metadata.name": name}) for one in fields):
        return False
    return all(_expression_fits(one, labels) for one in term.get("matchExpressions") or ())


def _expression_fits(expression: Json, labels: dict[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values") or []
    operator = expression["operator"]
    if operator in ("Gt", "Lt"):
        if value is None or not value.lstrip("-").isdigit():
            return False
        return int(value) > int(values[0]) if operator == "Gt" else int(value) < int(values[0])
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }[operator]
