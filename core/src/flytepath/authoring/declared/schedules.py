"""When a launch plan starts by itself: at moments of the calendar, or at a fixed rate."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from flytepath.errors import DefinitionError
from flytepath.model.declared import Declared, need_optional_text, need_text
from flytepath.model.schedule import CATCH_UPS, Offset, cron_fields, time_zone

__all__ = ["CatchUp", "CronSchedule", "FixedRate", "cron_fields", "schedule_from_json"]

#: What becomes of the moments that passed while no engine ran: nothing, one run for the latest, or a run for each.
CatchUp = Literal["none", "latest", "all"]


@dataclass(frozen=True, slots=True)
class CronSchedule(Declared):
    """Starts at the moments a cron expression names, by the clocks of a time zone.

    Five fields: minute, hour, day of the month, month, day of the week; with lists, ranges, steps and English names;
    or a word such as ``daily`` or ``@hourly``. Days of the month and of the week that are both restricted mean either.

    Args:
        cron_expression: no longer taken; it spoke another dialect.
        schedule: the expression.
        offset: an ISO 8601 duration that is added to each moment.
        kickoff_time_input_arg: the workflow's input that is given the moment meant, a ``datetime`` in UTC.
        timezone: the IANA name of the zone whose clocks count. Where they are put forward, a time that is left out
            means the first moment after it; where they are put back, a time that comes twice means its first coming.
            A schedule that names every hour runs in each hour there is, once.
        catch_up: what becomes of moments that passed while no engine ran: ``"none"`` nothing, ``"latest"`` one run for
            the latest of them, ``"all"`` a run for each of the latest 100.

    Raises:
        DefinitionError: the expression cannot be read or never comes true, the offset is not a duration, there is no
            such zone, or no such way to catch up.

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
    timezone: str = "UTC"
    catch_up: CatchUp = "latest"

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
        if self.offset is not None:
            Offset.parse(need_text(self.offset, "CronSchedule(offset)"))
        time_zone(need_text(self.timezone, "CronSchedule(timezone)", hint="for example timezone='Europe/Berlin'"))
        _need_catch_up(self.catch_up, "CronSchedule(catch_up)")
        need_optional_text(self.kickoff_time_input_arg, "CronSchedule(kickoff_time_input_arg)")

    def to_json(self) -> dict[str, Any]:
        """What was said, and that it is a calendar's schedule."""
        return {"kind": "cron", **Declared.to_json(self)}


@dataclass(frozen=True, slots=True)
class FixedRate(Declared):
    """Starts again and again, a fixed time apart.

    Args:
        duration: whole minutes, at least one; counted from the activation of the launch plan.
        kickoff_time_input_arg: the workflow's input that is given the moment meant, a ``datetime`` in UTC.
        catch_up: what becomes of moments that passed while no engine ran, as for :class:`CronSchedule`.

    Raises:
        DefinitionError: the duration is not a timedelta of whole minutes, or there is no such way to catch up.

    Example:
        >>> FixedRate(duration=dt.timedelta(hours=2)).to_json()
        {'kind': 'rate', 'minutes': 120}
    """

    duration: dt.timedelta
    kickoff_time_input_arg: str | None = None
    catch_up: CatchUp = "latest"

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
        _need_catch_up(self.catch_up, "FixedRate(catch_up)")

    def to_json(self) -> dict[str, Any]:
        """What was said, and that it is a rate."""
        data: dict[str, Any] = {"kind": "rate", "minutes": self.duration // dt.timedelta(minutes=1)}
        if self.kickoff_time_input_arg is not None:
            data["kickoff_time_input_arg"] = self.kickoff_time_input_arg
        if self.catch_up != "latest":
            data["catch_up"] = self.catch_up
        return data


def schedule_from_json(data: Mapping[str, Any]) -> CronSchedule | FixedRate:
    """The schedule that wrote ``data`` with ``to_json``.

    Raises:
        DefinitionError: a kind of schedule this version does not know.

    Example:
        >>> schedule_from_json({"kind": "rate", "minutes": 5})
        FixedRate(duration=datetime.timedelta(seconds=300), kickoff_time_input_arg=None, catch_up='latest')
    """
    known = {key: value for key, value in data.items() if key != "kind"}
    if data.get("kind") == "cron":
        return CronSchedule.from_json(known)
    if data.get("kind") == "rate":
        return FixedRate.from_json({"duration": dt.timedelta(minutes=known.pop("minutes")), **known})
    raise DefinitionError("unknown kind of schedule", expected="cron or rate", actual=repr(data.get("kind")))


def _need_catch_up(value: Any, place: str) -> None:
    if value not in CATCH_UPS:
        raise DefinitionError(
            "there is no such way to catch up", place=place, expected=" or ".join(CATCH_UPS), actual=repr(value)
        )
