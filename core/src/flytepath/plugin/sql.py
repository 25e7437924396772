"""SQL with inputs: a query template compiled once to text and parameters, and rendered for the style of each driver.

A value is never written into the text. Where the template says ``{{ .inputs.x }}`` there is a parameter; the driver
carries its value. Names of tables and columns cannot be parameters: they are inputs of type :data:`Identifier`, which
are checked, and quoted as the dialect wants it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from flytepath.errors import DefinitionError, InputError
from flytepath.model.types import LiteralType

Json = Any
#: How drivers mark parameters, by the names of PEP 249.
ParamStyle = Literal["named", "pyformat", "qmark", "format", "numeric"]

_TEMPLATE: Final = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_INPUT: Final = re.compile(r"\s*\.inputs\.([^\W\d]\w*)\s*", re.IGNORECASE)
_PART: Final = re.compile(r"[^\W\d][\w$]*")
#: Kinds of values that drivers carry.
_VALUES: Final = frozenset(
    {"boolean", "integer", "float", "string", "bytes", "decimal", "datetime", "date", "time", "timedelta", "uuid"}
)
_LISTS: Final = frozenset({"list", "tuple", "set", "frozenset"})
#: A list without items, as what ``IN`` takes: no row. An empty pair of parentheses is an error in most dialects.
_NOTHING: Final = "SELECT x FROM (SELECT NULL AS x) no_items WHERE 1 = 0"


@dataclass(frozen=True, slots=True)
class IdentifierMarker:
    """What makes a text an :data:`Identifier`."""


#: The name of a table, column, schema or the like, with dots between its parts: the type of an input that stands in a
#: query as a name. Its values are text.
Identifier = Annotated[str, IdentifierMarker()]


@dataclass(frozen=True, slots=True)
class Statement:
    """A compiled query.

    Args:
        pieces: text, and the parameters between it.
        count: how many statements the text holds, as far as ``;`` tells.
    """

    pieces: tuple[str | Parameter, ...]
    count: int = 1

    @property
    def text(self) -> str:
        """The query with named parameters, ``:x``, for people."""
        return "".join(piece if isinstance(piece, str) else f":{piece.name}" for piece in self.pieces)

    def to_json(self) -> dict[str, Json]:
        """The payload of a SQL task. ``statement`` and ``parameters`` are for people, ``pieces`` is what counts."""
        seen = {piece.name: piece.to_json() for piece in self.pieces if isinstance(piece, Parameter)}
        return {
            "statement": self.text,
            "statements": self.count,
            "parameters": list(seen.values()),
            "pieces": [piece if isinstance(piece, str) else piece.to_json() for piece in self.pieces],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Statement:
        """The inverse of :meth:`to_json`."""
        pieces = (piece if isinstance(piece, str) else Parameter.from_json(piece) for piece in data["pieces"])
        return cls(tuple(pieces), data.get("statements", 1))


@dataclass(frozen=True, slots=True)
class Parameter:
    """A place for the value of an input.

    Args:
        name: the input.
        type: its literal type, or the type of its items, as text.
        kind: one ``value``, a ``list`` that expands to as many, or an ``identifier``, which is written into the text.
        enclosed: for a list, whether the template has it between parentheses of its own, alone or among other values.
    """

    name: str
    type: str
    kind: Literal["value", "list", "identifier"] = "value"
    enclosed: Literal["", "alone", "among"] = ""

    def to_json(self) -> dict[str, Json]:
        """Plain data with only the fields that say something."""
        out = {"name": self.name, "type": self.type, "kind": self.kind}
        return out | ({"enclosed": self.enclosed} if self.enclosed else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Parameter:
        """The inverse of :meth:`to_json`."""
        return cls(data["name"], data["type"], data["kind"], data.get("enclosed", ""))


@dataclass(frozen=True, slots=True)
class Rendered:
    """A query as a driver takes it.

    Args:
        text: the query with the driver's own parameter marks.
        parameters: a dict for named styles, a list for positional ones.
    """

    text: str
    parameters: dict[str, Any] | list[Any]

    @property
    def arguments(self) -> tuple[Any, ...]:
        """What ``cursor.execute`` takes: without parameters the text alone, which drivers then leave as it is."""
        return (self.text, self.parameters) if self.parameters else (self.text,)


# --- compiling ---------------------------------------------------------------------------------------------------


def compile_sql(
    template: str, inputs: Mapping[str, LiteralType], python_inputs: Mapping[str, Any], place: str = "query_template"
) -> Statement:
    """The statement of a query template.

    Args:
        template: SQL with ``{{ .inputs.x }}`` where values go.
        inputs, python_inputs: the types of the inputs, as in a :class:`~flytepath.plugin.TaskDeclaration`.
        place: where the template stands, for errors.

    Raises:
        DefinitionError: an unknown or an unused input, a template inside a string, a quoted name or a comment, or an
            input whose values no driver carries.

    Example:
        >>> compile_sql("select * from t where a > {{ .inputs.x }}", {"x": LiteralType("integer")}, {"x": int}).text
        'select * from t where a > :x'
    """
    if not isinstance(template, str) or not template.strip():
        raise DefinitionError("the query is text", place=place, expected="SQL", actual=repr(template))
    used: set[str] = set()
    pieces: list[str | Parameter] = []
    start = 0
    quoted = quoted_spans(template)
    for found in _TEMPLATE.finditer(template):
        name = _input_name(found, inputs, place)
        what = next((what for first, last, what in quoted if first < found.end() and found.start() < last), None)
        if what is not None:
            raise DefinitionError(
                f"{found.group(0)} stands inside {what}, where no parameter can be",
                place=place,
                hint=_OUTSIDE[what],
            )
        if found.start() > start:
            pieces.append(template[start : found.start()])
        kind, text = _parameter_kind(name, inputs[name], python_inputs.get(name), place)
        pieces.append(Parameter(name, text, kind, _enclosed(template, found) if kind == "list" else ""))
        used.add(name)
        start = found.end()
    if start < len(template):
        pieces.append(template[start:])
    unused = [name for name in inputs if name not in used]
    if unused:
        raise DefinitionError(
            f"the query does not use the input {unused[0]!r}",
            place=place,
            expected=f"{{{{ .inputs.{unused[0]} }}}} in the query",
            hint="take it out of the inputs",
        )
    return Statement(tuple(pieces), _statements(template, quoted))


_STRING, _NAME, _COMMENT = "a string", "a quoted name or string", "a comment"
_OUTSIDE: Final = {
    _STRING: "take the quotes away: the driver sends text as text; to add to it use ||, as in {{ .inputs.x }} || '%'",
    _NAME: "take the quotes away; a table's or column's name is an input of type Identifier, which is quoted for you",
    _COMMENT: "take it out of the comment",
}


def _input_name(found: re.Match[str], inputs: Mapping[str, LiteralType], place: str) -> str:
    inside = _INPUT.fullmatch(found.group(1))
    if inside is None or inside.group(1) not in inputs:
        raise DefinitionError(
            f"{found.group(0)} names no input",
            place=place,
            expected=", ".join(f"{{{{ .inputs.{name} }}}}" for name in inputs) or "no templates: there are no inputs",
            actual=found.group(0),
        )
    return inside.group(1)


def _parameter_kind(
    name: str, declared: LiteralType, python_type: Any, place: str
) -> tuple[Literal["value", "list", "identifier"], str]:
    if any(isinstance(mark, IdentifierMarker) for mark in getattr(python_type, "__metadata__", ())):
        return "identifier", str(declared)
    if _is_value(declared):
        return "value", str(declared)
    if declared.kind in _LISTS and len(set(declared.items)) == 1 and _is_value(declared.items[0]):
        return "list", str(declared.items[0])
    raise DefinitionError(
        f"input {name!r} of type {declared} cannot be a parameter of a query",
        place=place,
        expected="text, a number, a truth value, bytes, a date or time, or a list of those",
        actual=str(declared),
        hint="pass its parts as inputs of their own",
    )


def _is_value(declared: LiteralType) -> bool:
    if declared.kind == "union":
        return all(item.kind == "none" or _is_value(item) for item in declared.items)
    return declared.kind in _VALUES


def _enclosed(template: str, found: re.Match[str]) -> Literal["", "alone", "among"]:
    before, after = template[: found.start()].rstrip()[-1:], template[found.end() :].lstrip()[:1]
    if (before, after) == ("(", ")"):
        return "alone"
    return "among" if before in ("(", ",") and after in (")", ",") else ""


def _statements(template: str, quoted: Sequence[tuple[int, int, str]]) -> int:
    text = list(template)
    for first, last, what in quoted:
        text[first:last] = " " * (last - first) if what == _COMMENT else "q" * (last - first)
    return sum(1 for part in "".join(text).split(";") if part.strip())


def quoted_spans(text: str) -> list[tuple[int, int, str]]:
    """Where strings, quoted names and comments are: (start, end, what). What any common dialect would read as one is.

    A backslash before a quote ends a string in some dialects and not in others: what either reading holds is quoted.

    Example:
        >>> quoted_spans("select 'a' -- b")
        [(7, 10, 'a string'), (11, 15, 'a comment')]
    """
    spans = list(_spans(text, backslashes=False))
    if "\\" in text:
        spans = sorted({*spans, *_spans(text, backslashes=True)})
    return spans


_DOLLARS: Final = re.compile(r"\$([^\W\d]\w*)?\$")


def _spans(text: str, *, backslashes: bool) -> Iterator[tuple[int, int, str]]:
    position = 0
    while position < len(text):
        char, start = text[position], position
        if char in "'\"`":
            position = _after_quote(text, position, backslashes and char != "`")
            yield start, position, _STRING if char == "'" else _NAME
        elif text.startswith("--", position):
            end = text.find("\n", position)
            position = len(text) if end < 0 else end
            yield start, position, _COMMENT
        elif text.startswith("/*", position):
            position = _after_comment(text, position)
            yield start, position, _COMMENT
        elif char == "$" and (found := _DOLLARS.match(text, position)) and not _in_word(text, position):
            end = text.find(found.group(0), found.end())
            position = len(text) if end < 0 else end + len(found.group(0))
            yield start, position, _STRING
        else:
            position += 1


def _in_word(text: str, position: int) -> bool:
    return position > 0 and (text[position - 1].isalnum() or text[position - 1] in "_$")


def _after_quote(text: str, position: int, backslashes: bool) -> int:
    quote = text[position]
    position += 1
    while position < len(text):
        if backslashes and text[position] == "\\":
            position += 2
            continue
        if text[position] == quote:
            if text[position + 1 : position + 2] != quote:
                return position + 1
            position += 1
        position += 1
    return len(text)


def _after_comment(text: str, position: int) -> int:
    """Comments nest in some dialects; where they do not, the first end counts, so the shorter reading is taken."""
    end = text.find("*/", position + 2)
    return len(text) if end < 0 else end + 2


# --- rendering ---------------------------------------------------------------------------------------------------


def render_sql(
    statement: Statement | Mapping[str, Json],
    values: Mapping[str, Any],
    paramstyle: ParamStyle,
    quote: str | tuple[str, str] = '"',
) -> Rendered:
    """A compiled query for one driver, with the values of one run.

    Args:
        statement: what :func:`compile_sql` made, or its payload.
        values: native values by input.
        paramstyle: the driver's, by its PEP 249 name.
        quote: what the dialect puts around names: one character, or an opening and a closing one.

    Raises:
        InputError: a value that is no identifier, or a list that cannot be empty.
        DefinitionError: text that the driver would take for a mark of its own.

    Example:
        >>> kinds = {"ids": LiteralType.list_of(LiteralType("integer")), "t": LiteralType("string")}
        >>> query = compile_sql("select * from {{ .inputs.t }} where id in {{ .inputs.ids }}", kinds, {"t": Identifier})
        >>> render_sql(query, {"t": "main.pets", "ids": [1, 2]}, "qmark")
        Rendered(text='select * from "main"."pets" where id in (?, ?)', parameters=[1, 2])
    """
    if not isinstance(statement, Statement):
        statement = Statement.from_json(statement)
    return _Renderer(statement, paramstyle, quote).render(values)


class _Renderer:
    def __init__(self, statement: Statement, paramstyle: ParamStyle, quote: str | tuple[str, str]) -> None:
        if paramstyle not in _MARKS:
            raise DefinitionError(
                "unknown parameter style", expected=", ".join(_MARKS), actual=repr(paramstyle), place="paramstyle"
            )
        self._statement = statement
        self._style = paramstyle
        self._quotes = (quote, quote) if isinstance(quote, str) else quote
        self._named: dict[str, Any] = {}
        self._listed: list[Any] = []
        self._texts = " ".join(piece for piece in statement.pieces if isinstance(piece, str))

    def render(self, values: Mapping[str, Any]) -> Rendered:
        by_position = self._style in ("qmark", "format", "numeric")
        marks = [
            piece if isinstance(piece, str) else self._marked(piece, values[piece.name])
            for piece in self._statement.pieces
        ]
        parameters: dict[str, Any] | list[Any] = self._listed if by_position else self._named
        if parameters:
            self._check_text()
        if parameters and self._style in ("pyformat", "format"):
            pairs = zip(marks, self._statement.pieces, strict=True)
            marks = [m.replace("%", "%%") if isinstance(p, str) or p.kind == "identifier" else m for m, p in pairs]
        return Rendered("".join(marks), parameters)

    def _marked(self, parameter: Parameter, value: Any) -> str:
        if parameter.kind == "identifier":
            return quoted_identifier(value, self._quotes, parameter.name)
        if parameter.kind == "value":
            return self._mark(parameter.name, value)
        items = sorted(value, key=repr) if isinstance(value, set | frozenset) else list(value)
        if items:
            inside = ", ".join(self._mark(f"{parameter.name}_{index}", item) for index, item in enumerate(items))
        elif parameter.enclosed == "among":
            raise InputError(
                f"the list {parameter.name!r} is empty", place=parameter.name, expected="one item or more among others"
            )
        else:
            inside = _NOTHING
        return inside if parameter.enclosed else f"({inside})"

    def _mark(self, name: str, value: Any) -> str:
        if self._style in ("qmark", "format", "numeric"):
            self._listed.append(value)
            return _MARKS[self._style].format(len(self._listed))
        while (name in self._named and self._named[name] is not value) or self._is_taken(name):
            name += "_"
        self._named[name] = value
        return _MARKS[self._style].format(name)

    def _is_taken(self, name: str) -> bool:
        return self._style == "named" and re.search(rf":{name}\b", self._texts) is not None

    def _check_text(self) -> None:
        """The text's own question marks and the like, where the driver would count them as its marks."""
        wrong = {"qmark": r"\?", "numeric": r"(?<![:\w]):\d"}.get(self._style)
        if wrong is None:
            return
        text = list(self._texts)
        for first, last, _ in quoted_spans(self._texts):
            text[first:last] = " " * (last - first)
        found = re.search(wrong, "".join(text))
        if found is not None:
            raise DefinitionError(
                f"the query holds {found.group(0)!r}, which the driver would take for a parameter",
                place="query_template",
                hint="use a function in place of the operator",
            )


_MARKS: Final[dict[str, str]] = {
    "named": ":{}",
    "pyformat": "%({})s",
    "qmark": "?",
    "format": "%s",
    "numeric": ":{}",
}


def quoted_identifier(value: Any, quotes: tuple[str, str] = ('"', '"'), place: str = "") -> str:
    """A name, each of its parts between quotes.

    Raises:
        InputError: it is not letters, digits, ``_`` and ``$``, in parts with dots between.

    Example:
        >>> quoted_identifier("sales.orders")
        '"sales"."orders"'
    """
    parts = value.split(".") if isinstance(value, str) else []
    if not parts or not all(_PART.fullmatch(part) for part in parts):
        raise InputError(
            "this cannot be the name of a table or column",
            place=place or None,
            expected="letters, digits, _ and $, with dots between the parts",
            actual=repr(value),
        )
    return ".".join(f"{quotes[0]}{part}{quotes[1]}" for part in parts)
