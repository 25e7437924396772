"""What a plugin's distribution must say about itself: one entry, types, a README, and honest requirements."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from flytepath.plugin.contract import CONTRACT_MAJOR, ENTRY_POINT_GROUP, ENTRY_POINT_PREFIX
from flytepath.testing.findings import refuse

#: What a plugin may import of core. Everything else moves without notice.
DOORS = frozenset({"flytepath", "flytepath.plugin", "flytepath.testing"})
#: The first release that need not serve this contract major: FlytePath N.x serves contract vN (and 0.x serves v1).
NEXT_MAJOR = f"{CONTRACT_MAJOR + 1}.0"


def find_entry_point(plugin: str) -> importlib.metadata.EntryPoint:
    """The one entry point of ``plugin``, with its distribution."""
    matching = list(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP, name=plugin))
    distributions = {point.dist.name for point in matching if point.dist is not None}
    if not matching:
        others = sorted(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP).names)
        elsewhere = [
            point.group
            for point in importlib.metadata.entry_points(name=plugin)
            if point.group.startswith(ENTRY_POINT_PREFIX)
        ]
        refuse(
            f"no installed distribution has the entry point {plugin!r} in the group {ENTRY_POINT_GROUP!r}",
            expected=f'[project.entry-points."{ENTRY_POINT_GROUP}"] {plugin} = "<package>.plugin"',
            actual=f"it is in {elsewhere[0]!r}" if elsewhere else f"installed plugins: {', '.join(others) or 'none'}",
            hint="add the entry point to pyproject.toml and install the package again (pip install -e .)",
        )
    if len(distributions) > 1:
        refuse(
            f"several distributions have the entry point {plugin!r}: {', '.join(sorted(distributions))}",
            expected="one distribution for each entry-point name",
            hint="rename yours, or uninstall the other",
        )
    return matching[0]


def check_one_entry(distribution: importlib.metadata.Distribution) -> None:
    """One distribution is one plugin."""
    entries = [point.name for point in distribution.entry_points if point.group == ENTRY_POINT_GROUP]
    if len(set(entries)) != 1:
        refuse(
            f"{distribution.name} has {len(entries)} plugins: {', '.join(sorted(entries)) or 'none'}",
            expected="one entry point for each distribution",
            hint="return the declarations of all of them from one manifest, or split the distribution",
        )


def check_typed(package: str) -> None:
    """The package carries ``py.typed``, so that its users' type checkers read its types."""
    folder = package_folder(package)
    if not (folder / "py.typed").is_file():
        refuse(
            f"{package} has no py.typed",
            place=str(folder),
            expected="an empty file py.typed beside __init__.py",
            hint="add it; hatchling includes it in the wheel",
        )


def check_described(distribution: importlib.metadata.Distribution) -> None:
    """The README is part of the metadata."""
    body = (distribution.read_text("METADATA") or "").partition("\n\n")[2]
    if len(body.strip()) < 80:
        refuse(
            f"{distribution.name} has no README in its metadata",
            expected='readme = "README.md" in [project], and a README that says what the plugin gives',
            actual=f"{len(body.strip())} characters",
            hint="`flytepath plugins new` writes one with the headings that every plugin's README has",
        )


def check_requirements(distribution: importlib.metadata.Distribution) -> None:
    """Every requirement has a lower bound, and the one on flytepath ends where the contract's major version ends."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    requirements = [Requirement(text) for text in distribution.requires or ()]
    unbounded = [
        str(requirement)
        for requirement in requirements
        if not requirement.url
        and not any(item.operator in (">=", ">", "==", "~=", "===") for item in requirement.specifier)
    ]
    if unbounded:
        refuse(
            f"requirements of {distribution.name} have no lower bound: {', '.join(unbounded)}",
            expected="a lower bound on each, the oldest version it is tested with",
            hint="write for example 'pandas>=2.1'",
        )
    on_core = [item for item in requirements if canonicalize_name(item.name) == "flytepath" and item.marker is None]
    if not on_core:
        refuse(
            f"{distribution.name} does not require flytepath",
            expected=f"flytepath>=0.1,<{CONTRACT_MAJOR + 1}",
            hint="add it to dependencies in pyproject.toml",
        )
    if any(item.specifier.contains(NEXT_MAJOR) for item in on_core):
        refuse(
            f"{distribution.name} accepts releases of flytepath that need not serve its contract",
            expected=f"an upper bound <{CONTRACT_MAJOR + 1}: flytepath N.x serves contract vN (0.x serves v1)",
            actual=", ".join(str(item) for item in on_core),
            hint=f"write 'flytepath>=0.1,<{CONTRACT_MAJOR + 1}'",
        )


def check_doors(package: str) -> None:
    """The package's own code imports of core only what is promised to stay."""
    found = list(_deep_imports(package_folder(package)))
    if found:
        refuse(
            f"{package} imports what is private to flytepath",
            place="; ".join(found[:5]),
            expected=f"only {', '.join(sorted(DOORS))}",
            hint="import the name from flytepath.plugin, which has everything a plugin may use",
        )


def package_folder(package: str) -> Path:
    """Where the package's source lies."""
    spec = importlib.util.find_spec(package)
    locations = list(spec.submodule_search_locations or ()) if spec else []
    if not locations:
        refuse(
            f"{package} is not a package",
            expected="a folder src/<package>/ with __init__.py and plugin.py",
            hint="`flytepath plugins new` writes the layout that every plugin has",
        )
    return Path(locations[0])


def _deep_imports(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes(), filename=str(path))):
            for module in _imported(node):
                if module.split(".")[0] == "flytepath" and module not in DOORS:
                    yield f"{path.relative_to(folder.parent)}:{getattr(node, 'lineno', 0)} imports {module}"


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        if node.module in ("flytepath", "flytepath.testing"):
            # ``from flytepath import engine`` would be a door to the whole house.
            rooms = {
                "model",
                "store",
                "types",
                "engine",
                "authoring",
                "compiler",
                "worker",
                "client",
                "cli",
                "config",
                "errors",
            }
            return [f"{node.module}.{alias.name}" for alias in node.names if alias.name in rooms] or [node.module]
        return [node.module]
    return []
