"""Everything that files and packages define, compiled: what ``register`` and ``package`` take."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from flytepath.authoring.dynamic import DynamicTask
from flytepath.authoring.entity import Entity
from flytepath.authoring.launch_plan import LaunchPlan
from flytepath.authoring.map_task import MapTask
from flytepath.authoring.reference import ReferenceEntity
from flytepath.authoring.task import Task
from flytepath.authoring.workflow import Workflow
from flytepath.bundle import Bundle, collect
from flytepath.cli.loading import Source, load
from flytepath.compiler import compile_entity, compile_launch_plan, compile_task
from flytepath.errors import FlytePathError, UsageError
from flytepath.model.identity import Tenant
from flytepath.model.launch_plan import LaunchPlanSpec
from flytepath.model.literal import canonical_json, sha256
from flytepath.model.task import TaskSpec
from flytepath.model.workflow import NodeSpec, WorkflowSpec

Kind = Literal["task", "workflow", "launch_plan"]
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "build", "dist"})
_ORDER: tuple[Kind, ...] = ("task", "workflow", "launch_plan")


@dataclass(frozen=True, slots=True)
class Compiled:
    """Something to register: its spec, its code, and the graph of a launch plan."""

    kind: Kind
    name: str
    spec: TaskSpec | WorkflowSpec | LaunchPlanSpec
    bundle: Bundle
    graph: WorkflowSpec | None = None

    def digest(self) -> str:
        """The digest of the spec, wherever its large constants lie."""
        return sha256(canonical_json([_placeless(spec_json(part)) for part in (self.spec, self.graph) if part]))


def spec_json(spec: TaskSpec | WorkflowSpec | LaunchPlanSpec) -> Any:
    """A spec as it is kept."""
    return spec.model_dump(mode="json", exclude_defaults=True)


def _placeless(data: Any) -> Any:
    if isinstance(data, dict):
        if data.keys() == {"uri", "digest", "size"}:
            return data["digest"]
        return {key: _placeless(item) for key, item in data.items()}
    return [_placeless(item) for item in data] if isinstance(data, list) else data


def version_of(compiled: Iterable[Compiled]) -> str:
    """The version of a registration that was given none: a digest of all specs and code."""
    parts = sorted([each.kind, each.name, each.digest(), each.bundle.digest] for each in compiled)
    return sha256(canonical_json(parts)).removeprefix("sha256:")[:16]


def gather(paths: Sequence[str], tenant: Tenant, sink: Any, fetch: Any = None) -> list[Compiled]:
    """Load every file, package, folder or module, and compile what it defines.

    Args:
        paths: what was typed.
        tenant: whose policy decides which plugins may be used.
        sink: keeps large constants.
        fetch: finds what references lead to.

    Raises:
        UsageError: nothing is defined, or something is broken; every broken file is in the message.
    """
    sources, errors = _loaded(paths)
    _stop_at(errors)
    entities = _entities(sources)
    if not entities:
        raise UsageError(
            "there is nothing to register",
            place=", ".join(paths),
            expected="at least one @task, @workflow or LaunchPlan at the top level of a module",
        )
    bundles = _bundles(sources)
    compiled: dict[tuple[Kind, str], Compiled] = {}
    for entity, source in entities:
        try:
            each = _compiled(entity, source.root, bundles[source.root], tenant, sink, fetch)
        except FlytePathError as error:
            errors.append(error)
            continue
        known = compiled.get((each.kind, each.name))
        if known is not None and (known.digest(), known.bundle.digest) != (each.digest(), each.bundle.digest):
            errors.append(
                UsageError(
                    f"two different {each.kind.replace('_', ' ')}s are named {each.name}", place=str(source.file)
                )
            )
        compiled[each.kind, each.name] = each
    _stop_at(errors)
    return sorted(compiled.values(), key=lambda each: (_ORDER.index(each.kind), each.name))


def _loaded(paths: Sequence[str]) -> tuple[list[Source], list[FlytePathError]]:
    sources: dict[Path, Source] = {}
    errors: list[FlytePathError] = []
    for given in paths:
        try:
            for where in _files(given):
                try:
                    source = load(where)
                    sources.setdefault(source.file, source)
                except FlytePathError as error:
                    errors.append(error)
        except FlytePathError as error:
            errors.append(error)
    return list(sources.values()), errors


def _files(given: str) -> Iterator[str]:
    """The Python files below a folder, or what was given itself."""
    folder = Path(given)
    if not folder.is_dir():
        yield given
        return
    found = False
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder).parts
        if any(part.startswith(".") or part in _SKIPPED for part in inside[:-1]):
            continue
        if any((parent / "pyvenv.cfg").exists() for parent in path.parents if parent.is_relative_to(folder)):
            continue
        if path.name in ("__main__.py", "setup.py", "conftest.py") or path.name.startswith("test_"):
            continue
        found = True
        yield str(path)
    if not found:
        raise UsageError("there is no Python file in this folder", place=given)


def _entities(sources: Sequence[Source]) -> list[tuple[Entity, Source]]:
    """What the sources define, once each; launch plans also where no variable holds them."""
    from flytepath.authoring.launch_plan import _plans

    found: dict[int, tuple[Entity, Source]] = {}
    roots = {source.root for source in sources}
    for source in sources:
        for entity in vars(source.module).values():
            if isinstance(entity, Entity) and not isinstance(entity, ReferenceEntity | MapTask):
                own = getattr(sys.modules.get(vars(entity).get("__module__", "")), "__file__", None)
                if own is None or any(Path(own).resolve().is_relative_to(root) for root in roots):
                    found.setdefault(id(entity), (entity, source))
    for plan in _plans.values():
        if id(plan.workflow) in found:
            found.setdefault(id(plan), (plan, found[id(plan.workflow)][1]))
    return list(found.values())


def _bundles(sources: Sequence[Source]) -> dict[Path, Bundle]:
    """One bundle for every folder that is imported from."""
    files: dict[Path, dict[str, bytes]] = {}
    seen: set[tuple[Path, str]] = set()
    for source in sources:
        parts = source.file.relative_to(source.root).parts
        place = (source.root, parts[0] if len(parts) > 1 else "")
        if place not in seen:
            seen.add(place)
            files.setdefault(source.root, {}).update(collect(source.file, source.root).files)
    return {root: Bundle.of(content) for root, content in files.items()}


def _compiled(entity: Entity, root: Path, bundle: Bundle, tenant: Tenant, sink: Any, fetch: Any) -> Compiled:
    if isinstance(entity, Task | DynamicTask):
        return Compiled("task", entity.name, compile_task(entity, tenant, sink), bundle)
    if not isinstance(entity, Workflow | LaunchPlan):
        raise UsageError(f"{entity!r} cannot be registered", place=entity.name)
    graph = _portable(compile_entity(entity, tenant, sink, fetch), f"{root}/")
    if isinstance(entity, LaunchPlan):
        return Compiled("launch_plan", entity.name, compile_launch_plan(entity, graph.digest(), sink), bundle, graph)
    return Compiled("workflow", entity.name, graph, bundle)


def _portable(spec: WorkflowSpec, root: str) -> WorkflowSpec:
    """The same spec wherever the code lies: lines of the code are named from the folder it is imported from."""

    def node(each: NodeSpec) -> NodeSpec:
        cases = tuple(case.model_copy(update={"nodes": tuple(map(node, case.nodes))}) for case in each.cases)
        return each.model_copy(update={"line": each.line.removeprefix(root), "cases": cases})

    def graph(each: Any) -> Any:
        handler = None if each.on_failure is None else node(each.on_failure)
        return each.model_copy(update={"nodes": tuple(map(node, each.nodes)), "on_failure": handler})

    changed: WorkflowSpec = graph(spec)
    return changed.model_copy(update={"graphs": {name: graph(inner) for name, inner in spec.graphs.items()}})


def _stop_at(errors: Sequence[FlytePathError]) -> None:
    """Raise what was found: one error as it is, several in one."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        every = "\n".join(f"- {error}" for error in dict.fromkeys(map(str, errors)))
        raise UsageError(f"{len(errors)} things are broken, so nothing is registered:\n{every}")
