"""When schedules are due: the moments between two times, from what a launch plan says. No clock, no store."""

from __future__ import annotations

import calendar
import datetime as dt
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from flytepath.errors import DefinitionError, UsageError
from flytepath.model.schedule import CATCH_UPS, Offset, cron_fields, time_zone

#: A moment that is late by less was not missed: every way to catch up runs it.
GRACE_SECONDS: Final = 60.0
#: The most runs that make up for moments missed, per schedule.
CATCH_UP_LIMIT: Final = 100

_DAY: Final = 86400.0
_EPOCH: Final = dt.datetime(1970, 1, 1)
# The 29th of February comes after eight years at the latest.
_HORIZON: Final = 9 * 366 * _DAY
_NO_OFFSET: Final = Offset()


def due_between(
    schedule: Mapping[str, Any], after: dt.datetime, until: dt.datetime, *, start: dt.datetime | None = None
) -> list[dt.datetime]:
    """The moments of a schedule after ``after`` and up to ``until``, in UTC.

    Args:
        schedule: as the compiled launch plan holds it, what ``to_json`` of the schedule gives.
        after, until: with a time zone.
        start: when it was activated, from which a fixed rate counts; ``after`` if it is not given.

    Raises:
        DefinitionError: this schedule cannot be read.
        UsageError: a time without a time zone.

    Example:
        >>> monday = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
        >>> daily = {"kind": "cron", "schedule": "30 8 * * *", "timezone": "Asia/Kolkata"}
        >>> [str(moment) for moment in due_between(daily, monday, monday + dt.timedelta(days=2))]
        ['2026-03-02 03:00:00+00:00', '2026-03-03 03:00:00+00:00']
    """
    for name, moment in (("after", after), ("until", until), ("start", start)):
        if moment is not None and moment.utcoffset() is None:
            raise UsageError(f"{name} has no time zone", expected="for example tzinfo=datetime.UTC", actual=str(moment))
    timing = read_timing(schedule, (start or after).timestamp())
    return [dt.datetime.fromtimestamp(at, dt.UTC) for at in timing.between(after.timestamp(), until.timestamp())]


@dataclass(frozen=True, slots=True)
class Timing:
    """Moments that follow one another; times are seconds since the epoch (UTC).

    Args:
        catch_up: ``none``, ``latest`` or ``all``.
        kickoff: the input that is given the moment meant, if any.
    """

    catch_up: str
    kickoff: str | None

    def between(self, after: float, until: float) -> list[float]:
        """The moments after ``after`` and up to ``until``."""
        raise NotImplementedError

    def next(self, after: float) -> float | None:
        """The first moment after ``after``; ``None`` where none ever comes."""
        span, start = _DAY, after
        while start < after + _HORIZON:
            found = self.between(start, start + span)
            if found:
                return found[0]
            start, span = start + span, span * 2
        return None

    def latest(self, after: float, until: float, count: int) -> list[float]:
        """The last ``count`` moments after ``after`` and up to ``until``."""
        span, end, found = _DAY, until, list[float]()
        while end > after and len(found) < count:
            start = max(after, end - span)
            found = self.between(start, end) + found
            end, span = start, span * 2
        return found[-count:]

    def to_run(self, after: float, now: float) -> list[float]:
        """Of the moments after ``after`` and up to ``now``, those that start a run: by the way to catch up."""
        found = self.latest(after, now, CATCH_UP_LIMIT)
        if self.catch_up == "all":
            return found
        in_time = [at for at in found if at > now - GRACE_SECONDS]
        return in_time or (found[-1:] if self.catch_up == "latest" else [])


@dataclass(frozen=True, slots=True)
class RateTiming(Timing):
    """Every ``seconds`` after ``start``."""

    start: float
    seconds: float

    def between(self, after: float, until: float) -> list[float]:
        first = max(1, math.floor((after - self.start) / self.seconds) + 1)
        last = math.floor((until - self.start) / self.seconds)
        return [self.start + number * self.seconds for number in range(first, last + 1)]

    def next(self, after: float) -> float | None:
        return self.start + max(1, math.floor((after - self.start) / self.seconds) + 1) * self.seconds

    def latest(self, after: float, until: float, count: int) -> list[float]:
        return self.between(max(after, until - count * self.seconds), until)


