"""What schedules are made of, checked and read: cron expressions, offsets and time zones."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flytepath.errors import DefinitionError

#: What becomes of the moments that passed while no engine ran.
CATCH_UPS: Final = ("none", "latest", "all")

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
_DURATION = re.compile(
    r"(?P<sign>[-+]?)P(?=.)((?P<years>\d+)Y)?((?P<months>\d+)M)?((?P<weeks>\d+)W)?((?P<days>\d+)D)?"
    r"(T(?=\d)((?P<hours>\d+)H)?((?P<minutes>\d+)M)?((?P<seconds>\d+(\.\d+)?)S)?)?",
    re.ASCII,
)
_LONGEST_OFFSET_DAYS: Final = 3660
# Names that mean another zone on every machine.
_NO_ZONES: Final = frozenset({"localtime", "posixrules", "Factory"})


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
    _, _, days, months, weekdays = found
    if len(weekdays) == 7 and not any(min(days) <= _LONGEST_MONTH[month - 1] for month in months):
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


@dataclass(frozen=True, slots=True)
class Offset:
    """An ISO 8601 duration that is added to moments.

    Args:
        months, days: on the calendar, months first; a day that the month does not have becomes its last one.
        seconds: of elapsed time.
    """

    months: int = 0
    days: int = 0
    seconds: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Offset:
        """Read a duration.

        Raises:
            DefinitionError: it is none, or longer than ten years.

        Example:
            >>> Offset.parse("-P1Y2DT30M")
            Offset(months=-12, days=-2, seconds=-1800.0)
        """
        match = _DURATION.fullmatch(text)
        if match is None:
            raise DefinitionError(
                "the offset of a schedule is an ISO 8601 duration",
                place="CronSchedule(offset)",
                expected="for example 'PT5M' or 'P1D'",
                actual=repr(text),
            )
        sign = -1 if match["sign"] == "-" else 1
        number = {name: float(match[name] or 0) for name in ("years", "months", "weeks", "days", "hours", "minutes")}
        months, days = number["years"] * 12 + number["months"], number["weeks"] * 7 + number["days"]
        seconds = number["hours"] * 3600 + number["minutes"] * 60 + float(match["seconds"] or 0)
        if months * 31 + days + seconds / 86400 > _LONGEST_OFFSET_DAYS:
            raise DefinitionError(
                "the offset of a schedule is at most ten years", place="CronSchedule(offset)", actual=repr(text)
            )
        return cls(sign * int(months), sign * int(days), sign * seconds if seconds else 0.0)


def time_zone(name: str) -> dt.tzinfo:
    """The IANA time zone called ``name``, from this machine's own list or else from the package ``tzdata``.

    Raises:
        DefinitionError: there is none.

    Example:
        >>> time_zone("Europe/Berlin").key
        'Europe/Berlin'
        >>> time_zone("UTC")
        datetime.timezone.utc
    """
    if name == "UTC":  # known also where no list of zones is
        return dt.UTC
    import zoneinfo

    try:
        if name in _NO_ZONES:
            raise ValueError(name)
        return zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise DefinitionError(
            f"there is no time zone {name!r}",
            place="CronSchedule(timezone)",
            expected="a name of the IANA time zone database, such as 'Europe/Berlin'",
            actual=repr(name),
            hint="a system without a list of zones gets one with: pip install tzdata",
        ) from error
