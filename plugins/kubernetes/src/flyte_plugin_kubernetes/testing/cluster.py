"""A cluster for a test: the doubles, or the real API server that ``FLYTEPATH_TEST_KUBECONFIG`` names."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from flyte_plugin_kubernetes.testing.api_server import ApiServer
from flyte_plugin_kubernetes.testing.definitions import definition_files, definitions_folder, read_definitions
from flyte_plugin_kubernetes.testing.garbage_collector import GarbageCollector
from flyte_plugin_kubernetes.testing.job_controller import JobController
from flyte_plugin_kubernetes.testing.kubelet import Kubelet
from flyte_plugin_kubernetes.testing.our_nodes import (
    DEFINITIONS,
    has_own_nodes,
    our_labels,
    remove_namespace,
    remove_what_was_left,
)
from flyte_plugin_kubernetes.testing.rest import Rest, RestRefusal
from flyte_plugin_kubernetes.testing.scheduler import Scheduler

Json = dict[str, Any]
T = TypeVar("T")

#: Names the kubeconfig of a real cluster.
KUBECONFIG_VARIABLE = "FLYTEPATH_TEST_KUBECONFIG"
#: Names an image that holds flytepath and this plugin, for clusters that run containers.
IMAGE_VARIABLE = "FLYTEPATH_TEST_IMAGE"
NO_CLUSTER = f"{KUBECONFIG_VARIABLE} names no cluster"

#: Who plays the nodes of a cluster, by its kubeconfig: one set of doubles serves all homes of a process.
_players: dict[Path, ClusterHome] = {}


class ClusterHome:
    """What tests of one run share: the server, and the doubles of node and controllers where these are ours.

    Args:
        kubeconfig: of a real API server; ``None``: the double.
    """

    def __init__(self, kubeconfig: Path | None = None) -> None:
        self.server: ApiServer | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="cluster-"))
        if kubeconfig is None:
            self.server = ApiServer()
            kubeconfig = self.server.kubeconfig(self._folder / "kubeconfig")
        self.kubeconfig = kubeconfig
        self.rest = Rest.of_kubeconfig(kubeconfig)
        self.kubelet: Kubelet | None = None
        self.scheduler: Scheduler | None = None
        self.jobs: JobController | None = None
        self.collector: GarbageCollector | None = None
        try:
            #: Whether nodes of the cluster's own run the containers; doubles are none, whoever plays them.
            self.has_nodes = has_own_nodes(self.rest)
        except OSError as error:
            self.close()
            raise ConnectionError(f"the API server that {kubeconfig} names gives no answer: {error}") from error
        except BaseException:
            self.close()
            raise
        player = _players.get(kubeconfig.resolve())
        if player is not None:
            self.kubelet, self.scheduler = player.kubelet, player.scheduler
            self.jobs, self.collector = player.jobs, player.collector
        elif not self.has_nodes:
            _players[kubeconfig.resolve()] = self
            if self.server is None:
                remove_what_was_left(self.rest)
            self.kubelet = Kubelet(self.rest).start()
            self.scheduler = Scheduler(self.rest).start()
            self.jobs = JobController(self.rest).start()
            if self.server is None:
                self.collector = GarbageCollector(self.rest).start()

    def reset(self) -> None:
        """Makes the doubles as they were at first."""
        if self.server is not None:
            self.server.reset()
        if self.kubelet is not None:
            self.kubelet.reset()
        if self.scheduler is not None and self.kubelet is not None:
            self.scheduler.wait_for_node(self.kubelet.name)
        if self.jobs is not None:
            self.jobs.errors.clear()

    def close(self) -> None:
        """Ends the doubles."""
        if _players.get(self.kubeconfig.resolve()) is self:
            del _players[self.kubeconfig.resolve()]
            for double in (self.collector, self.jobs, self.scheduler, self.kubelet):
                if double is not None:
                    double.stop()
        self.rest.close()
        if self.server is not None:
            self.server.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class Cluster:
    """One test's view of a cluster, with a namespace of its own.

    Args:
        home: what it shares with other tests.
    """

    def __init__(self, home: ClusterHome) -> None:
        self._home = home
        self.rest = home.rest
        self.kubeconfig = home.kubeconfig
        self.kubelet = home.kubelet
        self.jobs = home.jobs
        self._namespaces: list[str] = []
        self.namespace = self.create_namespace()

    # -- What it is

    @property
    def real(self) -> bool:
        """Whether the API server is no double."""
        return self._home.server is None

    @property
    def version(self) -> tuple[int, int]:
        """Of Kubernetes: the numbers of a server's minor version, such as ``(1, 33)``."""
        told = self.rest.get("/version")
        return int(told["major"]), int(told["minor"].rstrip("+"))

    def needs(self, version: tuple[int, int], what: str) -> None:
        """Skips the test where the server is older than the version that first has something by default."""
        if self.version < version:
            has, wanted = (".".join(map(str, one)) for one in (self.version, version))
            pytest.skip(f"{what}: since Kubernetes {wanted}, and this server is {has}")

    @property
    def has_kubelet(self) -> bool:
        """Whether something runs containers; always so: nodes of its own, or the double."""
        return self._home.has_nodes or self.kubelet is not None

    @property
    def needs_worker_image(self) -> bool:
        """Whether containers come from images, and are not processes of this machine."""
        return self._home.has_nodes

    def worker_image(self) -> str:
        """An image with flytepath; the test is skipped where a real cluster needs one and none is named."""
        named = os.environ.get(IMAGE_VARIABLE, "")
        if self.needs_worker_image and not named:
            pytest.skip(f"{IMAGE_VARIABLE} names no image with flytepath for this cluster's nodes")
        return named or "flytepath-worker:test"

    def shell_image(self) -> str:
        """An image with a shell."""
        return "busybox:1.36"

    def double(self) -> ApiServer:
        """The API server double, for its levers; the test is skipped on a real cluster."""
        if self._home.server is None:
            pytest.skip("only the API server double has this lever")
        return self._home.server

    def node(self) -> Kubelet:
        """The kubelet double, for its levers; the test is skipped where the cluster's own nodes run the pods."""
        if self.kubelet is None:
            pytest.skip("only the kubelet double has this lever")
        return self.kubelet

    # -- Clients

    def configuration(self) -> Any:
        """A ``kubernetes.client.Configuration``."""
        from kubernetes import client, config

        made = client.Configuration()
        config.load_kube_config(config_file=str(self.kubeconfig), client_configuration=made)
        return made

    def client(self) -> Any:
        """An ``ApiClient``; the test closes it."""
        from kubernetes import client

        return client.ApiClient(self.configuration())

    # -- What a test lays down

    def create_namespace(self, name: str | None = None) -> str:
        """A namespace that is gone after the test, with the service account ``default``."""
        made = name or f"test-{uuid.uuid4().hex[:10]}"
        self.rest.post("/api/v1/namespaces", {"metadata": {"name": made, "labels": our_labels()}})
        self._namespaces.append(made)
        accounts = f"/api/v1/namespaces/{made}/serviceaccounts"
        if not self._home.has_nodes:
            try:
                self.rest.post(accounts, {"metadata": {"name": "default"}})
            except RestRefusal as refusal:
                if refusal.reason != "AlreadyExists":
                    raise
        else:
            self.wait(lambda: self.find(f"{accounts}/default"), "the service account of the namespace")
        return made

    def install_definitions(self, *groups: str, beside: Path | None = None) -> list[str]:
        """Installs the CustomResourceDefinitions of API groups, where the cluster has them not; gives their names.

        The test is skipped where no folder of definitions is found.
        """
        folder = definitions_folder(beside)
        files = [] if folder is None else definition_files(folder, *groups)
        if not files:
            pytest.skip(f"no CustomResourceDefinitions of {', '.join(groups)}: FLYTEPATH_TEST_CRDS names no folder")
        names = []
        for file in files:
            if self._home.server is not None:
                self._home.server.install(file)
            for definition in read_definitions(file):
                name = definition["metadata"]["name"]
                names.append(name)
                if self.find(f"{DEFINITIONS}/{name}") is None:
                    self.rest.post(DEFINITIONS, definition)
        self._collect_from(files)
        for name in names:
            self.wait(functools.partial(self._established, name), f"{name} to be served")
        return names

    def _collect_from(self, files: list[Path]) -> None:
        if self._home.collector is None:
            return
        for definition in (one for file in files for one in read_definitions(file)):
            spec = definition["spec"]
            served = next(one["name"] for one in spec["versions"] if one["served"])
            self.wait(functools.partial(self._established, definition["metadata"]["name"]), "a resource to be served")
            self._home.collector.follow(f"/apis/{spec['group']}/{served}", spec["names"]["plural"])

    def _established(self, name: str) -> bool:
        found = self.find(f"{DEFINITIONS}/{name}") or {}
        conditions = (found.get("status") or {}).get("conditions") or ()
        return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)

    # -- Looking

    def find(self, path: str) -> Json | None:
        """An object, or nothing where it is not there."""
        try:
            return self.rest.get(path)
        except RestRefusal as refusal:
            if refusal.code == 404:
                return None
            raise

    def pod(self, name: str) -> Json | None:
        """A pod of the test's namespace."""
        return self.find(f"/api/v1/namespaces/{self.namespace}/pods/{name}")

    def pods(self, selector: str = "") -> list[Json]:
        """The pods of the test's namespace."""
        found = self.rest.get(f"/api/v1/namespaces/{self.namespace}/pods", labelSelector=selector or None)
        items: list[Json] = found["items"]
        return items

    def wait(self, look: Callable[[], T | None], what: str, seconds: float = 30.0) -> T:
        """Looks until something is found.

        Raises:
            AssertionError: it was not, in time.
        """
        deadline = time.monotonic() + (seconds * 10 if self._home.has_nodes else seconds)
        while True:
            found = look()
            if found:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {seconds} s in vain for {what}")
            time.sleep(0.01 if self.server_is_near else 0.2)

    @property
    def server_is_near(self) -> bool:
        """Whether looking often costs little."""
        return not self._home.has_nodes

    # -- The end

    def clean(self) -> None:
        """Removes what the test made."""
        if self._home.server is not None:
            self._home.reset()
            return
        for namespace in self._namespaces:
            remove_namespace(self.rest, namespace, has_nodes=self._home.has_nodes)
        if self.jobs is not None:
            self.jobs.errors.clear()
        if self.kubelet is not None:
            self.kubelet.reset()
