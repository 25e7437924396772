"""Shell scripts with places for values, which reach the shell as variables and never as code.

``{inputs.x}``, ``{outputs.y}`` and ``{ctx.z}`` are the places. Each becomes the expansion of a variable, written so
that it is one word where it stands: quoted in plain code, plain between double quotes, and outside of single quotes.
Even where a script is so clever that its quoting is misread, a value can be split into words there but not be executed.
"""

from __future__ import annotations

import re
import shlex
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from flytepath.errors import DefinitionError

ROOTS: Final = ("inputs", "outputs", "ctx")
_STEPS = r"(?:\.[^\W\d]\w*|\[[^\[\]{}]*\])"
_PLACE: Final = re.compile(rf"\{{({'|'.join(ROOTS)})({_STEPS}+)(?:!([rsa]))?(?::([^{{}}]*))?\}}")
_PATH: Final = re.compile(rf"({'|'.join(ROOTS)})({_STEPS}+)")
_STEP: Final = re.compile(r"\.([^\W\d]\w*)|\[([^\[\]{}]*)\]")
#: What was probably meant to be a place.
_NEARLY: Final = re.compile(r"\{\s*((?:inputs?|outputs?|ctx|context)\b[^{}\s]*)[^{}]*\}")
#: The other way to write a place, in which flytekit's documentation shows it for output locations.
_DOTTED: Final = re.compile(r"\{\{\s*\.(inputs\.[^\W\d]\w*)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value goes: a root of :data:`ROOTS`, the steps from there, and how the value is formatted."""

    root: str
    steps: tuple[str | int, ...]
    conversion: str = ""
    spec: str = ""

    @property
    def name(self) -> str:
        """The first step: the name of an input, an output or a fact of the context."""
        return str(self.steps[0])

    def __str__(self) -> str:
        shown = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.steps)
        return f"{{{self.root}{shown}}}"


Piece = str | Place


def parse_template(text: str, where: str) -> tuple[Piece, ...]:
    """The pieces of a template: text as it is, and places.

    Braces are doubled either everywhere, as ``str.format`` wants them, or nowhere: then those that are no place are the
    shell's own, and ``${HOME}`` or ``awk '{print $1}'`` need no care.

    Raises:
        DefinitionError: a place that cannot be read, or braces of which only some are doubled.

    Example:
        >>> parse_template("cat {inputs.x} > ${HOME}/y", "task")
        ('cat ', Place(root='inputs', steps=('x',), conversion='', spec=''), ' > ${HOME}/y')
    """
    text = _DOTTED.sub(r"{\1}", text)
    pieces = _formatted(text)
    if pieces is None:
        if "{{" in text:
            raise DefinitionError(
                "some braces are doubled and some are not, so that it is not clear which are the shell's",
                place=where,
                hint="double every brace that is no {inputs.x}, {outputs.x} or {ctx.x}, or double none",
            )
        pieces = _plain(text)
    for piece in pieces:
        nearly = _NEARLY.search(piece) if isinstance(piece, str) else None
        if nearly is not None:
            raise DefinitionError(
                f"{nearly.group(0)} is no place for a value",
                place=where,
                expected="{inputs.NAME}, {outputs.NAME} or {ctx.NAME}",
                actual=nearly.group(0),
            )
    return pieces


def _formatted(text: str) -> tuple[Piece, ...] | None:
    """The pieces of a text that is a format string whose every field is a place; ``None`` for any other."""
    pieces: list[Piece] = []
    try:
        for literal, field, spec, conversion in string.Formatter().parse(text):
            if literal:
                pieces.append(literal)
            if field is None:
                continue
            found = _PATH.fullmatch(field)
            if found is None or "{" in (spec or ""):
                return None
            pieces.append(_place(found.group(1), found.group(2), conversion, spec))
    except ValueError:
        return None
    return tuple(pieces)


def _plain(text: str) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    start = 0
    for found in _PLACE.finditer(text):
        if found.start() > start:
            pieces.append(text[start : found.start()])
        pieces.append(_place(*found.groups()))
        start = found.end()
    if start < len(text):
        pieces.append(text[start:])
    return tuple(pieces)


def _place(root: str, steps: str, conversion: str | None, spec: str | None) -> Place:
    path: list[str | int] = []
    for attribute, index in _STEP.findall(steps):
        path.append(attribute or (int(index) if index.isdigit() else index))
    return Place(root, tuple(path), conversion or "", spec or "")


# --- where a place stands ----------------------------------------------------------------------------------------

