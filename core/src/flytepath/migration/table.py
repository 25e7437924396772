"""Answers about the table of names: what an old dotted name becomes, and why it becomes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from flytepath.migration import names as data

if TYPE_CHECKING:
    from flytepath.plugin import MigrationDeclaration

ROOTS: Final = frozenset({"flytekit", "flytekitplugins"})
HOME: Final = "flytepath"


@dataclass(frozen=True, slots=True)
class Carried:
    """What an old name becomes: a name of a module, or with an empty ``name`` the module itself.

    ``taken`` says how many parts of the dotted name were used up: the rest are attributes of the thing itself.
    """

    module: str
    name: str
    taken: int


@dataclass(frozen=True, slots=True)
class Refused:
    """An old name that cannot be carried over, why, and what to do instead."""

    name: str
    reason: str
    hint: str


@dataclass(slots=True)
class Table:
    """The table with what installed plugins add to it.

    Example:
        >>> table = Table.of(())
        >>> table.resolve("flytekit.types.file.FlyteFile.new_remote_file".split("."))
        Carried(module='flytepath', name='FlyteFile', taken=4)
        >>> table.resolve(["flytekit", "remote", "FlyteRemote"]).name
        'flytekit.remote.FlyteRemote'
    """

    modules: dict[str, str] = field(default_factory=dict)
    names: dict[str, tuple[str, str]] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    plugins: set[str] = field(default_factory=set)
    declared: set[str] = field(default_factory=set)
    distributions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, declarations: Iterable[MigrationDeclaration]) -> Table:
        """Core's own rows, then the plugins': a plugin knows best what it carries over."""
        table = cls(refused=dict(data.REFUSED), distributions=dict(data.DISTRIBUTIONS))
        for module, listed in data.CORE.items():
            table._add(module, HOME, [(name, name) for name in listed.split()])
        for module, (target, listed) in data.PLUGINS.items():
            table.plugins.add(module)
            pairs = (name.partition("=") for name in listed.split())
            table._add(module, target, [(old, new or old) for old, _, new in pairs])
        for row in declarations:
            table._declare(row)
        return table

    def _declare(self, row: MigrationDeclaration) -> None:
        if row.source in data.CORE:
            # A plugin may know more names of a module of core's; it does not take the module over.
            for old, new in row.names:
                self.names.setdefault(f"{row.source}.{old}", (row.target, new))
            return
        if row.source.startswith("flytekitplugins."):
            self.plugins.add(row.source)
            for name in [name for name in self.names if name.startswith(f"{row.source}.")]:
                if self.names[name][0] != row.target:
                    del self.names[name]
        self.declared.add(row.source)
        self._add(row.source, row.target, row.names)

    def targets(self) -> dict[str, set[str]]:
        """Every name that rewritten code may import, by module."""
        found: dict[str, set[str]] = {}
        for module, name in self.names.values():
            found.setdefault(module, set()).add(name)
        return found

    def resolve(self, parts: Sequence[str]) -> Carried | Refused | None:
        """What a dotted name becomes; ``None`` where it is none of flytekit's.

        The longest way through modules wins, then the first name on it: what follows a name is its attributes.
        """
        if not parts or parts[0] not in ROOTS:
            return None
        plugin = self._plugin_of(parts)
        if plugin is not None:
            return self._member_of_plugin(plugin, parts)
        return self._walk(parts)

    # --- ways through the table --------------------------------------------------------------------------------

    def _add(self, source: str, target: str, pairs: Iterable[tuple[str, str]]) -> None:
        pieces = source.split(".")
        for count in range(1, len(pieces)):
            self.modules.setdefault(".".join(pieces[:count]), HOME if pieces[0] == "flytekit" else "")
        self.modules[source] = target
        for old, new in pairs:
            self.names[f"{source}.{old}"] = (target, new)

    def _plugin_of(self, parts: Sequence[str]) -> str | None:
        for count in range(len(parts), 1, -1):
            prefix = ".".join(parts[:count])
            if prefix in self.plugins:
                return prefix
        return None

    def _member_of_plugin(self, plugin: str, parts: Sequence[str]) -> Carried | Refused:
        start = plugin.count(".") + 1
        for index in range(start, len(parts)):
            found = self.names.get(f"{plugin}.{parts[index]}")
            if found is not None:
                return Carried(*found, taken=index + 1)
        if len(parts) == start:
            return Carried(self.modules[plugin], "", start)
        if plugin in self.declared:
            return Carried(self.modules[plugin], parts[-1], len(parts))
        return self._refusal(".".join(parts))

    def _walk(self, parts: Sequence[str]) -> Carried | Refused:
        named: Carried | None = None
        for count in range(1, len(parts) + 1):
            path = ".".join(parts[:count])
            if path in self.names:
                named = Carried(*self.names[path], taken=count)
            known = path in self.modules and (self.modules[path] or path in ROOTS)
            if not known:
                break
            if count == len(parts) and named is None:
                return Carried(self.modules[path], "", count)
        if named is not None:
            return named
        path = ".".join(parts[:count])
        if parts[0] == "flytekit" and path.rpartition(".")[0] in self.declared and path not in self.modules:
            return Carried(self.modules[path.rpartition(".")[0]], parts[count - 1], count)
        return self._refusal(".".join(parts))

    def _refusal(self, name: str) -> Refused:
        if name in data.ABSORBED or name.rpartition(".")[0] in data.ABSORBED:
            hint = data.ABSORBED.get(name) or data.ABSORBED[name.rpartition(".")[0]]
            return Refused(name, "what it did needs no import", hint)
        pieces = name.split(".")
        for count in range(len(pieces), 1, -1):
            prefix = ".".join(pieces[:count])
            if prefix in self.refused:
                return Refused(name, "FlytePath has nothing of this name", self.refused[prefix])
        if pieces[0] == "flytekitplugins":
            return Refused(name, "no plugin is known to carry it over", data.NO_PLUGIN_HINT)
        return Refused(name, "FlytePath has nothing of this name", data.UNKNOWN_HINT)


def installed() -> Table:
    """The table of this environment: core's rows, and those of every enabled plugin."""
    from flytepath.plugin.manager import current

    claims = current().migrations()
    table = Table.of(claim.declaration for claim in claims)
    for claim in claims:
        package = claim.declaration.source.removeprefix("flytekitplugins.")
        if package != claim.declaration.source:
            table.distributions[f"flytekitplugins-{package.replace('_', '-')}"] = claim.distribution
    return table
