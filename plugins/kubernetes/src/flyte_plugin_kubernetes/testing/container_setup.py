"""From a container's spec to a command, an environment and folders of this machine.

There is no file system of its own: what a container mounts lies in scratch folders, and every mount path in the
command, the arguments, the working directory and the values of variables is replaced by its folder. Paths that a
program holds in itself are not.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flyte_plugin_kubernetes.testing.amounts import amount
from flyte_plugin_kubernetes.testing.images import Images
from flyte_plugin_kubernetes.testing.rest import Rest, RestRefusal

Json = dict[str, Any]

_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")
_PYTHON = re.compile(r"^(/usr(/local)?/bin/)?python(3(\.\d+)?)?$")


class NotReady(Exception):
    """What a container needs is not there (yet).

    Args:
        reason: of the waiting state.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Launch:
    """What is started for a container."""

    command: list[str]
    env: dict[str, str]
    folder: Path
    memory_limit: int | None


class PodFolders:
    """The scratch folders of one pod's volumes.

    Args:
        root: of the pod.
        claims: where volumes lie that outlive pods.
    """

    def __init__(self, rest: Rest, pod: Json, root: Path, claims: Path) -> None:
        self._rest = rest
        self._pod = pod
        self._root = root
        self._claims = claims
        self._folders: dict[str, Path] = {}

    def make(self) -> None:
        """Makes and fills them.

        Raises:
            NotReady: a secret or a config map is missing.
        """
        for volume in self._pod["spec"].get("volumes") or ():
            self._folders[volume["name"]] = self._volume(volume)

    def _volume(self, volume: Json) -> Path:
        name = volume["name"]
        folder: Path = self._root / "volumes" / name
        if volume.get("hostPath"):
            return Path(str(volume["hostPath"]["path"]))
        if volume.get("persistentVolumeClaim"):
            namespace = self._pod["metadata"]["namespace"]
            folder = self._claims / namespace / volume["persistentVolumeClaim"]["claimName"]
        folder.mkdir(parents=True, exist_ok=True)
        sources = [volume, *((volume.get("projected") or {}).get("sources") or ())]
        for source in sources:
            self._fill(folder, name, source)
        return folder

    def _fill(self, folder: Path, volume: str, source: Json) -> None:
        files: dict[str, bytes] = {}
        for sort, plural in (("secret", "secrets"), ("configMap", "configmaps")):
            about = source.get(sort)
            if about:
                name = about.get("secretName") or about.get("name", "")
                found = read_data(self._rest, self._pod["metadata"]["namespace"], plural, name)
                # What a real server mounts into every pod comes from a controller that may not run.
                wanted = not about.get("optional") and not volume.startswith("kube-api-access-")
                if found is None and wanted:
                    words = f'MountVolume.SetUp failed for volume "{volume}" : {sort.lower()} "{name}" not found'
                    raise NotReady("ContainerCreating", words)
                files |= _chosen(found or {}, about.get("items"))
        for item in (source.get("downwardAPI") or {}).get("items") or ():
            files[item["path"]] = field_of(self._pod, (item.get("fieldRef") or {}).get("fieldPath", "")).encode()
        for path, content in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    def mounts(self, container: Json) -> dict[str, Path]:
        """The folders of a container's mounts, by mount path; the longest first."""
        found = {}
        for mount in container.get("volumeMounts") or ():
            folder = self._folders[mount["name"]]
            part = mount.get("subPath")
            if part:
                folder /= part
                if not folder.exists():
                    folder.mkdir(parents=True, exist_ok=True)
            path = mount["mountPath"].rstrip("/") or "/"
            # What is there on every machine is used as it is.
            if path != "/dev/shm":
                found[path] = folder
        return dict(sorted(found.items(), key=lambda pair: -len(pair[0])))


def _chosen(found: dict[str, bytes], items: list[Json] | None) -> dict[str, bytes]:
    if items is None:
        return found
    return {item["path"]: found[item["key"]] for item in items if item["key"] in found}


def read_data(rest: Rest, namespace: str, plural: str, name: str) -> dict[str, bytes] | None:
    """The data of a Secret or ConfigMap; ``None`` where it is not there."""
    try:
        found = rest.get(f"/api/v1/namespaces/{namespace}/{plural}/{name}")
    except RestRefusal as refusal:
        if refusal.code == 404:
            return None
        raise
    if plural == "secrets":
        return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
    return {key: value.encode() for key, value in (found.get("data") or {}).items()}


