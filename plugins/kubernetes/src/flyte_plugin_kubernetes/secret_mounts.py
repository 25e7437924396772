"""The secrets of a task as references in its pod: no value passes through here, the cluster puts it in.

A secret ``Secret("db", "password")`` is the key ``password`` of the Kubernetes secret ``db`` in the pod's namespace.
The worker finds it where it looks anyway: in a variable (scheme ``env``) or in a file (scheme ``file``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any, Final

from flytepath.plugin import SecretReference, Tenant

from flyte_plugin_kubernetes.errors import KubernetesNameError
from flyte_plugin_kubernetes.merging import Data, merge
from flyte_plugin_kubernetes.names import data_key, subdomain
from flyte_plugin_kubernetes.settings import KubernetesSettings

SECRETS_FOLDER: Final = "/etc/secrets"
#: Schemes that the cluster can serve; what names another is fetched by the worker itself.
_MOUNTED: Final = frozenset({"", "env", "file"})


def with_secrets(
    spec: Data,
    containers: Sequence[str],
    secrets: Sequence[SecretReference],
    settings: KubernetesSettings,
    tenant: Tenant,
) -> dict[str, Any]:
    """The pod spec with secrets in some of its containers.

    Raises:
        KubernetesNameError: a secret that cannot be one of Kubernetes, or two that share a variable.

    Example:
        >>> spec = {"containers": [{"name": "primary"}]}
        >>> asked = [SecretReference("db", "password")]
        >>> found = with_secrets(spec, ["primary"], asked, KubernetesSettings(), Tenant())
        >>> found["containers"][0]["env"][0]["name"]
        '_FSEC_DB_PASSWORD'
        >>> found["containers"][0]["env"][0]["valueFrom"]
        {'secretKeyRef': {'name': 'db', 'key': 'password'}}
    """
    variables: dict[str, tuple[str, str]] = {}
    files: dict[str, dict[str, str]] = {}
    for reference in secrets:
        mount = reference.scheme or settings.secrets.mount
        if reference.scheme not in _MOUNTED or mount == "none":
            continue
        name, key = _object_and_key(reference, settings, tenant)
        if mount == "env":
            variable = variable_of(reference)
            if variables.setdefault(variable, (name, key)) != (name, key):
                raise KubernetesNameError(
                    f"two secrets of the task would share the variable {variable}",
                    place=f"Secret({reference.label})",
                    hint='hand them over as files: secrets.mount = "file" in [backends.kubernetes]',
                )
        else:
            files.setdefault(name, {})[_path(reference)] = key
    return _mounted(spec, containers, variables, files)


def variable_of(reference: SecretReference) -> str:
    """The variable in which a worker looks for a secret.

    Example:
        >>> variable_of(SecretReference("my-db", "pass.word"))
        '_FSEC_MY_DB_PASS_WORD'
    """
    parts = "_".join(part for part in (reference.group, reference.version, reference.key) if part)
    return "_FSEC_" + re.sub(r"[^A-Za-z0-9]", "_", parts).upper()


def _mounted(
    spec: Data,
    containers: Sequence[str],
    variables: dict[str, tuple[str, str]],
    files: dict[str, dict[str, str]],
) -> dict[str, Any]:
    env: list[dict[str, Any]] = [
        {"name": variable, "value": None, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}
        for variable, (name, key) in variables.items()
    ]
    more: dict[str, Any] = {"env": env} if env else {}
    volumes = []
    if files:
        # The folders are said, so that neither the image nor the task's own variables lead elsewhere.
        env += [
            {"name": "FLYTE_SECRETS_DEFAULT_DIR", "value": SECRETS_FOLDER},
            {"name": "FLYTE_SECRETS_FILE_PREFIX", "value": ""},
        ]
        sources = [
            {"secret": {"name": name, "items": [{"key": key, "path": path} for path, key in items.items()]}}
            for name, items in files.items()
        ]
        tail = hashlib.sha256(repr(sources).encode()).hexdigest()[:10]
        volume = f"flytepath-secrets-{tail}"
        # Readable by all within the pod: the files are of root, and images run as users of their own.
        volumes = [{"name": volume, "projected": {"defaultMode": 0o444, "sources": sources}}]
        more = {"env": env, "volumeMounts": [{"name": volume, "mountPath": SECRETS_FOLDER, "readOnly": True}]}
    if not more:
        return dict(spec)
    found: dict[str, Any] = {"volumes": volumes} if volumes else {}
    for kind in ("initContainers", "containers"):
        named = [c["name"] for c in spec.get(kind, ()) if c["name"] in containers]
        if named:
            found[kind] = [{"name": name, **more} for name in named]
    return merge(spec, found)


def _object_and_key(reference: SecretReference, settings: KubernetesSettings, tenant: Tenant) -> tuple[str, str]:
    rules = settings.secrets
    place = f"Secret({reference.label})"
    template = (rules.versioned_name if reference.version else rules.name) if reference.group else rules.ungrouped
    if not template:
        raise KubernetesNameError(
            "a secret without a group names no Kubernetes secret",
            place=place,
            expected="Secret(group=NAME_OF_THE_KUBERNETES_SECRET, key=...)",
            hint="or say where such secrets are: secrets.ungrouped in [backends.kubernetes]",
        )
    name = template.format(
        group=reference.group, version=reference.version, project=tenant.project, domain=tenant.domain
    )
    hint = "secrets.name in [backends.kubernetes] says how Kubernetes secrets are named after groups"
    return subdomain(name, place, what="name of a Kubernetes secret", hint=hint), data_key(
        reference.key or rules.key, place
    )


def _path(reference: SecretReference) -> str:
    parts = [part for part in (reference.group, reference.version, reference.key) if part]
    if any(part in {".", ".."} or "/" in part for part in parts):
        raise KubernetesNameError(
            f"{reference.label!r} cannot be a file", place=f"Secret({reference.label})", expected="names without '/'"
        )
    return "/".join(parts)
