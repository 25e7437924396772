"""Archives of compiled code: written the same byte for byte from the same content, and read without importing it."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from flytepath import __version__
from flytepath.bundle import Bundle
from flytepath.cli.gathering import Compiled, spec_json
from flytepath.errors import FlytePathError, UsageError
from flytepath.model.identity import Identity
from flytepath.model.launch_plan import LaunchPlanSpec
from flytepath.model.literal import canonical_json, sha256
from flytepath.model.task import TaskSpec
from flytepath.model.workflow import WorkflowSpec

FORMAT = 1
#: What an archive may hold when it is unpacked.
SIZE_LIMIT = 1024 * 1024 * 1024
_SPECS: dict[str, Any] = {"task": TaskSpec, "workflow": WorkflowSpec, "launch_plan": LaunchPlanSpec}


def write_archive(compiled: Sequence[Compiled], constants: Mapping[str, bytes], version: str) -> bytes:
    """The archive of what was compiled.

    Args:
        compiled: specs with their bundles.
        constants: the content of large constants, by digest.
        version: what it is registered as unless somebody says otherwise.
    """
    members: dict[str, bytes] = {}
    rows = []
    for each in compiled:
        row = {"kind": each.kind, "name": each.name, "bundle": each.bundle.digest, "spec": _add(members, each.spec)}
        if each.graph is not None:
            row["graph"] = _add(members, each.graph)
        rows.append(row)
        for path, content in each.bundle.files.items():
            members[f"bundles/{_hex(each.bundle.digest)}/{path}"] = content
    for digest, content in constants.items():
        members[f"constants/{_hex(digest)}"] = content
    manifest = {"format": FORMAT, "flytepath": __version__, "version": version, "entities": rows}
    members["manifest.json"] = json.dumps(manifest, indent=1, sort_keys=True).encode() + b"\n"
    return _packed(members)


def _add(members: dict[str, bytes], spec: Any) -> str:
    content = canonical_json(spec_json(spec))
    digest = sha256(content)
    members[f"specs/{_hex(digest)}.json"] = content
    return digest


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _packed(members: Mapping[str, bytes]) -> bytes:
    """A tar.gz of which nothing depends on the time, the user or the order in which files were found."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(members):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(members[name]), 0o644, 0
            archive.addfile(entry, io.BytesIO(members[name]))
    out = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=out, mode="wb", mtime=0, compresslevel=6) as packed:
        packed.write(raw.getvalue())
    return out.getvalue()


def read_archive(path: Path, sink: Any) -> tuple[list[Compiled], str]:
    """What an archive holds, and the version it was packaged as; large constants go to ``sink``.

    Raises:
        UsageError: it is no archive of ours, or damaged; nothing was kept then but constants.
    """
    members = _unpacked(path)
    try:
        manifest = json.loads(members["manifest.json"])
        if manifest["format"] > FORMAT:
            raise UsageError(
                "this archive was written by a newer version",
                place=str(path),
                expected=f"format {FORMAT}",
                actual=f"format {manifest['format']}, flytepath {manifest.get('flytepath')}",
                hint="pip install -U flytepath",
            )
        places = _kept(members, sink)
        bundles = _bundles(members)
        compiled = [_entity(row, members, bundles, places) for row in manifest["entities"]]
        version = manifest["version"]
        Identity("p", "d", "n", version)
    except FlytePathError as error:
        error.place = error.place or str(path)
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    return compiled, version


def _unpacked(path: Path) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    total = 0
    try:
        with tarfile.open(path, mode="r:gz") as archive:
            for entry in archive:
                name = PurePosixPath(entry.name)
                if not entry.isfile() or name.is_absolute() or ".." in name.parts or "\\" in entry.name:
                    raise _damaged(path, f"it holds {entry.name!r}, which is no plain file inside it")
                total += entry.size
                if total > SIZE_LIMIT:
                    raise _damaged(path, f"it unpacks to more than {SIZE_LIMIT} bytes")
                content = archive.extractfile(entry)
                members[entry.name] = content.read() if content is not None else b""
    except OSError as error:
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise UsageError("the archive cannot be read", place=str(path), actual=str(error)) from error
        raise _damaged(path, str(error)) from error
    except (tarfile.TarError, EOFError) as error:
        raise _damaged(path, str(error)) from error
    return members


def _kept(members: Mapping[str, bytes], sink: Any) -> dict[str, Any]:
    places = {}
    for name, content in members.items():
        if name.startswith("constants/"):
            digest = f"sha256:{name.removeprefix('constants/')}"
            if sha256(content) != digest:
                raise ValueError(f"{name} is not what it was")
            places[digest] = sink.put(content).to_json()
    return places


def _bundles(members: Mapping[str, bytes]) -> dict[str, Bundle]:
    files: dict[str, dict[str, bytes]] = {}
    for name, content in members.items():
        if name.startswith("bundles/"):
            _, digest, path = name.split("/", 2)
            files.setdefault(f"sha256:{digest}", {})[path] = content
    bundles = {digest: Bundle.of(inside) for digest, inside in files.items()}
    for digest, bundle in bundles.items():
        if bundle.digest != digest:
            raise ValueError(f"the code bundle {digest} is not what it was")
    return bundles


def _entity(
    row: Mapping[str, Any], members: Mapping[str, bytes], bundles: Mapping[str, Bundle], places: Mapping[str, Any]
) -> Compiled:
    graph = WorkflowSpec.model_validate(_spec(row["graph"], members, places)) if "graph" in row else None
    spec = _SPECS[row["kind"]].model_validate(_spec(row["spec"], members, places))
    if graph is not None:
        spec = spec.model_copy(update={"spec": graph.digest()})
    return Compiled(row["kind"], spec.name, spec, bundles[row["bundle"]], graph)


def _spec(digest: str, members: Mapping[str, bytes], places: Mapping[str, Any]) -> Any:
    content = members[f"specs/{_hex(digest)}.json"]
    if sha256(content) != digest:
        raise ValueError(f"the spec {digest} is not what it was")
    return _placed(json.loads(content), places)


def _placed(data: Any, places: Mapping[str, Any]) -> Any:
    """Specs whose large constants lie where they were put."""
    if isinstance(data, dict):
        if data.keys() == {"uri", "digest", "size"} and data["digest"] in places:
            return places[data["digest"]]
        return {key: _placed(item, places) for key, item in data.items()}
    return [_placed(item, places) for item in data] if isinstance(data, list) else data


def _damaged(path: Path, said: str) -> UsageError:
    return UsageError(
        "this is no archive of `flytepath package`, or it is damaged",
        place=str(path),
        actual=said[:300],
        hint="write it again with `flytepath package`",
    )