def field_of(pod: Json, path: str) -> str:
    """What the downward API gives for a field.

    Example:
        >>> field_of({"metadata": {"labels": {"app": "web"}}}, "metadata.labels['app']")
        'web'
    """
    keyed = re.match(r"^metadata\.(labels|annotations)\['(.+)'\]$", path)
    if keyed:
        return str((pod["metadata"].get(keyed[1]) or {}).get(keyed[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        found = pod["metadata"].get(path.rpartition(".")[2]) or {}
        return "\n".join(f"{key}={json.dumps(value)}" for key, value in sorted(found.items()))
    here: Any = pod
    for name in path.split("."):
        here = here.get(name, "") if isinstance(here, dict) else ""
    return str(here)


def launch_of(
    rest: Rest, pod: Json, container: Json, folders: PodFolders, images: Images, base: Mapping[str, str], home: Path
) -> Launch:
    """What is started for a container.

    Args:
        base: variables every container has.
        home: its scratch folder: where it starts, unless it says otherwise.

    Raises:
        NotReady: a variable comes from what is not there.
        FileNotFoundError: the image has no such command.
    """
    mounts = folders.mounts(container)

    def local(text: str) -> str:
        for path, folder in mounts.items():
            there = str(folder).replace("\\", r"\\")
            text = re.sub(rf"(?<![\w./-]){re.escape(path)}(?=/|$|[^\w.-])", there, text)
        return text

    declared = _variables(rest, pod, container)
    env = dict(base) | {"HOSTNAME": pod["spec"].get("hostname") or pod["metadata"]["name"], "HOME": str(home)}
    env |= {name: local(value) for name, value in declared.items()}

    def expanded(text: str) -> str:
        return _expanded(text, declared.get)

    command = [local(expanded(word)) for word in container.get("command") or ()]
    arguments = [local(expanded(word)) for word in container.get("args") or ()]
    if not command:
        command = list(images.entrypoints.get(container["image"], []))
    if not command:
        raise FileNotFoundError("no command specified")
    words = [*command, *arguments]
    if _PYTHON.match(words[0]):
        if container["image"] in images.without_python:
            raise FileNotFoundError(f'exec: "{words[0]}": executable file not found in $PATH')
        words[0] = sys.executable
    folder = home
    if container.get("workingDir"):
        folder = Path(local(container["workingDir"]))
        if not folder.is_dir():
            # In a container it would be made; on this machine only below the pod's folder.
            folder = home / container["workingDir"].lstrip("/")
            folder.mkdir(parents=True, exist_ok=True)
    limit = amount(((container.get("resources") or {}).get("limits") or {}).get("memory", ""))
    return Launch(words, env, folder, None if limit is None else int(limit))


def _expanded(text: str, known: Callable[[str], str | None]) -> str:
    def one(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        value = known(found[1])
        return found[0] if value is None else value

    return _REFERENCE.sub(one, text)


def _variables(rest: Rest, pod: Json, container: Json) -> dict[str, str]:
    found: dict[str, str] = {}
    namespace = pod["metadata"]["namespace"]
    for source in container.get("envFrom") or ():
        for sort, plural in (("secretRef", "secrets"), ("configMapRef", "configmaps")):
            about = source.get(sort)
            if about:
                data = read_data(rest, namespace, plural, about["name"])
                if data is None and not about.get("optional"):
                    raise NotReady("CreateContainerConfigError", f'{plural[:-1]} "{about["name"]}" not found')
                prefix = source.get("prefix", "")
                found |= {f"{prefix}{key}": value.decode() for key, value in (data or {}).items()}
    for variable in container.get("env") or ():
        origin = variable.get("valueFrom")
        if origin:
            value = _value_from(rest, pod, container, origin)
            if value is not None:
                found[variable["name"]] = value
        else:
            found[variable["name"]] = _expanded(variable.get("value") or "", found.get)
    return found


def _value_from(rest: Rest, pod: Json, container: Json, origin: Json) -> str | None:
    namespace = pod["metadata"]["namespace"]
    for sort, plural in (("secretKeyRef", "secrets"), ("configMapKeyRef", "configmaps")):
        about = origin.get(sort)
        if about:
            data = read_data(rest, namespace, plural, about["name"])
            if data is not None and about["key"] in data:
                return data[about["key"]].decode()
            if about.get("optional"):
                return None
            words = f'{plural[:-1]} "{about["name"]}" not found'
            if data is not None:
                title = "Secret" if plural == "secrets" else "ConfigMap"
                words = f"couldn't find key {about['key']} in {title} {namespace}/{about['name']}"
            raise NotReady("CreateContainerConfigError", words)
    if origin.get("fieldRef"):
        return field_of(pod, origin["fieldRef"]["fieldPath"])
    about = origin.get("resourceFieldRef") or {}
    side, _, name = about.get("resource", "").partition(".")
    value = amount(((container.get("resources") or {}).get(side) or {}).get(name, "")) or amount(
        {"cpu": os.cpu_count() or 1, "memory": 2**30}.get(name, 0)
    )
    step = amount(about.get("divisor") or "1") or 1
    return str(-(-(value or 0) // step))


def base_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """What every container finds: what a program needs on this machine, and nothing of the test's own variables."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    kept = ("LANG", "LC_ALL", "TZ", "JAVA_HOME", "LD_LIBRARY_PATH", "SYSTEMROOT")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"PATH": path} | dict(extra)
