"""What the status of a custom resource means: a table, read from top to bottom, with one row for each state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from flytepath.plugin import ErrorClass, Phase

Json = Any

_FINAL: Final = (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One state: either a condition of ``status.conditions``, or a value somewhere in the object.

    Args:
        phase: what it means to core.
        error_class: for a failure: who is to blame; ``None``: whatever the pods tell, and else the user.
        condition: the type of a condition.
        status: that condition's status.
        reason: that condition's reason; may hold ``*`` and ``?``.
        path: where a value is, as ``status.applicationState.state``; in place of ``condition``.
        value: that value; may hold ``*`` and ``?``. The empty one is also a value that is not there.
        message: where the text for people is, for a row with a ``path``.
    """

    phase: Phase
    error_class: ErrorClass | None = None
    condition: str = ""
    status: str = "True"
    reason: str = "*"
    path: str = ""
    value: str = "*"
    message: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a table made of an object; ``phase`` is ``None`` for a state that stands in no row."""

    phase: Phase | None
    raw_state: str
    reason: str = ""
    error_class: ErrorClass | None = None


class ConditionTable:
    """The states of one kind. The first row that fits tells the phase, so ends stand above what came before them.

    An object without any condition, and one of which no row's path says anything, is queued: nobody has looked at it
    yet. A condition or value that no row names keeps the phase that the job has.

    Example:
        >>> table = ConditionTable(
        ...     Row(condition="Succeeded", phase=Phase.SUCCEEDED),
        ...     Row(condition="Failed", phase=Phase.FAILED),
        ...     Row(condition="Running", phase=Phase.RUNNING),
        ... )
        >>> table.read({"status": {"conditions": [{"type": "Running", "status": "True"}]}}).phase
        <Phase.RUNNING: 'running'>
        >>> table.read({"status": {"conditions": [{"type": "Napping", "status": "True"}]}})
        Reading(phase=None, raw_state='Napping', reason='', error_class=None)
        >>> table.read({})
        Reading(phase=<Phase.QUEUED: 'queued'>, raw_state='Created', reason='', error_class=None)
    """

    __slots__ = ("_types", "rows")

    def __init__(self, *rows: Row) -> None:
        self.rows = rows
        self._types = {row.condition for row in rows if row.condition}

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def read(self, thing: Mapping[str, Json]) -> Reading:
        """What an object's status means."""
        holding = [known for known in _conditions(thing) if known.get("status") == "True"]
        unknown = self._unknown(thing, holding)
        for row in self.rows:
            found = _by_path(row, thing) if row.path else _by_condition(row, thing)
            if found is not None and (unknown is None or found.phase in _FINAL):
                return found
        return unknown or Reading(Phase.QUEUED, "Created")

    def _unknown(self, thing: Mapping[str, Json], holding: list[Mapping[str, Json]]) -> Reading | None:
        """The state, where it is one that no row names."""
        if self._types and holding:
            newest = max(enumerate(holding), key=lambda at: (str(at[1].get("lastTransitionTime") or ""), at[0]))[1]
            if newest.get("type") not in self._types:
                return Reading(None, str(newest.get("type")), str(newest.get("message") or ""))
        for path in dict.fromkeys(row.path for row in self.rows if row.path):
            value = text_at(thing, path)
            known = (row.value for row in self.rows if row.path == path)
            if value and not any(fnmatchcase(value, pattern) for pattern in known):
                return Reading(None, value)
        return None


def _by_condition(row: Row, thing: Mapping[str, Json]) -> Reading | None:
    for known in _conditions(thing):
        reason = str(known.get("reason") or "")
        if known.get("type") == row.condition and known.get("status") == row.status and fnmatchcase(reason, row.reason):
            said = str(known.get("message") or "") or reason
            return Reading(row.phase, row.condition, said, row.error_class)
    return None


def _by_path(row: Row, thing: Mapping[str, Json]) -> Reading | None:
    value = text_at(thing, row.path)
    if not fnmatchcase(value, row.value) or (not value and row.value):
        return None
    return Reading(row.phase, value or "Created", text_at(thing, row.message) if row.message else "", row.error_class)


def _conditions(thing: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    found = (thing.get("status") or {}).get("conditions")
    return [known for known in found if isinstance(known, Mapping)] if isinstance(found, list) else []


def text_at(thing: Json, path: str) -> str:
    """The text at a dotted path; empty where there is none.

    Example:
        >>> text_at({"status": {"state": "Ready"}}, "status.state"), text_at({}, "status.state")
        ('Ready', '')
    """
    for part in path.split("."):
        thing = thing.get(part) if isinstance(thing, Mapping) else None
    return "" if thing is None else str(thing)


__all__ = ["ConditionTable", "Reading", "Row", "text_at"]
