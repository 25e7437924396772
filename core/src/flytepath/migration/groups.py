"""Decides what becomes of a module that is bound to a name, with every use of that name.

Names that an import binds directly keep their local spelling, so nothing but the import changes. A bound *module* is
different: ``flytekit.types.file.FlyteFile`` has to become ``flytepath.FlyteFile`` wherever it is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from libcst.metadata import ClassScope

from flytepath.migration.reading import Item, Key, Module, Statement, Use
from flytepath.migration.table import Carried, Refused, Table


class Mode(Enum):
    """What happens to a group of imports that bind one name."""

    KEEP = "the imports and uses stay as they are"
    ALIAS = "the module changes, the local name stays"
    RENAME = "the module and the local name change"
    SPLIT = "some uses move to the new module, the old import stays for the others"


@dataclass(slots=True)
class Bound:
    """One import item that binds a module, and the dotted path it stands for."""

    statement: Statement
    item: Item
    path: list[str]
    target: Carried | Refused


@dataclass(slots=True)
class Group:
    """All imports that bind one module name in one scope, its uses, and the decision."""

    key: Key
    bound: list[Bound]
    uses: list[tuple[Use, Carried | Refused]] = field(default_factory=list)
    mode: Mode = Mode.KEEP
    why: str = ""

    @property
    def local(self) -> str:
        """The name that is bound."""
        return self.key[1]

    @property
    def root(self) -> bool:
        """Whether it is a plain ``import flytekit...``, which binds the first part of the path."""
        first = self.bound[0]
        return not first.statement.module and not first.item.alias

    @property
    def carried(self) -> list[tuple[Use, Carried]]:
        """The uses that have a new name."""
        return [(use, found) for use, found in self.uses if isinstance(found, Carried) and found.name]

    @property
    def bare(self) -> list[Use]:
        """The uses of the module itself, as a value."""
        return [use for use, found in self.uses if isinstance(found, Carried) and not found.name and found.module]

    @property
    def refused(self) -> list[tuple[Use, Refused]]:
        """The uses that stay."""
        return [(use, found) for use, found in self.uses if isinstance(found, Refused)]


def groups_of(module: Module, table: Table) -> list[Group]:
    """Every group of the module, decided."""
    found: dict[Key, Group] = {}
    for statement in module.statements:
        for item in statement.items:
            bound = _bound(statement, item, table)
            if bound is None:
                continue
            local = item.alias or (item.name if statement.module else item.name.partition(".")[0])
            key = module.key_of(statement, local)
            found.setdefault(key, Group(key, [])).bound.append(bound)
    for group in found.values():
        group.uses = [(use, _resolved(group, use, table)) for use in module.uses.get(group.key, ())]
        _decide(group, module)
    return list(found.values())


def _bound(statement: Statement, item: Item, table: Table) -> Bound | None:
    path = [*(statement.module.split(".") if statement.module else ()), *item.name.split(".")]
    target = table.resolve(path)
    if target is None or (isinstance(target, Carried) and target.name):
        return None
    if isinstance(target, Carried) and not target.module:
        target = Refused(".".join(path), "it is a namespace of plugins", "import the plugin's own package")
    if isinstance(target, Refused) and statement.module:
        return None  # a name that stays, not a module: the statement itself reports it
    return Bound(statement, item, path, target)


def _resolved(group: Group, use: Use, table: Table) -> Carried | Refused:
    if group.root:
        answers = [table.resolve(use.parts)]
    else:
        answers = [_relative(table.resolve([*bound.path, *use.parts[1:]]), len(bound.path)) for bound in group.bound]
    first = answers[0]
    if first is None or any(answer != first for answer in answers):
        return Refused(".".join(use.parts), "its name is bound to several modules", "import the name itself")
    if isinstance(first, Carried) and not first.name and not first.module:
        return Refused(".".join(use.parts), "it is a namespace of plugins", "import the plugin's own package")
    return first


def _relative(found: Carried | Refused | None, length: int) -> Carried | Refused | None:
    """Count the parts that are taken from the use as it is written, where one local name stands for a whole path."""
    return Carried(found.module, found.name, found.taken - length + 1) if isinstance(found, Carried) else found


def _decide(group: Group, module: Module) -> None:
    targets = [bound.target for bound in group.bound if isinstance(bound.target, Carried)]
    needed = {target.module for target in targets} | {found.module for _, found in group.carried}
    # An attribute of a class can be looked up from anywhere, so its name stays.
    of_class = any(isinstance(bound.statement.scope, ClassScope) for bound in group.bound)
    clash = of_class or bool(needed & module.assigned) or group.key in module.mixed
    if group.refused:
        group.mode = Mode.SPLIT if group.carried and not clash else Mode.KEEP
        if group.carried and clash:
            group.why = f"{group.local!r} or the new module's name is also bound to something else here"
    elif not targets and not group.carried:
        group.mode = Mode.KEEP
    elif clash or any(bound.item.alias for bound in group.bound) or (not group.root and group.bare):
        single = len(needed) == 1 and len(targets) == len(group.bound)
        group.mode = Mode.ALIAS if single else Mode.KEEP
        group.why = "" if single else f"{group.local!r} stands for several modules here"
    else:
        group.mode = Mode.RENAME
