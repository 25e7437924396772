"""Who calls the API server, and where it is: a kubeconfig or the pod's own account, read by the official client.

That client goes on as nobody where a credential plugin fails, and only logs why. Here that is the error it is: what
the server would say of nobody leads people to look at their rights.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flytepath.plugin import BackendError, ErrorClass

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

    from flyte_plugin_kubernetes.settings import KubernetesSettings

HINT = "check `kubeconfig`, `context` and `in_cluster`; a credential plugin must run without a terminal"


def client_of(settings: KubernetesSettings) -> ApiClient:
    """The official client of the cluster that the settings name.

    Raises:
        BackendError: there is no such configuration, or its credentials cannot be had.
    """
    from kubernetes import client as api
    from kubernetes import config

    configuration = api.Configuration()
    configuration.connection_pool_maxsize = settings.connections
    with _as_ours():
        if settings.in_cluster or (settings.in_cluster is None and _is_in_cluster(settings)):
            config.load_incluster_config(client_configuration=configuration)
        else:
            config.load_kube_config(
                config_file=_kubeconfig(settings),
                context=settings.context or None,
                client_configuration=configuration,
                persist_config=False,
            )
        return api.ApiClient(configuration)


def headers_of(client: ApiClient) -> dict[str, str]:
    """The headers of a request by this client; credentials that have expired are fetched anew.

    Raises:
        BackendError: they cannot be had.
    """
    headers = {**client.default_headers, "Accept": "application/json"}
    with _as_ours():
        for known in client.configuration.auth_settings().values():
            if known["in"] == "header" and known["value"]:
                headers[known["key"]] = known["value"]
    return headers


def _kubeconfig(settings: KubernetesSettings) -> str:
    """The file, or files, to read, one of which exists."""
    given = os.environ.get("KUBECONFIG", "")
    paths, why = settings.kubeconfig, "`kubeconfig` of the backend's settings"
    if not paths:
        paths, why = (
            (given, "KUBECONFIG") if given else ("~/.kube/config", "neither `kubeconfig` nor KUBECONFIG is set")
        )
    looked = [str(Path(path).expanduser()) for path in paths.split(os.pathsep) if path]
    if not any(Path(path).exists() for path in looked):
        raise _no_credentials(f"there is no kubeconfig at {', '.join(looked)} ({why})")
    return paths


def _is_in_cluster(settings: KubernetesSettings) -> bool:
    """Whether this process is a pod that was told of no other cluster."""
    if settings.kubeconfig or settings.context or os.environ.get("KUBECONFIG"):
        return False
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and not Path("~/.kube/config").expanduser().exists()


class _Listener(logging.Filter):
    """Keeps to itself what the official client logs in this thread of credentials that it could not get."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []
        self._thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.thread != self._thread or record.module != "kube_config" or record.levelno < logging.ERROR:
            return True
        failure = sys.exc_info()[1]
        # With a terminal the client gives it to the plugin, and then trips over having nothing to quote.
        is_on_terminal = isinstance(failure, AttributeError)
        self.heard.append("it has said why on the terminal" if is_on_terminal else record.getMessage())
        return False


@contextmanager
def _as_ours() -> Iterator[None]:
    """Whatever goes wrong with credentials, said or only logged, is raised as one kind of error."""
    root, listener, silent = logging.getLogger(), _Listener(), logging.NullHandler()
    root.addFilter(listener)
    root.addHandler(silent)  # else the first message of all sets up logging for the whole process
    try:
        yield
    except BackendError:
        raise
    except Exception as error:
        raise _no_credentials(f"{type(error).__name__}: {error}") from error
    finally:
        root.removeHandler(silent)
        root.removeFilter(listener)
    if listener.heard:
        raise _no_credentials(f"the credential plugin failed: {listener.heard[-1].removeprefix('exec: ')}")


def _no_credentials(why: str) -> BackendError:
    return BackendError(
        f"no credentials for the cluster: {why}", error_class=ErrorClass.AUTH, accepted=False, hint=HINT
    )


__all__ = ["client_of", "headers_of"]
