"""Where objects of ours may be: the namespaces that settings name, and those that jobs were seen in."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from flytepath.plugin import FlytePathError, Tenant

if TYPE_CHECKING:
    from flyte_plugin_kubernetes.settings import KubernetesSettings

#: In place of a namespace: all of them, which an account may or may not list.
EVERYWHERE: Final = ""
#: How often, at the most, a namespace is looked through for what has been kept long enough.
_SWEEP_SECONDS: Final = 60.0


class Places:
    """The namespaces of one backend.

    Args:
        settings: with the template that names them.
    """

    def __init__(self, settings: KubernetesSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._seen: set[str] = set()
        self._swept: dict[str, float] = {}

    def note(self, namespace: str) -> None:
        """A job of ours is, or was, there."""
        with self._lock:
            self._seen.add(namespace)

    def is_due(self, namespace: str) -> bool:
        """Whether it is time to look there for what has been kept long enough; then somebody has to."""
        now = time.monotonic()
        with self._lock:
            is_due = now - self._swept.get(namespace, -_SWEEP_SECONDS) >= _SWEEP_SECONDS
            if is_due:
                self._swept[namespace] = now
        return is_due

    @property
    def are_known(self) -> bool:
        """Whether all namespaces are known: all tenants have one, or the settings name them."""
        return "{" not in self._settings.namespace or bool(self._settings.namespaces)

    def known(self, tenant: Tenant) -> list[str]:
        """Every namespace that is known to hold jobs of ours."""
        found = set(self._settings.namespaces)
        with suppress(FlytePathError):  # a tenant whose name cannot be part of a namespace's has no jobs
            found.add(self._settings.namespace_of(tenant))
        with self._lock:
            return sorted(found | self._seen)


__all__ = ["EVERYWHERE", "Places"]