#: The states of the reader. Between single quotes there are no expansions, between double ones there are.
_CODE, _SINGLE, _ANSI, _DOUBLE, _COMMENT = "code", "single", "ansi", "double", "comment"
_ARITHMETIC, _PARAMETER, _HEREDOC, _RAW_HEREDOC = "arithmetic", "parameter", "heredoc", "raw heredoc"
_WORD_ENDS: Final = " \t\n;&|<>()"


class ShellReader:
    """Follows a script's quoting, piece by piece, as far as is needed to write an expansion into it.

    Example:
        >>> reader = ShellReader()
        >>> reader.read('echo "hello ')
        >>> reader.state
        'double'
    """

    def __init__(self) -> None:
        self._stack = [_CODE]
        self._word = False  # whether a word has begun, after which # starts no comment
        self._parens = [0]  # how many are open, in each of the states
        self._awaited: list[tuple[str, bool, bool]] = []
        self._line = ""
        self.last = ""  # what stands directly before: a backslash or a dollar that would take the place as its own

    @property
    def state(self) -> str:
        """What kind of text comes next."""
        return self._stack[-1]

    @property
    def is_quoted(self) -> bool:
        """Whether expansions here are not split into words."""
        for state in reversed(self._stack):
            if state != _PARAMETER:
                return state in (_DOUBLE, _HEREDOC)
        return False

    def skip(self) -> None:
        """Go past a place."""
        self._word = True
        self._line += "x"
        self.last = ""

    def read(self, text: str) -> None:
        """Go past ``text``."""
        position = 0
        while position < len(text):
            position += max(1, self._step(text, position))
        trailing = len(text) - len(text.rstrip("\\"))
        escaping = self.state not in (_SINGLE, _COMMENT, _RAW_HEREDOC) and trailing % 2 == 1
        self.last = "\\" if escaping else ("$" if text.endswith("$") and self.state != _SINGLE else "")

    def _step(self, text: str, at: int) -> int:
        """Read one character or token; how long it is."""
        state, char = self.state, text[at]
        if state == _SINGLE:
            return self._leave(1) if char == "'" else 1
        if state in (_HEREDOC, _RAW_HEREDOC):
            return self._heredoc(text, at)
        if state == _COMMENT:
            return self._newline() if char == "\n" else 1
        if char == "\\":
            self._word = True
            return 2
        if state == _ANSI:
            return self._leave(1) if char == "'" else 1
        if state == _DOUBLE:
            return self._leave(1) if char == '"' else self._expansion(text, at)
        if state == _ARITHMETIC:
            return self._arithmetic(text, at)
        if state == _PARAMETER and char == "}":
            return self._leave(1)
        return self._code(text, at)

    def _code(self, text: str, at: int) -> int:
        char = text[at]
        if char == "\n" and self.state == _CODE:
            return self._newline()
        if char == "#" and not self._word and self.state == _CODE:
            return self._enter(_COMMENT, 1)
        if char in "'\"":
            inside = _DOUBLE in self._stack and self.state == _PARAMETER and char == "'"
            return 1 if inside else self._enter(_SINGLE if char == "'" else _DOUBLE, 1)
        if text.startswith("<<", at) and not text.startswith("<<<", at) and self.state == _CODE:
            return self._announce(text, at)
        if text.startswith("<<<", at):
            return 3
        if text.startswith("((", at) and not self._word and self.state == _CODE:
            return self._enter(_ARITHMETIC, 2)
        if char == "(":
            self._parens[-1] += 1
        elif char == ")":
            if self._parens[-1] == 0 and self.state == _CODE:
                return self._leave(1)
            self._parens[-1] = max(0, self._parens[-1] - 1)
        self._word = char not in _WORD_ENDS
        return self._expansion(text, at)

    def _expansion(self, text: str, at: int) -> int:
        if text.startswith("$((", at):
            return self._enter(_ARITHMETIC, 3)
        if text.startswith("$(", at):
            return self._enter(_CODE, 2)
        if text.startswith("${", at):
            return self._enter(_PARAMETER, 2)
        if text.startswith("$'", at) and self.state != _DOUBLE:
            return self._enter(_ANSI, 2)
        if text[at] == "`":
            # A second one closes; what is between them is code like any other.
            return 1
        return 1

    def _arithmetic(self, text: str, at: int) -> int:
        if text[at] == "(":
            self._parens[-1] += 1
        elif text[at] == ")":
            if self._parens[-1] == 0:
                return self._leave(2)
            self._parens[-1] -= 1
        return self._expansion(text, at)

    def _announce(self, text: str, at: int) -> int:
        """``<<EOF``: a here-document begins after this line."""
        end = at + 2
        tabs = text.startswith("-", end)
        end += tabs
        while text[end : end + 1] in (" ", "\t") and end < len(text):
            end += 1
        start = end
        while end < len(text) and text[end] not in _WORD_ENDS:
            end += 1
        word = text[start:end]
        self._awaited.append((re.sub(r"[\\'\"]", "", word), any(c in word for c in "\\'\""), tabs))
        self._word = True
        return end - at

    def _newline(self) -> int:
        if self.state == _COMMENT:
            self._leave(0)
        self._word = False
        if self._awaited:
            self._line = ""
            self._enter(_RAW_HEREDOC if self._awaited[0][1] else _HEREDOC, 0)
        return 1

    def _heredoc(self, text: str, at: int) -> int:
        char = text[at]
        if char != "\n":
            self._line += char
            return 1
        delimiter, _, tabs = self._awaited[0]
        if (self._line.lstrip("\t") if tabs else self._line) == delimiter:
            self._awaited.pop(0)
            self._leave(0)
            return self._newline()
        self._line = ""
        return 1

    def _enter(self, state: str, length: int) -> int:
        self._stack.append(state)
        self._parens.append(0)
        self._word = state != _CODE
        return length

    def _leave(self, length: int) -> int:
        if len(self._stack) > 1:
            self._stack.pop()
            self._parens.pop()
        self._word = True
        return length


