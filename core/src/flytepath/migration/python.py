"""Rewrites one Python module. Everything but imports of flytekit and what they bind stays byte for byte.

libcst reads; the decisions become edits of the text, so that no formatting is ever printed anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from flytepath.migration.findings import Finding, Outcome
from flytepath.migration.groups import Bound, Group, Mode, groups_of
from flytepath.migration.imports import Name, render_from, render_import
from flytepath.migration.reading import Item, Module, Span, Statement, Text, UnreadableError, parse, read
from flytepath.migration.requirements import rewrite_requirement
from flytepath.migration.table import ROOTS, Carried, Refused, Table

_DOTTED: Final = re.compile(r"(?:\w+\.)*(flytekit(?:plugins)?(?:[.:]\w+)+)")


def rewrite_python(path: str, source: bytes, table: Table) -> tuple[Outcome, bytes]:
    """Rewrite a module.

    Args:
        path: what findings call it.
        source: its bytes, in whatever encoding and with whatever line ends.
        table: what becomes of which name.

    Returns:
        What became of it, and its new bytes, in the same encoding and with the same line ends.

    Example:
        >>> outcome, new = rewrite_python("flow.py", b"from flytekit.core.task import task", Table.of(()))
        >>> new
        b'from flytepath import task'
    """
    try:
        tree, module = read(source)
    except UnreadableError as error:
        return _unreadable(path, str(error), error.line), source
    rewriting = _Rewriting(path, module, table)
    after = rewriting.run()
    outcome = Outcome(path, module.text, after, findings=sorted(set(rewriting.findings)))
    if not outcome.changes:
        return outcome, source
    new = after.encode(tree.encoding)
    try:
        parse(new)
    except UnreadableError as error:  # never seen; a file is better left alone than broken
        return _unreadable(path, f"the rewritten file would not parse: {error}", error.line), source
    return outcome, new


def _unreadable(path: str, message: str, line: int) -> Outcome:
    hint = "correct it (or convert it to Python 3) and run again"
    return Outcome(path, status="skipped", findings=[Finding(path, line, 1, "", f"not read: {message}", hint)])


@dataclass(slots=True)
class _Plan:
    """What one ``import`` statement becomes: the modules it names then, and whether it stays besides."""

    replaced: dict[int, list[Name]] = field(default_factory=dict)
    kept: set[int] = field(default_factory=set)


class _Rewriting:
    def __init__(self, path: str, module: Module, table: Table) -> None:
        self.path, self.module, self.table = path, module, table
        self.findings: list[Finding] = []
        self.edits: list[tuple[Span, str]] = []
        self.plans: dict[int, _Plan] = {}
        self.seen: set[tuple[int, str]] = set()

    def run(self) -> str:
        groups = groups_of(self.module, self.table)
        for group in groups:
            self._apply(group)
        bound = {id(item.item) for group in groups for item in group.bound}
        for statement in self.module.statements:
            if statement.star:
                self._star(statement)
            elif statement.module:
                self._from(statement, bound)
            else:
                self._plain(statement)
        self._strings(groups)
        text = self.module.text
        for (start, end), new in sorted(self.edits, key=lambda edit: edit[0], reverse=True):
            text = text[:start] + new + text[end:]
        return text

    # --- modules and their uses ----------------------------------------------------------------------------------

    def _apply(self, group: Group) -> None:
        for use, refused in group.refused:
            self._refuse(use.span[0], refused)
        for bound in group.bound:
            if isinstance(bound.target, Refused) and not group.refused:
                self._refuse(bound.item.span[0], bound.target)
        if group.why:
            name = ".".join(group.bound[0].path)
            self._find(group.bound[0].item.span[0], name, f"left as it is: {group.why}", "rename one of the two")
        if group.mode is Mode.KEEP:
            return
        for use, found in group.carried:
            front = group.local if group.mode is Mode.ALIAS else found.module
            written = re.sub(r"\s|\\", "", self.module.text[use.span[0] : use.span[1]])
            if written != ".".join(use.parts):
                self._find(
                    use.span[0], ".".join(use.parts), "written in a way that is not rewritten", "write it plainly"
                )
                continue
            self.edits.append((use.span, ".".join([front, found.name, *use.parts[found.taken :]])))
        self._bare(group)
        self._plan(group)

    def _bare(self, group: Group) -> None:
        for use in group.bare:
            if group.mode is Mode.RENAME:
                self.edits.append((use.span, "flytepath"))
            hint = "FlytePath has all its names in one module: check what is looked up in it"
            self._find(use.span[0], ".".join(use.parts), "the module is used as a value", hint)

    def _plan(self, group: Group) -> None:
        needed = dict.fromkeys(found.module for _, found in group.carried)
        staying = [bound for bound in group.bound if isinstance(bound.target, Refused)]
        if group.mode is Mode.SPLIT and not staying:
            roots = [bound for bound in group.bound if len(bound.path) == 1]
            staying = (roots or group.bound)[:1]
        if group.mode is Mode.SPLIT and not group.root:
            staying = list(group.bound)
        provided: set[str] = set()
        for bound in group.bound:
            names = self._names_for(group, bound)
            plan = self.plans.setdefault(id(bound.statement), _Plan())
            plan.replaced[id(bound.item)] = names
            if bound in staying:
                plan.kept.add(id(bound.item))
            provided |= {name.old for name in names}
        first = group.bound[0]
        extra = [Name(module) for module in needed if module not in provided]
        if group.mode is not Mode.ALIAS:
            self.plans[id(first.statement)].replaced[id(first.item)] += extra

    @staticmethod
    def _names_for(group: Group, bound: Bound) -> list[Name]:
        if isinstance(bound.target, Refused):
            return []
        return [Name(bound.target.module, group.local if group.mode is Mode.ALIAS else "")]

    # --- import statements ---------------------------------------------------------------------------------------

    def _plain(self, statement: Statement) -> None:
        plan = self.plans.get(id(statement))
        if plan is None:
            return
        new: list[Name] = []
        kept: list[Name] = []
        for item in statement.items:
            original = Name(item.name, item.alias)
            new += plan.replaced.get(id(item), [original])
            if id(item) in plan.kept:
                kept.append(original)
        new = list(dict.fromkeys(new))
        if len(statement.items) > 1:
            lines = [render_import([*new, *(name for name in kept if name not in new)])]
        else:
            lines = [render_import(names) for names in (new, kept) if names]
        self._replace(statement, lines)

    def _from(self, statement: Statement, bound: set[int]) -> None:
        plan = self.plans.get(id(statement), _Plan())
        by_module: dict[str, list[tuple[Item, str]]] = {}
        stays: list[Item] = []
        modules: list[Name] = []
        for item in statement.items:
            if id(item) in bound:
                modules += plan.replaced.get(id(item), [])
                if id(item) not in plan.replaced or id(item) in plan.kept:
                    stays.append(item)
                continue
            found = self.table.resolve([*statement.module.split("."), item.name])
            if isinstance(found, Carried) and found.taken == statement.module.count(".") + 2:
                by_module.setdefault(found.module, []).append((item, found.name))
                continue
            stays.append(item)
            if isinstance(found, Carried):
                found = Refused(f"{statement.module}.{item.name}", "the table does not know this way to it", "")
            if found is not None:
                self._refuse(item.span[0], found)
        if not by_module and not modules:
            return
        names = {module: _unique(pairs) for module, pairs in by_module.items()}
        if len(names) == 1 and not stays and not modules:
            ((module, pairs),) = by_module.items()
            if len(names[module]) == len(pairs):
                self._in_place(statement, module, pairs)
                return
        indent = statement.indent or ""
        lines = [render_from(module, found, indent, self.module.newline) for module, found in names.items()]
        lines += [render_import([name]) for name in dict.fromkeys(modules)]
        if stays:
            left = [Name(item.name, item.alias, tuple(item.above), item.beside) for item in stays]
            lines.append(render_from(statement.module, left, indent, self.module.newline))
        self._replace(statement, lines)

    def _in_place(self, statement: Statement, module: str, pairs: Iterable[tuple[Item, str]]) -> None:
        self.edits.append((statement.module_span, module))
        for item, name in pairs:
            if name != item.name:
                # The local name stays, so nothing else in the file has to change.
                self.edits.append((item.span, f"{name} as {item.alias or item.name}".removesuffix(f" as {name}")))

    def _replace(self, statement: Statement, lines: list[str]) -> None:
        start, end = statement.span
        repeated = [line for line in lines if line.startswith("import ") and (statement.body, line) in self.seen]
        if repeated == lines and statement.bare_line:
            start -= len(statement.indent or "")
            end += len(re.match(r"[^\S\r\n]*(?:\r\n|\r|\n)?", self.module.text[end:])[0])  # type: ignore[index]
            self.edits.append(((start, end), ""))
            return
        if len(lines) > 1:
            lines = [line for line in lines if line not in repeated] or lines
        # Only what surely runs before its repetition counts: not the body of an `if` in one line.
        for line in lines if statement.indent is not None else ():
            if line.startswith("import "):
                self.seen |= {(statement.body, f"import {name}") for name in line[len("import ") :].split(", ")}
        glue = "; " if statement.indent is None else self.module.newline + statement.indent
        new = glue.join(lines)
        if new != self.module.text[start:end]:
            self.edits.append(((start, end), new))

    def _star(self, statement: Statement) -> None:
        found = [self.table.resolve([*statement.module.split("."), name]) for name in sorted(self.module.unbound)]
        names = sorted({item.name for item in found if isinstance(item, Carried) and item.name})
        hint = f"name what is used: from flytepath import {', '.join(names)}" if names else "name what is used"
        reason = "what a star import brings cannot be told from here"
        self._find(statement.span[0], f"{statement.module}.*", reason, hint)

    # --- what only a person can judge ----------------------------------------------------------------------------

    def _strings(self, groups: list[Group]) -> None:
        for text in self.module.texts:
            if text.place == "packages":
                self._package(text)
                continue
            if "-" in text.value and rewrite_requirement(text.value, self.table) is not None:
                new = rewrite_requirement(text.value, self.table)
                hint = f"if it is a requirement, it is {new!r} now" if new else "replace it by hand"
                self._find(text.span[0], text.value, "a string names a distribution", hint)
                continue
            match = _DOTTED.fullmatch(text.value)
            whole = text.value in ROOTS and (text.place == "call" or "__all__" in self.module.assigned)
            if not match and not whole:
                continue
            found = self.table.resolve(re.split(r"[.:]", match[1])) if match else None
            new = f"{found.module}.{found.name}".rstrip(".") if isinstance(found, Carried) else ""
            hint = f"its new name is {new!r}, if it names the thing itself" if new else "see what it is used for"
            self._find(text.span[0], text.value, "a string names it", hint)
        for name, span in self.module.doctests:
            self._find(span[0], name, "an example in a docstring names it", "rewrite the example by hand")
        for name, span in self.module.type_comments:
            self._find(span[0], name, "a type comment names it", "write it as an annotation")
        for name, span in self.module.elsewhere:
            hint = "import it from flytepath, where it is used"
            self._find(span[0], name, "it is imported by way of another module", hint)

    def _package(self, text: Text) -> None:
        new = rewrite_requirement(text.value, self.table)
        if new and text.plain:
            self.edits.append(((text.inner, text.inner + len(text.value)), new))
        else:
            self._find(text.span[0], text.value, "this requirement is not rewritten", "replace it by hand")

    def _refuse(self, offset: int, refused: Refused) -> None:
        self._find(offset, refused.name, refused.reason, refused.hint)

    def _find(self, offset: int, name: str, reason: str, hint: str) -> None:
        line, column = self.module.place(offset)
        self.findings.append(Finding(self.path, line, column, name, reason, hint))


def _unique(pairs: Iterable[tuple[Item, str]]) -> list[Name]:
    """The names of one statement; where two old spellings become one, it is imported once."""
    found: dict[tuple[str, str], Name] = {}
    for item, name in pairs:
        local = item.alias or item.name
        alias = local if item.alias or local != name else ""
        found.setdefault((name, alias), Name(name, alias, tuple(item.above), item.beside))
    return list(found.values())