@dataclass(frozen=True, slots=True)
class CronTiming(Timing):
    """The moments that the clocks of ``zone`` show one of the times of ``fields``, moved by ``offset``.

    A time that the clocks leave out means the first moment after the gap; a time they show twice means the first. Where
    every hour is named, no hour is meant in particular: then each moment whose minute is named counts, once.
    """

    fields: tuple[frozenset[int], ...]
    zone: dt.tzinfo
    offset: Offset = _NO_OFFSET

    def between(self, after: float, until: float) -> list[float]:
        if until <= after:
            return []
        after, until = after - self.offset.seconds, until - self.offset.seconds
        # Clocks that go back over midnight show the day before again.
        first, last = _date(after, self.zone).toordinal() - 1, _date(until, self.zone).toordinal() + 1
        found = {
            at
            for ordinal in range(first, last + 1)
            for at in self._of_day(dt.date.fromordinal(ordinal))
            if after < at <= until
        }
        return [at + self.offset.seconds for at in sorted(found)]

    def _of_day(self, day: dt.date) -> Iterator[float]:
        """The moments whose time by the calendar, moved by the days of the offset, is on ``day``."""
        if not any(self._is_named(source) for source in _sources(day, self.offset)):
            return
        minutes, hours = self.fields[:2]
        midnight = dt.datetime(day.year, day.month, day.day)
        begin = (midnight - _EPOCH).total_seconds()
        ahead = self._ahead(midnight, 0)
        edges = ((midnight, 1), (midnight + dt.timedelta(days=1), 0), (midnight + dt.timedelta(days=1), 1))
        if all(self._ahead(wall, fold) == ahead for wall, fold in edges):
            yield from (begin + hour * 3600 + minute * 60 - ahead for hour in hours for minute in minutes)
            return
        for hour in hours:
            for minute in minutes:
                yield from self._meant(midnight + dt.timedelta(hours=hour, minutes=minute))

    def _is_named(self, day: dt.date) -> bool:
        _, _, days, months, weekdays = self.fields
        if day.month not in months:
            return False
        by_date, by_weekday = day.day in days, day.isoweekday() % 7 in weekdays
        return by_date or by_weekday if len(days) < 31 and len(weekdays) < 7 else by_date and by_weekday

    def _meant(self, wall: dt.datetime) -> tuple[float, ...]:
        """The moments that the time ``wall`` means on a day when the clocks change."""
        local = (wall - _EPOCH).total_seconds()
        before, beyond = self._ahead(wall, 0), self._ahead(wall, 1)
        every_hour = len(self.fields[1]) == 24
        if before == beyond:
            return (local - before,)
        if before > beyond:
            return (local - before, local - beyond) if every_hour else (local - before,)
        return () if every_hour else (self._change(local - beyond, local - before, beyond),)

    def _change(self, low: float, high: float, ahead: float) -> float:
        """The first second in which the clocks are ``ahead`` of UTC: after ``low``, at the latest at ``high``."""
        while high - low > 1:
            middle = math.floor((low + high) / 2)
            there = dt.datetime.fromtimestamp(middle, self.zone).utcoffset() or dt.timedelta()
            low, high = (low, middle) if there.total_seconds() == ahead else (middle, high)
        return high

    def _ahead(self, wall: dt.datetime, fold: int) -> float:
        """How many seconds the clocks that show ``wall`` are ahead of UTC."""
        return (wall.replace(tzinfo=self.zone, fold=fold).utcoffset() or dt.timedelta()).total_seconds()


def read_timing(schedule: Mapping[str, Any], start: float) -> Timing:
    """The moments of a schedule that was activated at ``start``, seconds since the epoch (UTC).

    Raises:
        DefinitionError: it cannot be read, by this release or on this machine.

    Example:
        >>> read_timing({"kind": "rate", "minutes": 5}, 1000.7).next(2000.0)
        2200.0
    """
    catch_up, kickoff = schedule.get("catch_up", "latest"), schedule.get("kickoff_time_input_arg")
    if catch_up in CATCH_UPS and schedule.get("kind") == "cron":
        offset = schedule.get("offset")
        return CronTiming(
            catch_up,
            kickoff,
            cron_fields(str(schedule.get("schedule"))),
            time_zone(str(schedule.get("timezone", "UTC"))),
            _NO_OFFSET if offset is None else Offset.parse(str(offset)),
        )
    minutes = schedule.get("minutes")
    if catch_up in CATCH_UPS and schedule.get("kind") == "rate" and isinstance(minutes, int) and minutes > 0:
        return RateTiming(catch_up, kickoff, float(math.floor(start)), minutes * 60.0)
    raise DefinitionError("this schedule cannot be read", expected="a cron schedule or a rate", actual=repr(schedule))


def _date(at: float, zone: dt.tzinfo) -> dt.date:
    return dt.datetime.fromtimestamp(at, zone).date()


def _sources(day: dt.date, offset: Offset) -> list[dt.date]:
    """The days that ``offset`` moves to ``day``: several where months of other lengths end on it, or none."""
    if not offset.months:
        return [day - dt.timedelta(days=offset.days)]
    moved = day - dt.timedelta(days=offset.days)
    year, month = divmod(moved.year * 12 + moved.month - 1 - offset.months, 12)
    length = calendar.monthrange(year, month + 1)[1]
    is_last = moved.day == calendar.monthrange(moved.year, moved.month)[1]
    days = range(moved.day, length + 1) if is_last else range(moved.day, min(moved.day, length) + 1)
    return [dt.date(year, month + 1, number) for number in days]
