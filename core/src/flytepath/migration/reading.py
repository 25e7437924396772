"""Reads a Python module with libcst: its imports of flytekit, every use of them, and the strings that name them.

Only facts with their places in the text: what becomes of them is decided in ``python``.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import libcst as cst
from libcst.metadata import ImportAssignment, MetadataWrapper, PositionProvider, Scope, ScopeProvider

from flytepath.migration.table import ROOTS

_NEWLINE: Final = re.compile(r"\r\n|\r|\n")
_PACKAGE_LISTS: Final = frozenset({"packages", "install_requires", "extras_require", "tests_require", "requirements"})
TOO_DEEP: Final = "an expression in it is nested too deeply"
Span = tuple[int, int]
Key = tuple[int, str]


@dataclass(slots=True, eq=False)
class Item:
    """One name of an import statement, with the comments that belong to it."""

    name: str
    alias: str
    span: Span
    name_span: Span
    above: list[str] = field(default_factory=list)
    beside: str = ""


@dataclass(slots=True, eq=False)
class Statement:
    """An import statement. ``module`` is empty for ``import x``; ``indent`` is None where it shares its line."""

    module: str
    module_span: Span
    items: list[Item]
    span: Span
    star: bool
    indent: str | None
    body: int
    bare_line: bool
    scope: Scope | None
    node: cst.CSTNode


@dataclass(slots=True)
class Use:
    """A dotted name as it is written, whose first part an import of flytekit binds."""

    parts: list[str]
    span: Span
    in_string: bool = False


@dataclass(slots=True)
class Text:
    """A string literal that mentions flytekit; ``place`` says in what."""

    value: str
    span: Span
    inner: int
    plain: bool
    place: str


@dataclass(slots=True)
class Module:
    """The facts of one module."""

    text: str
    newline: str
    statements: list[Statement]
    uses: dict[Key, list[Use]]
    mixed: set[Key]
    assigned: set[str]
    texts: list[Text]
    type_comments: list[tuple[str, Span]]
    elsewhere: list[tuple[str, Span]]
    doctests: list[tuple[str, Span]]
    unbound: set[str]
    starts: list[int]

    def key_of(self, statement: Statement, local: str) -> Key:
        """The scope and name that an import binds."""
        return _key(statement.scope, local, statement.node)

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column, from 1."""
        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1


def read(source: bytes) -> tuple[cst.Module, Module]:
    """Parse and collect.

    Raises:
        UnreadableError: as :func:`parse` does, and for expressions that are nested too deeply.
    """
    tree = parse(source)
    try:
        collector = _Collector(tree, MetadataWrapper(tree, unsafe_skip_copy=True))
        tree.visit(collector)
        return tree, collector.module()
    except RecursionError as error:
        raise UnreadableError(TOO_DEEP, 1) from error


def parse(source: bytes) -> cst.Module:
    """Parse. The bytes that libcst gives back are the same, or this raises.

    Raises:
        UnreadableError: it is not Python, its encoding is wrong, or it would not survive the round trip.
    """
    try:
        tree = cst.parse_module(source)
        same = tree.bytes == source
    except RecursionError as error:
        raise UnreadableError(TOO_DEEP, 1) from error
    except (cst.ParserSyntaxError, UnicodeError, SyntaxError, LookupError) as error:
        line = getattr(error, "raw_line", 1)
        text = getattr(error, "message", None) or str(error)
        raise UnreadableError(" ".join(text.split()), line) from error
    if not same:
        raise UnreadableError("libcst does not give back the same bytes", 1)
    return tree


