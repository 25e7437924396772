"""When a launch plan starts by itself: at moments of the calendar, or at a fixed rate."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from flytepath.errors import DefinitionError
from flytepath.model.declared import Declared, need_optional_text, need_text

_ALIASES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("hourly", "hours", "@hourly"), "0 * * * *"),
    **dict.fromkeys(("daily", "days", "@daily", "@midnight"), "0 0 * * *"),
    **dict.fromkeys(("weekly", "weeks", "@weekly"), "0 0 * * 0"),
    **dict.fromkeys(("monthly", "months", "@monthly"), "0 0 1 * *"),
    **dict.fromkeys(("yearly", "years", "@yearly", "annually", "@annually"), "0 0 1 1 *"),
}
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_DAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
# Name, least, greatest, names. Sunday is 0 and 7.
_FIELDS: Final[tuple[tuple[str, int, int, Mapping[str, int]], ...]] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
_LONGEST_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_PART = re.compile(r"(?P<first>\*|\?|[a-z]+|\d+)(-(?P<last>[a-z]+|\d+))?(/(?P<step>\d+))?", re.ASCII)
_DURATION = re.compile(r"[-+]?P(?=.)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class CronSchedule(Declared):
    """Starts at the moments a cron expression names, in UTC.

    Five fields: minute, hour, day of the month, month, day of the week; with lists, ranges, steps and English names;
    or a word such as ``daily`` or ``@hourly``. Days of the month and of the week that are both restricted mean either.

    Args:
        cron_expression: no longer taken; it spoke another dialect.
        schedule: the expression.
        offset: an ISO 8601 duration that is added to each moment.
        kickoff_time_input_arg: the workflow's input that is given the moment meant, of type ``datetime``.

    Raises:
        DefinitionError: the expression cannot be read or never comes true, or the offset is not a duration.

    Example:
        >>> CronSchedule(schedule="*/15 9-17 * * mon-fri").to_json()
        {'kind': 'cron', 'schedule': '*/15 9-17 * * mon-fri'}
        >>> CronSchedule(schedule="0 0 30 2 *")
        Traceback (most recent call last):
        flytepath.errors.DefinitionError: [FP-DEFINITION] no such day ever comes
          at: CronSchedule(schedule)
          actual: 0 0 30 2 *
    """

    cron_expression: str | None = None
    schedule: str | None = None
    offset: str | None = None
    kickoff_time_input_arg: str | None = None

    def __post_init__(self) -> None:
        if self.cron_expression is not None:
            raise DefinitionError(
                "cron_expression is no longer taken",
                place="CronSchedule(cron_expression)",
                expected="schedule='*/5 * * * *'",
                actual=repr(self.cron_expression),
                hint="write the expression with five fields and without '?' for years",
            )
        cron_fields(need_text(self.schedule, "CronSchedule(schedule)", hint="for example schedule='0 * * * *'"))
        if self.offset is not None and not _DURATION.fullmatch(need_text(self.offset, "CronSchedule(offset)")):
            raise DefinitionError(
                "the offset of a schedule is an ISO 8601 duration",
                place="CronSchedule(offset)",
                expected="for example 'PT5M' or 'P1D'",
                actual=repr(self.offset),
            )
        need_optional_text(self.kickoff_time_input_arg, "CronSchedule(kickoff_time_input_arg)")

    def to_json(self) -> dict[str, Any]:
        """What was said, and that it is a calendar's schedule."""
        return {"kind": "cron", **Declared.to_json(self)}


