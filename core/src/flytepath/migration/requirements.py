"""Rewrites what names distributions: requirement files, ``pyproject.toml`` and ``setup.cfg``.

A version of flytekit says nothing about a version of FlytePath, so version bounds and extras go; environment markers
and comments stay. Lock files are left to the tool that writes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, Final

from flytepath.migration.findings import Finding, Outcome
from flytepath.migration.table import Table

_REQUIREMENT: Final = re.compile(
    r"(?P<before>\s*)(?P<name>flytekit(?:plugins)?(?:[-_.][A-Za-z0-9]+)*)(?P<extras>\s*\[[^\]]*\])?"
    r"(?:\s*[<>=!~][^;#@]*?)?(?P<after>\s*(?:;.*)?)",
    re.IGNORECASE,
)
_POETRY: Final = re.compile(
    r"(?P<before>[\"']?)(?P<name>[A-Za-z0-9._-]+)[\"']?(?P<equals>\s*=\s*)(?:\"[^\"]*\"|'[^']*')(?P<after>\s*(?:#.*)?\s*)"
)
_MENTION: Final = re.compile(r"flytekit|pyflyte", re.IGNORECASE)
_FILE: Final = re.compile(r".*(?:requirements|constraints).*\.(?:txt|in)")
_BY_HAND: Final = "replace it by hand"


def is_requirement_file(path: PurePath) -> bool:
    """Whether a file lists one requirement a line: by its name, or by its folder's."""
    listed = path.suffix in {".txt", ".in"} and path.parent.name == "requirements"
    return listed or _FILE.fullmatch(path.name) is not None


def rewrite_requirement(text: str, table: Table) -> str | None:
    """One requirement.

    Returns:
        The new one; ``None`` if it is not for flytekit; an empty string if it is, but nothing takes its place.

    Example:
        >>> rewrite_requirement('flytekitplugins-spark[x]>=1.10 ; python_version > "3.8"', Table.of(()))
        'flyte-plugin-spark ; python_version > "3.8"'
    """
    if not text.strip().lower().startswith("flytekit"):
        return None
    match = _REQUIREMENT.fullmatch(text)
    if match is None:
        return ""
    new = table.distributions.get(re.sub(r"[-_.]+", "-", match["name"]).lower())
    return f"{match['before']}{new}{match['after']}" if new else ""


def rewrite_requirements(path: str, text: str, table: Table) -> Outcome:
    """A file with a requirement a line. A line whose new requirement is there already is left out."""
    return _by_line(path, text, table, lambda number, line: True)


def rewrite_setup_cfg(path: str, text: str, table: Table) -> Outcome:
    """The requirement lists of a ``setup.cfg``."""
    inside: dict[int, bool] = {}
    section, listing = "", False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("["):
            section, listing = line.strip().strip("[]"), False
        elif line and not line[0].isspace():
            key = line.partition("=")[0].strip()
            listing = key in {"install_requires", "tests_require", "setup_requires"}
        inside[number] = bool(line[:1].isspace()) and (listing or section == "options.extras_require")
    return _by_line(path, text, table, lambda number, line: inside.get(number, False))


def rewrite_pyproject(path: str, text: str, table: Table) -> Outcome:
    """The dependencies of a ``pyproject.toml``: of the project, its extras, dependency groups, and Poetry's tables."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    outcome = Outcome(path, text, text)
    try:
        document = tomlkit.parse(text)
    except TOMLKitError as error:
        outcome.status = "skipped"
        outcome.findings.append(Finding(path, 1, 1, "", f"not read: {error}", "correct it and run again"))
        return outcome
    if tomlkit.dumps(document) != text:
        outcome.status = "skipped"
        outcome.findings.append(Finding(path, 1, 1, "", "tomlkit would reformat it", _BY_HAND))
        return outcome
    for items in _requirement_lists(document):
        _rewrite_list(items, table)
    outcome.after = _rewrite_poetry(tomlkit.dumps(document), table)
    outcome.findings += mentions(path, outcome.after)
    return outcome


def mentions(path: str, text: str) -> list[Finding]:
    """The lines that name flytekit or its commands, to be changed by a person."""
    found: list[Finding] = []
    for number, line in enumerate(text.splitlines(), 1):
        match = _MENTION.search(line)
        if match is None:
            continue
        hint = "use the command flytepath" if match[0].lower() == "pyflyte" else _BY_HAND
        found.append(Finding(path, number, match.start() + 1, line.strip()[:120], "it is only reported here", hint))
    return found


def _by_line(path: str, text: str, table: Table, wanted: Callable[[int, str], bool]) -> Outcome:
    outcome = Outcome(path, text, text)
    lines = text.splitlines(keepends=True)
    present = {line.split("#")[0].strip() for line in lines}
    hashed = any("--hash" in line for line in lines)
    kept: list[str] = []
    for number, line in enumerate(lines, 1):
        body, comment, ending = _split(line)
        new = rewrite_requirement(body, table) if wanted(number, line) else None
        if new is None:
            kept.append(line)
            mentioned = mentions(path, body)
            outcome.findings += [
                Finding(path, number, found.column, found.name, found.reason, found.hint) for found in mentioned
            ]
        elif not new or hashed or body.rstrip().endswith("\\"):
            kept.append(line)
            reason = "this requirement is not rewritten"
            hint = "lock the file again with the new names" if hashed else _BY_HAND
            outcome.findings.append(Finding(path, number, 1, body.strip(), reason, hint))
        elif new.strip() in present and not comment:
            continue
        else:
            present.add(new.strip())
            kept.append(f"{new}{comment}{ending}")
    outcome.after = "".join(kept)
    return outcome


def _split(line: str) -> tuple[str, str, str]:
    """A line's requirement, its comment with the space before it, and its end."""
    body = line.rstrip("\r\n")
    match = re.search(r"(?:^|\s+)#.*$", body)
    start = match.start() if match else len(body.rstrip())
    return body[:start], body[start:], line[len(body) :]


def _requirement_lists(document: Any) -> list[Any]:
    project = document.get("project", {})
    found = [project.get("dependencies"), document.get("build-system", {}).get("requires")]
    for tables in (project.get("optional-dependencies"), document.get("dependency-groups")):
        found += list(tables.values()) if tables else []
    return [items for items in found if isinstance(items, list)]


def _rewrite_list(items: Any, table: Table) -> None:
    index = 0
    while index < len(items):
        item = items[index]
        new = rewrite_requirement(str(item), table) if isinstance(item, str) else None
        if new and new in items:
            del items[index]
            continue
        if new:
            items[index] = new
        index += 1


def _rewrite_poetry(text: str, table: Table) -> str:
    """Only plain versions: what a table says of a source or of extras is for a person to judge."""
    lines = text.splitlines(keepends=True)
    inside = False
    present = {match["name"] for line in lines if (match := _POETRY.fullmatch(line))}
    kept: list[str] = []
    for line in lines:
        if line.startswith("["):
            inside = (
                re.fullmatch(r"\[tool\.poetry\.(?:.*\.)?(?:dev-)?dependencies\]\s*(?:#.*)?", line.rstrip()) is not None
            )
        match = _POETRY.fullmatch(line) if inside else None
        new = rewrite_requirement(match["name"], table) if match else None
        if match is None or not new:
            kept.append(line)
        elif new not in present:
            present.add(new)
            kept.append(f'{match["before"]}{new}{match["before"]}{match["equals"]}"*"{match["after"]}')
    return "".join(kept)
