"""The conformance of a whole plugin: found, quick, pure, honest. Subclass it and name the plugin."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from flytepath.testing import distribution
from flytepath.testing.findings import refuse
from flytepath.testing.probe import ProbeError, ask

#: What a manifest may cost: its import and its hooks, on a machine where the reference manifest takes this long.
LIMIT_SECONDS = 0.005
REFERENCE_SECONDS = 0.001
ATTEMPTS = 9


class ManifestInspection:
    """What other processes found out about one manifest; each look is taken once.

    Args:
        module: the manifest's module.
    """

    def __init__(self, module: str) -> None:
        self.module = module
        self.package = module.partition(".")[0]

    @cached_property
    def first(self) -> dict[str, Any]:
        """A look at the manifest and at everything its declarations point to."""
        return self._ask({"resolve": True})

    @cached_property
    def after_libraries(self) -> dict[str, Any]:
        """The same, after every library was imported, so that what changes is the plugin's own doing."""
        foreign = [name for name in self.first["imported_by_resolving"] if not self.is_own(name)]
        return self._ask({"resolve": True, "preload": foreign})

    def declarations(self, hash_seed: int) -> str:
        """The declarations as JSON, from a process of that hash seed."""
        return str(self._ask({}, hash_seed=hash_seed)["declarations"])

    def cost(self) -> tuple[float, float]:
        """The best (seconds, allowed seconds) of several processes; stops at the first that is good enough."""
        best = (float("inf"), LIMIT_SECONDS)
        for _ in range(ATTEMPTS):
            answer = self._ask({})
            allowed = LIMIT_SECONDS * max(1.0, answer["reference_seconds"] / REFERENCE_SECONDS)
            best = min(best, (answer["seconds"], allowed), key=lambda pair: pair[0] / pair[1])
            if best[0] <= best[1]:
                break
        return best

    def is_own(self, module: str) -> bool:
        """Whether a module is the plugin's own."""
        return module.partition(".")[0] == self.package

    def foreign(self) -> list[str]:
        """Modules the manifest imported that are neither its own, nor flytepath's, nor the standard library's."""
        allowed = {*sys.stdlib_module_names, "flytepath", self.package}
        return [name for name in self.first["imported"] if name.partition(".")[0] not in allowed]

    def _ask(self, request: dict[str, Any], hash_seed: int = 0) -> dict[str, Any]:
        try:
            return ask({"ask": "manifest", "module": self.module, **request}, hash_seed=hash_seed)
        except ProbeError as error:
            refuse(
                f"the manifest {self.module!r} cannot be read",
                place=self.module,
                actual=str(error)[-1500:],
                hint="a manifest imports only flytepath.plugin; import the vendor library where it is used",
                cause=error,
            )


