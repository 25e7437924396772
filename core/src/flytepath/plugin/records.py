"""Records: an installed plugin as people see it, and the errors that tell why one does not serve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

from flytepath.errors import PluginError, PluginQuarantinedError

Json = Any
DOCTOR: Final = "`flytepath plugins doctor` tells the whole story"


@dataclass(frozen=True, slots=True)
class PluginRecord:
    """One installed plugin.

    Args:
        name, distribution, version, module: of its entry point and distribution.
        state: ``enabled``, ``denied``, ``quarantined`` or ``incompatible``.
        cause, hint: why it is not enabled, and what to do about it.
        requires: the distribution's requirements (PEP 508).
        contract: the contract version it needs, ``major.minor``.
        declarations: what it declares, by hook; empty unless enabled.
        import_seconds: what importing its manifest took when it was last read.
        imported_modules: what the manifest imported beside flytepath and its own package.
        traceback: the end of the traceback, where there was one.
    """

    name: str
    distribution: str
    version: str
    module: str
    state: Literal["enabled", "denied", "quarantined", "incompatible"]
    cause: str = ""
    hint: str = ""
    requires: tuple[str, ...] = ()
    contract: str = ""
    declarations: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    import_seconds: float = 0.0
    imported_modules: tuple[str, ...] = ()
    traceback: str = ""


def record_of(item: Json, declared: Mapping[str, tuple[Any, ...]]) -> PluginRecord:
    """The record of one plugin of an index."""
    return PluginRecord(
        name=item["name"],
        distribution=item["distribution"],
        version=item["version"],
        module=item["module"],
        state=item["state"],
        cause=item["cause"],
        hint=item["hint"],
        requires=tuple(item["requires"]),
        contract=item["contract"],
        declarations=MappingProxyType(dict(declared)),
        import_seconds=item["seconds"],
        imported_modules=tuple(item["imported"]),
        traceback=item["detail"],
    )


def set_aside(item: Json, key: str) -> PluginQuarantinedError:
    """The error for what only a plugin provides that does not work."""
    return PluginQuarantinedError(
        f"plugin {item['name']!r} ({item['distribution']} {item['version']}) is set aside: {item['cause']}",
        place=key,
        hint="; ".join(filter(None, [item["hint"], DOCTOR])),
    )


def refuse_imperfect(body: Json) -> None:
    """Strict mode: raise :class:`PluginError` if an index holds anything that does not work."""
    found = [
        f"{item['name']} ({item['distribution']} {item['version']}) is {item['state']}: {item['cause']}"
        for item in body["plugins"]
        if item["state"] in ("quarantined", "incompatible")
    ]
    for key, numbers, decided_by, _ in body["conflicts"]:
        if decided_by is None:
            who = " and ".join(sorted(body["plugins"][number]["distribution"] for number in numbers))
            found.append(f"{key} is claimed by {who}")
    if found:
        raise PluginError(
            f"{len(found)} plugin problem(s) in strict mode: " + "; ".join(found),
            expected="every enabled plugin works, and none claims what another claims",
            hint=DOCTOR,
        )
