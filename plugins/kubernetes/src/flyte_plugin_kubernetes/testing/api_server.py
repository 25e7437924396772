"""An API server of Kubernetes for tests: one process, one thread per connection, everything in memory.

It is spoken to by any client over HTTP on the loopback interface. What it keeps to is the behaviour that a client can
see; what it leaves out is said in the package's page on testing.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from flyte_plugin_kubernetes.testing.access import Access, Admission, Ask, Denied, Fault
from flyte_plugin_kubernetes.testing.kinds import CRD, NAMESPACE
from flyte_plugin_kubernetes.testing.object_store import ObjectStore
from flyte_plugin_kubernetes.testing.objects import Objects

Json = dict[str, Any]

_NAMESPACES = ("default", "kube-system", "kube-node-lease")


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    api: ApiServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is none of the server's errors; others are kept for the test to see."""
        import sys

        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError) and error is not None:
            self.api.errors.append(error)


class ApiServer:
    """The double of a kube-apiserver.

    Args:
        token: what the client of :meth:`client` and :meth:`kubeconfig` show.
        collects: what an object owned is deleted after it, by the server itself; a real one leaves it to a controller.

    Example:
        >>> with ApiServer() as server:
        ...     core = server.core()
        ...     [one.metadata.name for one in core.list_namespace().items]
        ['default', 'kube-node-lease', 'kube-system']
    """

    def __init__(self, token: str = "admin-token", *, collects: bool = True) -> None:
        from flyte_plugin_kubernetes.testing.http_requests import Handler

        self.token = token
        self.objects = Objects(ObjectStore(), collects=collects)
        self.access = Access()
        #: Every request since the last reset.
        self.requests: list[Ask] = []
        #: What went wrong in the server itself: a test may want it empty.
        self.errors: list[BaseException] = []
        #: Logs of containers that no kubelet runs, by namespace, pod and container.
        self.given_logs: dict[tuple[str, str, str], str] = {}
        #: Set when what is slow need not be so any longer.
        self.hurry = threading.Event()
        self._clients: list[Any] = []
        self._definitions: dict[str, Json] = {}
        self._http = _Http(("127.0.0.1", 0), Handler)
        self._http.api = self
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, name="api-server", daemon=True
        )
        self._thread.start()
        self.reset()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> ApiServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends every watch and the server."""
        self.hurry.set()
        self.objects.store.end_watches()
        for client in self._clients:
            client.close()
            client.rest_client.pool_manager.clear()
        self._clients.clear()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(timeout=5)

    def reset(self, *, definitions: bool = False) -> None:
        """As just started: no objects but three namespaces, no users, faults or remembered requests.

        Args:
            definitions: forget the CustomResourceDefinitions too.
        """
        self.hurry.set()
        self.hurry = threading.Event()
        self.access.clear()
        self.access.user("system:admin", self.token, None)
        self.given_logs.clear()
        self.errors.clear()
        store = self.objects.store
        with store.changed:
            store.clear()
            self.objects.forget_definitions()
            if definitions:
                self._definitions.clear()
            for name in _NAMESPACES:
                self.objects.create(NAMESPACE, "", {"metadata": {"name": name}})
            for definition in self._definitions.values():
                self.objects.create(CRD, "", definition)
            self.requests.clear()

    # -- Clients

    def configuration(self, token: str | None = None) -> Any:
        """A ``kubernetes.client.Configuration`` for this server."""
        from kubernetes import client

        made = client.Configuration()
        made.host = self.url
        made.api_key = {"authorization": f"Bearer {token or self.token}"}
        made.no_proxy = "*"
        return made

    def client(self, user: str | None = None, rules: Iterable[Json] | None = None) -> Any:
        """An ``ApiClient``; of a user of its own, where one is named, who may do what ``rules`` allow.

        Args:
            rules: the rules of a Role, or with ``namespaces``; see :class:`Access`.
        """
        from kubernetes import client

        token = self.token if user is None else self.add_user(user, rules)
        made = client.ApiClient(self.configuration(token))
        self._clients.append(made)
        return made

    def core(self) -> Any:
        """A ``CoreV1Api``."""
        from kubernetes import client

        return client.CoreV1Api(self.client())

    def batch(self) -> Any:
        """A ``BatchV1Api``."""
        from kubernetes import client

        return client.BatchV1Api(self.client())

    def custom(self) -> Any:
        """A ``CustomObjectsApi``."""
        from kubernetes import client

        return client.CustomObjectsApi(self.client())

    def kubeconfig(self, path: Path, *, token: str | None = None, namespace: str = "default") -> Path:
        """Writes a kubeconfig file; gives its path."""
        cluster = {"name": "double", "cluster": {"server": self.url}}
        user = {"name": "double", "user": {"token": token or self.token}}
        context = {"name": "double", "context": {"cluster": "double", "user": "double", "namespace": namespace}}
        body = {"apiVersion": "v1", "kind": "Config", "current-context": "double"}
        whole = body | {"clusters": [cluster], "users": [user], "contexts": [context]}
        path.write_text(json.dumps(whole), encoding="utf-8")
        return path

    def add_user(self, name: str, rules: Iterable[Json] | None = None) -> str:
        """Adds a user; gives the token."""
        token = f"token-of-{name}"
        self.access.user(name, token, rules)
        return token

    # -- What a test lays down

    def install(self, *definitions: Json | Path) -> None:
        """Installs CustomResourceDefinitions, as objects or from files of YAML; they outlive :meth:`reset`."""
        from flyte_plugin_kubernetes.testing.definitions import read_definitions

        for definition in definitions:
            found = read_definitions(definition) if isinstance(definition, Path) else [definition]
            for one in found:
                name = one["metadata"]["name"]
                self._definitions[name] = one
                if self.objects.store.get(CRD.resource, "", name) is None:
                    self.objects.create(CRD, "", one)

    def create_namespace(self, name: str) -> str:
        """A namespace; gives its name."""
        self.objects.create(NAMESPACE, "", {"metadata": {"name": name}})
        return name

    def admit(self, function: Admission, webhook: str = "policy.example.com") -> None:
        """Adds an admission function; its refusals name the webhook."""
        self.access.admission.append((webhook, function))

    def exhaust_quota(self, name: str = "compute", *, resource: str = "pods", namespace: str | None = None) -> None:
        """Refuses every new object of a resource, as the quota of a namespace does that is used up."""

        def refuse(verb: str, item: Json) -> Denied | None:
            kind = self.objects.kind_of_resource(resource)
            meant = kind is not None and item.get("kind") == kind.kind
            if verb != "CREATE" or not meant or namespace not in (None, item["metadata"].get("namespace")):
                return None
            title = item["metadata"].get("name", "")
            text = f'{resource} "{title}" is forbidden: exceeded quota: {name}, requested: pods=1, used: pods=1, '
            return Denied(f"{text}limited: pods=1")

        self.access.admission.append(("", refuse))

    # -- What goes wrong

    def fault(self, fault: Fault) -> Fault:
        """Adds a fault; see :class:`Fault`."""
        self.access.faults.append(fault)
        return fault

    def throttle(
        self, *, retry_after: int = 1, times: int | None = 1, verb: str | None = None, resource: str | None = None
    ) -> Fault:
        """Answers with 429."""
        words = "the server has received too many requests and has asked us to try again later"
        fault = Fault("status", verb, resource, times, 429, "TooManyRequests", words, retry_after)
        return self.fault(fault)

    def unavailable(self, *, times: int | None = 1, verb: str | None = None, resource: str | None = None) -> Fault:
        """Answers with 503."""
        words = "the server is currently unable to handle the request"
        return self.fault(Fault("status", verb, resource, times, 503, "ServiceUnavailable", words))

    def fail(self, *, times: int | None = 1, verb: str | None = None, resource: str | None = None) -> Fault:
        """Answers with 500."""
        return self.fault(Fault("status", verb, resource, times))

    def cut_before(self, *, times: int | None = 1, verb: str | None = None, resource: str | None = None) -> Fault:
        """Ends the connection, with nothing done."""
        return self.fault(Fault("cut_before", verb, resource, times))

    def cut_after(self, *, times: int | None = 1, verb: str | None = None, resource: str | None = None) -> Fault:
        """Does what was asked, and ends the connection without an answer."""
        return self.fault(Fault("cut_after", verb, resource, times))

    def slow(
        self, seconds: float, *, times: int | None = 1, verb: str | None = None, resource: str | None = None
    ) -> Fault:
        """Answers later."""
        return self.fault(Fault("slow", verb, resource, times, seconds=seconds))

    def compact(self) -> None:
        """Forgets history: a watch that begins earlier is told 410, and so is a list's next page."""
        self.objects.store.forget_history()

    def end_watches(self) -> None:
        """Ends every open watch."""
        self.objects.store.end_watches()

    def asked(self, verb: str | None = None, resource: str | None = None) -> list[Ask]:
        """The requests since the last reset, of a verb and a resource."""
        return [ask for ask in list(self.requests) if verb in (None, ask.verb) and resource in (None, ask.resource)]

    @contextlib.contextmanager
    def counting(self) -> Iterator[list[Ask]]:
        """The requests made inside, in the list that is given, once it has ended."""
        begin, found = len(self.requests), list[Ask]()
        yield found
        found += self.requests[begin:]
