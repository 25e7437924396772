"""Rewrites the Python of a Jupyter notebook; outputs, metadata and the file's own formatting stay as they are.

All code cells are read as one module, since a name that one cell imports is used in others. Lines of IPython's own
(``%magic``, ``!command``, ``name?``) are set aside for that and put back unchanged.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from flytepath.migration.findings import Finding, Outcome
from flytepath.migration.python import rewrite_python
from flytepath.migration.requirements import mentions
from flytepath.migration.table import Table

_MAGIC: Final = re.compile(r"^(\s*)((?:[%!]|[\w.]+\?+\s*$|\?).*)$")
_MASK: Final = "pass  #flytepath-magic "
_CELL: Final = "#flytepath-cell"


def rewrite_notebook(path: str, text: str, table: Table) -> Outcome:
    """Rewrite a notebook. Findings name the line in the file of the cell's first line, counted on within the cell."""
    outcome = Outcome(path, text, text)
    try:
        notebook = json.loads(text)
        cells = [cell for cell in notebook["cells"] if cell.get("cell_type") == "code"]
        sources = ["".join(cell["source"]) for cell in cells]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return _skipped(outcome, f"not read: {type(error).__name__}: {error}")
    dump = _dumper(notebook, text)
    if dump is None:
        return _skipped(outcome, "its JSON is formatted in a way that would be lost")
    masked = [_mask(source) for source in sources]
    joined = f"\n{_CELL}\n".join(masked)
    inner, new = rewrite_python(path, joined.encode(), table)
    outcome.status = inner.status
    outcome.findings = [_moved(found, joined) for found in inner.findings]
    for number, source in enumerate(sources, 1):
        magic = "\n".join(line if _MAGIC.match(line) else "" for line in source.split("\n"))
        if source.startswith("%%"):
            magic = source
        outcome.findings += [_in_cell(found, number, found.line) for found in mentions(path, magic)]
    if not inner.changes:
        return outcome
    for cell, old, part in zip(cells, sources, new.decode().split(f"\n{_CELL}\n"), strict=True):
        source = re.sub(rf"^(\s*){re.escape(_MASK)}", r"\1", part, flags=re.MULTILINE)
        if source != old:
            cell["source"] = source.splitlines(keepends=True) if isinstance(cell["source"], list) else source
    outcome.after = dump(notebook)
    return outcome


def _mask(source: str) -> str:
    whole = source.startswith("%%")
    lines = [
        re.sub(r"^(\s*)", rf"\g<1>{_MASK}", line, count=1) if whole or _MAGIC.match(line) else line
        for line in source.split("\n")
    ]
    return "\n".join(lines)


def _moved(found: Finding, joined: str) -> Finding:
    before = joined.split("\n")[: found.line - 1]
    number = before.count(_CELL) + 1
    start = len(before) - before[::-1].index(_CELL) if number > 1 else 0
    return _in_cell(found, number, found.line - start)


def _in_cell(found: Finding, cell: int, line: int) -> Finding:
    reason = f"cell {cell}: {found.reason}"
    return Finding(found.file, line, found.column, found.name, reason, found.hint)


def _dumper(notebook: Any, text: str) -> Any:
    """How this file was printed, by trying the ways that are in use."""
    end = text[len(text.rstrip()) :]
    for indent in (1, 2, 4, None):
        for ascii_only in (False, True):

            def dump(value: Any, indent: int | None = indent, ascii_only: bool = ascii_only) -> str:
                return json.dumps(value, indent=indent, ensure_ascii=ascii_only) + end

            if dump(notebook) == text:
                return dump
    return None


def _skipped(outcome: Outcome, reason: str) -> Outcome:
    outcome.status = "skipped"
    outcome.findings.append(Finding(outcome.path, 1, 1, "", reason, "rewrite it in Jupyter, or save it there first"))
    return outcome