class UnreadableError(ValueError):
    """A file that cannot be parsed; ``line`` says where. Never leaves this package."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def dotted(node: cst.CSTNode | None) -> list[str] | None:
    """The parts of ``a.b.c``; ``None`` for anything that is not names and dots only."""
    parts: list[str] = []
    while isinstance(node, cst.Attribute):
        parts.append(node.attr.value)
        node = node.value
    if not isinstance(node, cst.Name):
        return None
    return [node.value, *reversed(parts)]


def _key(scope: Scope | None, local: str, node: cst.CSTNode) -> Key:
    for assignment in scope[local] if scope is not None and local in scope else ():
        if isinstance(assignment, ImportAssignment) and assignment.node is node:
            return id(assignment.scope), local
    return id(scope), local


class _Collector(cst.CSTVisitor):
    def __init__(self, tree: cst.Module, wrapper: MetadataWrapper) -> None:
        super().__init__()
        self.tree, self.text = tree, tree.code
        self.scopes = wrapper.resolve(ScopeProvider)
        self.positions = wrapper.resolve(PositionProvider)
        self.starts = [0, *(match.end() for match in _NEWLINE.finditer(self.text))]
        self.statements: list[Statement] = []
        self.chains: list[tuple[list[str], Span, Scope]] = []
        self.quoted: list[tuple[Text, Scope | None]] = []
        self.texts: list[Text] = []
        self.comments: list[tuple[str, Span]] = []
        self.elsewhere: list[tuple[str, Span]] = []
        self.doctests: list[tuple[str, Span]] = []
        self.bodies: list[int] = [0]
        self.lines: list[cst.SimpleStatementLine | cst.SimpleStatementSuite] = []
        self.annotations: list[bool] = [False]
        self.keywords: list[str] = []
        self.called: list[str] = []

    # --- statements --------------------------------------------------------------------------------------------

    def visit_IndentedBlock(self, node: cst.IndentedBlock) -> None:
        self.bodies.append(id(node))

    def leave_IndentedBlock(self, original_node: cst.IndentedBlock) -> None:
        self.bodies.pop()

    def visit_SimpleStatementLine(self, node: cst.SimpleStatementLine) -> None:
        self.lines.append(node)

    def leave_SimpleStatementLine(self, original_node: cst.SimpleStatementLine) -> None:
        self.lines.pop()

    def visit_SimpleStatementSuite(self, node: cst.SimpleStatementSuite) -> None:
        self.lines.append(node)

    def leave_SimpleStatementSuite(self, original_node: cst.SimpleStatementSuite) -> None:
        self.lines.pop()

    def visit_Expr(self, node: cst.Expr) -> bool:
        if not isinstance(node.value, (cst.SimpleString, cst.ConcatenatedString)):
            return True
        start, end = self._span(node)
        for match in re.finditer(r"^\s*>>> (.*\bflytekit.*?)\s*$", self.text[start:end], re.MULTILINE):
            self.doctests.append((match[1], (start + match.start(1), start + match.end(1))))
        return False

    def visit_Import(self, node: cst.Import) -> bool:
        items = [self._item(alias) for alias in node.names]
        if any(item.name.partition(".")[0] in ROOTS for item in items) or [item.name for item in items] == [
            "flytepath"
        ]:
            self._add(node, "", (0, 0), items, star=False)
        return False

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        parts = [] if node.relative else dotted(node.module) or []
        names = node.names if not isinstance(node.names, cst.ImportStar) else ()
        if not parts or parts[0] not in ROOTS or node.module is None:
            for alias in names:
                if isinstance(alias.name, cst.Name) and alias.name.value in ROOTS:
                    self.elsewhere.append((alias.name.value, self._span(alias.name)))
            return False
        items = [self._item(alias) for alias in names]
        self._comments(node, names, items)
        self._add(node, ".".join(parts), self._span(node.module), items, isinstance(node.names, cst.ImportStar))
        return False

    def _add(self, node: cst.CSTNode, module: str, module_span: Span, items: list[Item], star: bool) -> None:
        line = self.lines[-1] if self.lines else None
        span = self._span(node)
        start = self.starts[bisect_right(self.starts, span[0]) - 1]
        before = self.text[start : span[0]]
        alone = isinstance(line, cst.SimpleStatementLine) and len(line.body) == 1
        bare = alone and isinstance(line, cst.SimpleStatementLine) and line.trailing_whitespace.comment is None
        self.statements.append(
            Statement(
                module=module,
                module_span=module_span,
                items=items,
                span=span,
                star=star,
                indent=before if alone and not before.strip() else None,
                body=self.bodies[-1],
                bare_line=bare and re.match(r"[^\S\r\n]*(?:[\r\n]|\Z)", self.text[span[1] :]) is not None,
                scope=self.scopes.get(node),
                node=node,
            )
        )

    def _item(self, alias: cst.ImportAlias) -> Item:
        local = alias.asname.name.value if alias.asname and isinstance(alias.asname.name, cst.Name) else ""
        name_span = self._span(alias.name)
        end = self._span(alias.asname.name)[1] if alias.asname else name_span[1]
        return Item(".".join(dotted(alias.name) or []), local, (name_span[0], end), name_span)

    def _comments(self, node: cst.ImportFrom, names: Sequence[cst.ImportAlias], items: list[Item]) -> None:
        if node.lpar is not None and items:
            beside, below = _comments_in(node.lpar.whitespace_after)
            items[0].above = [*beside, *below]
        for index, alias in enumerate(names):
            comma = alias.comma
            last = index + 1 == len(items)
            space = comma.whitespace_after if isinstance(comma, cst.Comma) else None
            if last and not isinstance(comma, cst.Comma) and node.rpar is not None:
                space = node.rpar.whitespace_before
            beside, below = _comments_in(space)
            items[index].beside = "  ".join(beside)
            if not last:
                items[index + 1].above = below
            elif below:
                items[index].beside = "  ".join([*beside, *below])

    # --- uses ----------------------------------------------------------------------------------------------------

    def visit_Attribute(self, node: cst.Attribute) -> bool:
        parts = dotted(node)
        if parts is None:
            return True
        root: cst.BaseExpression = node
        while isinstance(root, cst.Attribute):
            root = root.value
        scope = self.scopes.get(root)
        if scope is not None:
            self.chains.append((parts, self._span(node), scope))
        return False

    def visit_Name(self, node: cst.Name) -> None:
        scope = self.scopes.get(node)
        if scope is not None:
            self.chains.append(([node.value], self._span(node), scope))

    def visit_Comment(self, node: cst.Comment) -> None:
        if re.match(r"#\s*type:.*\bflytekit", node.value):
            self.comments.append((node.value, self._span(node)))

    # --- strings -------------------------------------------------------------------------------------------------

    def visit_Annotation(self, node: cst.Annotation) -> None:
        self.annotations.append(True)

    def leave_Annotation(self, original_node: cst.Annotation) -> None:
        self.annotations.pop()

    def visit_Subscript(self, node: cst.Subscript) -> bool:
        name = (dotted(node.value) or [""])[-1]
        if not self.annotations[-1] or name not in {"Literal", "Annotated"}:
            return True
        node.value.visit(self)
        for index, element in enumerate(node.slice):
            self.annotations.append(name == "Annotated" and index == 0)
            element.visit(self)
            self.annotations.pop()
        return False

    def visit_Call(self, node: cst.Call) -> None:
        function = node.func.attr if isinstance(node.func, cst.Attribute) else node.func
        self.called.append(function.value if isinstance(function, cst.Name) else "")

    def leave_Call(self, original_node: cst.Call) -> None:
        self.called.pop()

    def visit_Arg(self, node: cst.Arg) -> None:
        name = node.keyword.value if node.keyword is not None else ""
        if not name and self.called and self.called[-1] == "with_packages":
            name = "packages"
        self.keywords.append(name or (self.keywords[-1] if self.keywords else ""))

    def leave_Arg(self, original_node: cst.Arg) -> None:
        self.keywords.pop()

    def visit_SimpleString(self, node: cst.SimpleString) -> None:
        if "flyte" not in node.value and not self.annotations[-1]:
            return
        value = node.evaluated_value
        if not isinstance(value, str):
            return
        span = self._span(node)
        inner = len(node.prefix) + len(node.quote)
        plain = node.value[inner : -len(node.quote)] == value
        place = "annotation" if self.annotations[-1] else "call" if self.keywords else ""
        if place == "call" and self.keywords[-1] in _PACKAGE_LISTS:
            place = "packages"
        text = Text(value, span, span[0] + inner, plain, place)
        if place == "annotation":
            self.quoted.append((text, self.scopes.get(node)))
        elif "flytekit" in value:
            self.texts.append(text)

    # --- together ------------------------------------------------------------------------------------------------

    def module(self) -> Module:
        ours = {id(item.node): item for item in self.statements}
        uses: dict[Key, list[Use]] = {}
        unbound: set[str] = set()
        for parts, span, scope in self.chains:
            if parts[0] not in scope:
                unbound.add(parts[0])
            for key in self._keys(scope, parts[0], ours):
                uses.setdefault(key, []).append(Use(parts, span))
        for text, quoted_in in self.quoted:
            for match in re.finditer(r"(?<![\w.])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", text.value) if text.plain else ():
                parts = match[0].split(".")
                span = (text.inner + match.start(), text.inner + match.end())
                found = self._keys(quoted_in or self._global(), parts[0], ours)
                for key in found:
                    uses.setdefault(key, []).append(Use(parts, span, in_string=True))
        scopes = {id(scope): scope for scope in self.scopes.values() if scope is not None}
        mixed, assigned = _assignments(scopes.values(), ours)
        return Module(
            text=self.text,
            newline=self.tree.default_newline,
            statements=self.statements,
            uses=uses,
            mixed=mixed,
            assigned=assigned,
            texts=self.texts,
            type_comments=self.comments,
            elsewhere=self.elsewhere,
            doctests=self.doctests,
            unbound=unbound,
            starts=self.starts,
        )

    def _global(self) -> Scope:
        return next(scope.globals for scope in self.scopes.values() if scope is not None)

    @staticmethod
    def _keys(scope: Scope, name: str, ours: dict[int, Statement]) -> set[Key]:
        if name not in scope:
            return set()
        found = scope[name]
        return {(id(a.scope), name) for a in found if isinstance(a, ImportAssignment) and id(a.node) in ours}

    def _span(self, node: cst.CSTNode) -> Span:
        where = self.positions[node]
        return (
            self.starts[where.start.line - 1] + where.start.column,
            self.starts[where.end.line - 1] + where.end.column,
        )


def _assignments(scopes: Iterable[Scope], ours: dict[int, Statement]) -> tuple[set[Key], set[str]]:
    """The keys that something else binds too, and every name that is bound by anything but its own plain import."""
    mixed: set[Key] = set()
    assigned: set[str] = set()
    for scope in scopes:
        by_name: dict[str, list[bool]] = {}
        for assignment in scope.assignments:
            if assignment.scope is not scope:
                continue
            imported = isinstance(assignment, ImportAssignment)
            node = getattr(assignment, "node", None)
            by_name.setdefault(assignment.name, []).append(imported and id(node) in ours)
            if not (imported and isinstance(node, cst.Import) and _binds_plainly(node, assignment.name)):
                assigned.add(assignment.name)
        mixed |= {(id(scope), name) for name, kinds in by_name.items() if any(kinds) and not all(kinds)}
    return mixed, assigned


def _binds_plainly(node: cst.Import, name: str) -> bool:
    return any(alias.asname is None and (dotted(alias.name) or [""])[0] == name for alias in node.names)


def _comments_in(space: cst.CSTNode | None) -> tuple[list[str], list[str]]:
    if not isinstance(space, cst.ParenthesizedWhitespace):
        return [], []
    beside = [space.first_line.comment.value] if space.first_line.comment else []
    return beside, [line.comment.value for line in space.empty_lines if line.comment]