class PluginConformance:
    """Checks that hold for every plugin. Subclass it in a test module; pytest runs the rest.

    Example:
        >>> class TestSpark(PluginConformance):
        ...     plugin = "spark"
    """

    #: The name of the plugin's entry point.
    plugin: ClassVar[str]

    _inspections: ClassVar[dict[str, ManifestInspection]] = {}

    @property
    def entry_point(self) -> importlib.metadata.EntryPoint:
        """The plugin's entry point."""
        return distribution.find_entry_point(self.plugin)

    @property
    def inspection(self) -> ManifestInspection:
        """What is known of its manifest; shared by all checks of a test run."""
        module = self.entry_point.module
        return self._inspections.setdefault(module, ManifestInspection(module))

    @property
    def distribution(self) -> importlib.metadata.Distribution:
        """The distribution the plugin comes with."""
        found = self.entry_point.dist
        if found is None:
            refuse(
                f"the entry point {self.plugin!r} belongs to no distribution",
                hint="install the package with pip (pip install -e .)",
            )
        return found

    def test_is_found_by_its_entry_point_and_enabled(self, tmp_path: Path) -> None:
        """Core finds the plugin, reads its manifest without an error, and has no one who claims the same."""
        from flytepath.plugin.manager import PluginManager

        _ = self.entry_point
        manager = PluginManager.load(home=tmp_path, refresh=True)
        record = next((item for item in manager.plugins if item.name == self.plugin), None)
        if record is None or record.state != "enabled":
            refuse(
                f"core does not enable {self.plugin!r}",
                expected="enabled",
                actual=f"{record.state}: {record.cause}" if record else "not found",
                hint=(record.hint if record else "") or "`flytepath plugins doctor` tells the whole story",
            )
        conflicts = [
            item
            for item in manager.conflicts
            if not item.decided_by and self.plugin in [claimant.plugin for claimant in item.claimants]
        ]
        if conflicts:
            refuse(
                f"{self.plugin!r} claims what another installed plugin claims: {', '.join(c.key for c in conflicts)}",
                hint="uninstall the other, or decide with a route in flytepath.toml",
            )

    def test_has_one_entry_for_its_distribution(self) -> None:
        """One distribution is one plugin."""
        distribution.check_one_entry(self.distribution)

    def test_manifest_is_quick(self) -> None:
        """Reading the manifest costs under 5 ms, measured against the kit's own manifest on a slow machine."""
        seconds, allowed = self.inspection.cost()
        if seconds > allowed:
            refuse(
                f"the manifest of {self.plugin!r} takes {seconds * 1000:.1f} ms",
                place=self.inspection.module,
                expected=f"at most {allowed * 1000:.1f} ms, the best of {ATTEMPTS} runs",
                actual=f"it imports {_few(self.inspection.first['imported'])}",
                hint="import only flytepath.plugin in plugin.py and keep the package's __init__.py lazy",
            )

    def test_manifest_imports_nothing_foreign(self) -> None:
        """The manifest imports flytepath, the standard library and its own package, and nothing else."""
        foreign = self.inspection.foreign()
        if foreign:
            refuse(
                f"the manifest of {self.plugin!r} imports {_few(_tops(foreign))}",
                place=self.inspection.module,
                expected="nothing outside flytepath, the standard library and its own package",
                actual=_few(foreign),
                hint="name what you need by a 'module:attribute' reference; core imports it when it is first used",
            )

    def test_hooks_are_known_and_marked(self) -> None:
        """Every function named like a hook is one, is marked with ``@hookimpl``, and returns what the hook declares."""
        story = self.inspection.first["pluggy"]
        wrong = [*([story["problem"]] if story["problem"] else []), *self.inspection.first["wrong"]]
        wrong += [f"{name} is not marked with @hookimpl" for name in story["unmarked"]]
        if wrong or not story["implemented"]:
            refuse(
                f"the manifest of {self.plugin!r} does not fit the contract",
                place=self.inspection.module,
                actual="; ".join(wrong) or "it implements no hook",
                hint="see flytepath.plugin for the hooks; each returns a list of its declaration class",
            )

    def test_declarations_resolve(self) -> None:
        """Every reference leads to an object of the right kind."""
        findings = self.inspection.first["findings"]
        if findings:
            refuse(
                f"{len(findings)} reference(s) of {self.plugin!r} are wrong",
                place=self.inspection.module,
                actual="; ".join(problem for problem, _ in findings),
                hint="; ".join(dict.fromkeys(advice for _, advice in findings)),
            )

    def test_type_names_are_those_of_the_defining_module(self) -> None:
        """Types are named by the module that defines them, so that core finds them without importing anything."""
        for hook, declared, name, defining in self.inspection.first["type_names"]:
            if defining is not None and defining not in declared:
                refuse(
                    f"{hook}: {name!r} is not where the class is defined",
                    place=self.inspection.module,
                    expected=defining,
                    actual=name,
                    hint="use f'{cls.__module__}.{cls.__qualname__}'; a type may be listed by several names",
                )

    def test_changes_nothing_in_the_process(self) -> None:
        """Neither the manifest nor what it points to registers anything as a side effect of its import."""
        answer = self.inspection.after_libraries
        changes = [f"importing the manifest: {line}" for line in answer["changed_by_manifest"]]
        changes += [f"resolving its declarations: {line}" for line in answer["changed_by_resolving"]]
        if changes:
            refuse(
                f"{self.plugin!r} changes what all plugins of a process share",
                place=self.inspection.module,
                actual="; ".join(changes),
                hint="declare it through a hook, or do it inside the call that needs it and undo it afterwards",
            )

    def test_unregisters_without_a_trace(self) -> None:
        """A manager that lets go of the plugin keeps nothing of it."""
        left = self.inspection.first["pluggy"]["left"]
        if left:
            refuse(
                f"hooks of {self.plugin!r} stay after it is unregistered: {_few(left)}",
                place=self.inspection.module,
                hint="a manifest must not register itself, or another module, with a manager",
            )

    def test_declarations_are_the_same_in_every_process(self) -> None:
        """The declarations do not depend on hash order, and are plain JSON."""
        seen = {self.inspection.declarations(hash_seed) for hash_seed in (0, 1, 2)}
        if len(seen) > 1:
            first, second, *_ = sorted(seen)
            at = next((i for i, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), 0)
            refuse(
                f"the declarations of {self.plugin!r} differ from process to process",
                place=self.inspection.module,
                expected=f"... {first[max(0, at - 60) : at + 60]} ...",
                actual=f"... {second[max(0, at - 60) : at + 60]} ...",
                hint="use tuples and sorted(...), never the order of a set, a clock or a random number",
            )
        json.loads(seen.pop())

    def test_package_is_typed(self) -> None:
        """The package carries ``py.typed``."""
        distribution.check_typed(self.inspection.package)

    def test_distribution_has_a_readme(self) -> None:
        """The README is in the metadata."""
        distribution.check_described(self.distribution)

    def test_requirements_are_bounded(self) -> None:
        """Requirements have lower bounds; flytepath is bounded by the contract's major version."""
        distribution.check_requirements(self.distribution)

    def test_imports_only_the_doors_of_core(self) -> None:
        """The plugin's code imports of flytepath only what is promised to stay."""
        distribution.check_doors(self.inspection.package)


def _tops(modules: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name.partition(".")[0] for name in modules))


def _few(names: Iterable[str], limit: int = 8) -> str:
    listed = list(names)
    return ", ".join(listed[:limit]) + (f" and {len(listed) - limit} more" if len(listed) > limit else "")
