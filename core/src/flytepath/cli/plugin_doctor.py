"""What doctor looks at: requirements, references, cost and conflicts of every plugin, none of which may hang it."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flytepath.plugin.manager import PluginManager, PluginRecord
    from flytepath.plugin.policy import Policy

Json = Any
_AT_ONCE = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is known of one plugin's health. ``problems`` are what makes an enabled plugin broken."""

    name: str
    distribution: str
    version: str
    state: str
    contract: str
    import_seconds: float | None
    heavy_imports: tuple[str, ...]
    requirements: tuple[tuple[str, str], ...]
    conflicts: tuple[str, ...]
    cause: str
    hint: str
    problems: tuple[tuple[str, str], ...]

    @property
    def broken(self) -> bool:
        """Whether somebody should do something."""
        return bool(self.problems)

    def to_json(self) -> dict[str, Json]:
        """Plain data."""
        return {
            **dataclasses.asdict(self),
            "requirements": [{"requirement": text, "installed": found} for text, found in self.requirements],
            "problems": [{"problem": text, "hint": hint} for text, hint in self.problems],
            "broken": self.broken,
        }


def examine(manager: PluginManager, policy: Policy, deadline: float) -> list[Diagnosis]:
    """Look at every plugin.

    Args:
        manager: freshly collected.
        policy: for its pins.
        deadline: seconds that resolving one plugin's references may take.
    """
    records = list(manager.plugins)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        unresolved = list(threads.map(lambda record: _reference_problems(record, deadline), records))
    return [_diagnose(record, manager, policy, findings) for record, findings in zip(records, unresolved, strict=True)]


def plain_declarations(record: PluginRecord) -> list[tuple[str, dict[str, Json]]]:
    """A plugin's declarations as (hook, fields) pairs."""
    return [
        (hook, dataclasses.asdict(declaration))
        for hook, declarations in record.declarations.items()
        for declaration in declarations
    ]


def conflicts_of(manager: PluginManager, record: PluginRecord) -> list[str]:
    """One line for each conflict the plugin is part of, and what decides it."""
    return [line for line, _ in _conflict_lines(manager, record)]


def heavy_imports(record: PluginRecord) -> tuple[str, ...]:
    """Libraries that the manifest imports, which every rebuild of the index then pays for."""
    tops = dict.fromkeys(name.partition(".")[0] for name in record.imported_modules)
    own = record.module.partition(".")[0]
    return tuple(name for name in tops if name not in sys.stdlib_module_names and name not in ("flytepath", own))


def _diagnose(
    record: PluginRecord, manager: PluginManager, policy: Policy, findings: Sequence[tuple[str, str]]
) -> Diagnosis:
    requirements = tuple(_requirements(record.requires))
    conflicts = _conflict_lines(manager, record)
    problems: list[tuple[str, str]] = []
    if record.state == "quarantined":
        problems.append((f"quarantined: {record.cause}", record.hint or ""))
    if record.state in ("enabled", "quarantined"):
        problems += [
            (f"requires {text}, found {found or 'nothing'}", f"pip install {text.partition(';')[0].strip()!r}")
            for text, found in requirements
            if not _is_met(text, found)
        ]
        problems += [
            (f"conflict: {line}", "uninstall one, deny one, or set the route") for line, open_ in conflicts if open_
        ]
        problems += findings
    if record.state == "enabled":
        problems += [
            (f"pinned to {pin.requirement}, installed is {record.version}", f"the pin is in {pin.place}")
            for pin in policy.pins
            if pin.matches(record.name, record.distribution) and not pin.is_met_by(record.version)
        ]
    return Diagnosis(
        name=record.name,
        distribution=record.distribution,
        version=record.version,
        state=record.state,
        contract=str(record.contract),
        import_seconds=record.import_seconds,
        heavy_imports=heavy_imports(record),
        requirements=requirements,
        conflicts=tuple(line for line, _ in conflicts),
        cause=record.cause or "",
        hint=record.hint or "",
        problems=tuple(problems),
    )


def _conflict_lines(manager: PluginManager, record: PluginRecord) -> list[tuple[str, bool]]:
    lines = []
    for conflict in manager.conflicts:
        if record.name not in [claimant.plugin for claimant in conflict.claimants]:
            continue
        both = " and ".join(str(claimant) for claimant in conflict.claimants)
        decided = f"decided by {conflict.decided_by}" if conflict.decided_by else f'a route "{conflict.key}" decides'
        lines.append((f"{conflict.key} is claimed by {both}; {decided}", not conflict.decided_by))
    return lines


def _requirements(requires: Iterable[str]) -> Iterable[tuple[str, str]]:
    """(requirement, installed version) of those that hold on this machine; empty where it is not installed."""
    from packaging.requirements import InvalidRequirement

    from flytepath.plugin.requirements import parse_requirement

    for text in requires:
        try:
            requirement = parse_requirement(text)
        except InvalidRequirement:
            yield text, ""
            continue
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            yield text, importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            yield text, ""


def _is_met(text: str, found: str) -> bool:
    from packaging.requirements import InvalidRequirement

    from flytepath.plugin.requirements import parse_requirement

    try:
        return bool(found) and parse_requirement(text).specifier.contains(found, prereleases=True)
    except InvalidRequirement:
        return False


def _reference_problems(record: PluginRecord, deadline: float) -> list[tuple[str, str]]:
    """What a plugin's references lead to, found out in a process that is ended when it takes too long."""
    if record.state != "enabled":
        return []
    place = "import its libraries where they are used, not at the top of a module"
    command = [sys.executable, "-P", "-m", "flytepath.plugin.references"]
    paths = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
        start_new_session=True,
    )
    try:
        answer, said = process.communicate(json.dumps(plain_declarations(record)), timeout=deadline)
    except subprocess.TimeoutExpired:
        _end(process)
        return [(f"its references did not resolve within {deadline:g} s", place)]
    if process.returncode or not answer:
        last = said.strip().splitlines()[-1:] or ["nothing was said"]
        return [(f"resolving its references ended the interpreter (status {process.returncode}): {last[0]}", place)]
    findings: list[Sequence[str]] = json.loads(answer)
    return [(problem, advice) for problem, advice in findings]


def _end(process: subprocess.Popen[str]) -> None:
    import signal

    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it ended in the meantime
    finally:
        process.communicate()


def gives(declarations: Mapping[str, Sequence[Any]]) -> str:
    """What a plugin provides, in a line.

    Example:
        >>> from flytepath.plugin import TaskTypeDeclaration
        >>> gives({"flytepath_task_types": [TaskTypeDeclaration(name="spark", task_type="a:B")]})
        'task type spark'
    """
    parts = []
    for hook, items in declarations.items():
        if not items:
            continue
        word = hook.removeprefix("flytepath_").replace("_", " ")
        word = "resource policy" if word == "resource policies" else word.removesuffix("s")
        names = sorted({_label(item) for item in items})
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        parts.append(f"{word} {shown}")
    return "; ".join(parts)


def _label(declaration: Any) -> str:
    if getattr(declaration, "task_type", "") and hasattr(declaration, "renderer"):
        return f"{declaration.task_type}/{declaration.backend}"
    for name in ("name", "scheme", "format", "source"):
        value = getattr(declaration, name, "")
        if value:
            return str(value)
    name = getattr(declaration, "marker", "") or getattr(declaration, "python_type", "")
    return str(name).rpartition(".")[2]