@dataclass(frozen=True, slots=True)
class FixedRate(Declared):
    """Starts again and again, a fixed time apart.

    Args:
        duration: whole minutes, at least one.
        kickoff_time_input_arg: the workflow's input that is given the moment meant, of type ``datetime``.

    Raises:
        DefinitionError: the duration is not a timedelta of whole minutes.

    Example:
        >>> FixedRate(duration=dt.timedelta(hours=2)).to_json()
        {'kind': 'rate', 'minutes': 120}
    """

    duration: dt.timedelta
    kickoff_time_input_arg: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.duration, dt.timedelta):
            raise DefinitionError(
                "a rate is a timedelta",
                place="FixedRate(duration)",
                expected="datetime.timedelta",
                actual=repr(self.duration),
            )
        if self.duration <= dt.timedelta() or self.duration % dt.timedelta(minutes=1):
            raise DefinitionError(
                "a rate is whole minutes, at least one",
                place="FixedRate(duration)",
                expected="for example timedelta(minutes=10)",
                actual=str(self.duration),
            )
        need_optional_text(self.kickoff_time_input_arg, "FixedRate(kickoff_time_input_arg)")

    def to_json(self) -> dict[str, Any]:
        """What was said, and that it is a rate."""
        data: dict[str, Any] = {"kind": "rate", "minutes": self.duration // dt.timedelta(minutes=1)}
        if self.kickoff_time_input_arg is not None:
            data["kickoff_time_input_arg"] = self.kickoff_time_input_arg
        return data


def schedule_from_json(data: Mapping[str, Any]) -> CronSchedule | FixedRate:
    """The schedule that wrote ``data`` with ``to_json``.

    Raises:
        DefinitionError: a kind of schedule this version does not know.

    Example:
        >>> schedule_from_json({"kind": "rate", "minutes": 5})
        FixedRate(duration=datetime.timedelta(seconds=300), kickoff_time_input_arg=None)
    """
    known = {key: value for key, value in data.items() if key != "kind"}
    if data.get("kind") == "cron":
        return CronSchedule.from_json(known)
    if data.get("kind") == "rate":
        return FixedRate(dt.timedelta(minutes=known["minutes"]), known.get("kickoff_time_input_arg"))
    raise DefinitionError("unknown kind of schedule", expected="cron or rate", actual=repr(data.get("kind")))


def cron_fields(expression: str) -> tuple[frozenset[int], ...]:
    """The minutes, hours, days of the month, months and days of the week (0 to 6) that a cron expression names.

    Raises:
        DefinitionError: names the field and what it may hold.

    Example:
        >>> minutes, hours, *rest = cron_fields("*/20 3,15 * * *")
        >>> sorted(minutes), sorted(hours)
        ([0, 20, 40], [3, 15])
    """
    text = expression.strip().lower()
    parts = _ALIASES.get(text, text).split()
    if len(parts) != len(_FIELDS):
        raise DefinitionError(
            "a cron expression has five fields",
            place="CronSchedule(schedule)",
            expected="minute, hour, day of the month, month and day of the week, or a word such as 'daily'",
            actual=f"{expression!r}, which has {len(parts)}",
            hint="schedules know no seconds and no years" if len(parts) in (6, 7) else None,
        )
    found = [_field(part, *field) for part, field in zip(parts, _FIELDS, strict=True)]
    found[4] = frozenset(day % 7 for day in found[4])
    _, _, days, months, _ = found
    if parts[4] in ("*", "?") and not any(min(days) <= _LONGEST_MONTH[month - 1] for month in months):
        raise DefinitionError("no such day ever comes", place="CronSchedule(schedule)", actual=expression)
    return tuple(found)


def _field(text: str, field: str, least: int, greatest: int, names: Mapping[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise _wrong(field, least, greatest, names, part)
        step = int(match["step"] or 1)
        if match["first"] in ("*", "?"):
            if match["last"] is not None or (match["first"] == "?" and not field.startswith("day")):
                raise _wrong(field, least, greatest, names, part)
            first, last = least, greatest
        else:
            first = _number(match["first"], names)
            # A week ends on day 6: 7 is Sunday once more.
            open_end = (6 if names is _DAYS else greatest) if match["step"] else first
            last = _number(match["last"], names) if match["last"] else open_end
            if names is _DAYS and last == 0 < first:
                last = 7  # a week that ends on Sunday: "fri-sun"
        if not (least <= first <= last <= greatest) or step < 1:
            raise _wrong(field, least, greatest, names, part)
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _number(text: str, names: Mapping[str, int]) -> int:
    return int(text) if text.isdecimal() else names.get(text, -1)


def _wrong(field: str, least: int, greatest: int, names: Mapping[str, int], part: str) -> DefinitionError:
    words = f", {'|'.join(names)}" if names else ""
    return DefinitionError(
        f"cannot read the {field} of a cron expression",
        place="CronSchedule(schedule)",
        expected=f"{least} to {greatest}{words}, with '*', lists, ranges from low to high, and steps from 1",
        actual=repr(part),
    )