# --- the script that runs ----------------------------------------------------------------------------------------


def check_places(pieces: Sequence[Piece], is_plain: Callable[[Place], bool], where: str) -> None:
    """Refuse places at which no value can stand.

    Args:
        pieces: the script.
        is_plain: whether a place's value is a number, which is written into the script as it is.
        where: the task, for errors.

    Raises:
        DefinitionError: for each kind, with what to write instead.
    """
    reader = ShellReader()
    for piece in pieces:
        if isinstance(piece, str):
            reader.read(piece)
            continue
        if reader.last:
            raise DefinitionError(
                f"a {'backslash' if reader.last == chr(92) else 'dollar sign'} stands before {piece}",
                place=where,
                hint=f"write {piece} alone: it is replaced by a quoted value",
            )
        if not is_plain(piece) and reader.state == _RAW_HEREDOC:
            raise DefinitionError(
                f"{piece} stands in a here-document whose delimiter is quoted: nothing is replaced there",
                place=where,
                hint="take the quotes off the delimiter: <<EOF",
            )
        if not is_plain(piece) and reader.state == _ARITHMETIC:
            raise DefinitionError(
                f"{piece} is text in an arithmetic expression, which shells may execute",
                place=where,
                expected="a number",
                hint="declare the input as int or float",
            )
        reader.skip()


def rendered(pieces: Sequence[Piece], value_of: Callable[[Place], str | list[str]]) -> tuple[str, dict[str, str]]:
    """The script with its places as expansions, and the variables that they expand.

    ``value_of`` gives the text of a place, or a list of texts: as many words.

    Example:
        >>> rendered(parse_template("echo {inputs.x}", "task"), lambda place: "a b; rm -r c")
        ('echo "${_flytepath_0}"', {'_flytepath_0': 'a b; rm -r c'})
        >>> rendered(parse_template("seq {inputs.n}", "task"), lambda place: "12")
        ('seq 12', {})
    """
    reader = ShellReader()
    script: list[str] = []
    variables: dict[str, str] = {}

    def expansion(text: str) -> str:
        if _NUMBER.fullmatch(text):
            return text
        name = f"_flytepath_{len(variables)}"
        variables[name] = text
        inside = f"${{{name}}}"
        if reader.state == _SINGLE:
            return f"'\"{inside}\"'"
        if reader.state == _ANSI:
            return f"'\"{inside}\"$'"
        return inside if reader.is_quoted or reader.state in (_ARITHMETIC, _COMMENT) else f'"{inside}"'

    for piece in pieces:
        if isinstance(piece, str):
            reader.read(piece)
            script.append(piece)
            continue
        value = value_of(piece)
        script.append(" ".join(map(expansion, value)) if isinstance(value, list) else expansion(value))
        reader.skip()
    return "".join(script), variables


#: Text that means itself to every shell, wherever it stands.
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?|True|False|-?inf|nan", re.ASCII)


def assignments(variables: Mapping[str, str]) -> str:
    """The variables as a script that sets them.

    Example:
        >>> assignments({"x": "it's"})
        'x=\\'it\\'"\\'"\\'s\\'\\n'
    """
    return "".join(f"{name}={shlex.quote(text)}\n" for name, text in variables.items())
