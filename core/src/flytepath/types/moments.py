"""Moments and spans of time, exactly: microseconds, offsets, IANA zones and the fold of an ambiguous hour."""

from __future__ import annotations

import datetime as dt
from typing import Any

from flytepath.model.literal import BlobRef
from flytepath.model.types import LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Converter, Json
from flytepath.types.converter import CoreConverter, InPlaceTransformer, mismatch, shown, unreadable
from flytepath.types.scalars import SAFE_INTEGER

_MICROSECOND = dt.timedelta(microseconds=1)


class ZonedConverter(CoreConverter[Any]):
    """``datetime`` and ``time``: ISO 8601, and what it cannot say (zone, fold, name of an offset) beside it."""

    def __init__(self, cls: type[dt.datetime] | type[dt.time]) -> None:
        self.cls = cls
        self.classes = (cls,)
        self.literal_type = LiteralType(cls.__name__)
        self.name = f"datetime.{cls.__name__}"

    def encode(self, value: Any, sink: BlobSink, refs: list[BlobRef]) -> Json:
        self.isolate(value)
        zone, name = _zone(value)
        if zone is None and name is None and not value.fold:
            return value.isoformat()
        out = {"at": value.isoformat(), "zone": zone, "fold": value.fold}
        return out if name is None else out | {"name": name}

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> Any:
        try:
            if type(data) is str:
                return self.cls.fromisoformat(data)
            value = self.cls.fromisoformat(data["at"])
            if data["zone"] is not None:
                return value.replace(tzinfo=_zone_info(data["zone"]), fold=data["fold"])
            if data.get("name") is not None:
                value = value.replace(tzinfo=dt.timezone(value.utcoffset() or dt.timedelta(0), data["name"]))
            return value.replace(fold=data["fold"])
        except (KeyError, TypeError, ValueError) as error:
            raise unreadable(data, self.name) from error

    def isolate(self, value: Any) -> Any:
        if type(value) is self.cls:
            if value.tzinfo is not None:
                _zone(value)
            return value
        hint = "convert it with value.to_pydatetime()" if hasattr(value, "to_pydatetime") else None
        raise mismatch(value, self.name, hint)


def _zone_info(key: str) -> dt.tzinfo:
    import zoneinfo

    return zoneinfo.ZoneInfo(key)


def _zone(value: dt.datetime | dt.time) -> tuple[str | None, str | None]:
    """The IANA zone, and the name that was given to a fixed offset; refuses any other kind of time zone."""
    tz = value.tzinfo
    if tz is None or tz is dt.UTC:
        return None, None
    if type(tz) is dt.timezone:
        facts: tuple[Any, ...] = tz.__getinitargs__()  # type: ignore[attr-defined]
        return None, facts[1] if len(facts) > 1 else None
    key: str | None = getattr(tz, "key", None) if type(tz).__module__.startswith("zoneinfo") else None
    if key is None:
        raise mismatch(
            value,
            "a time zone from zoneinfo or datetime.timezone",
            f"{shown(tz)} cannot be kept exactly; use zoneinfo.ZoneInfo(name)",
        )
    return key, None


class DateConverter(CoreConverter[dt.date]):
    """``date``, and no datetime."""

    literal_type = LiteralType("date")
    classes = (dt.date,)
    atomic = True

    def encode(self, value: dt.date, sink: BlobSink, refs: list[BlobRef]) -> Json:
        return self.isolate(value).isoformat()

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> dt.date:
        try:
            return dt.date.fromisoformat(data)
        except (TypeError, ValueError) as error:
            raise unreadable(data, "datetime.date") from error

    def isolate(self, value: dt.date) -> dt.date:
        if type(value) is dt.date:
            return value
        raise mismatch(value, "datetime.date", "take value.date()" if isinstance(value, dt.datetime) else None)


class TimedeltaConverter(CoreConverter[dt.timedelta]):
    """``timedelta``, in microseconds."""

    literal_type = LiteralType("timedelta")
    classes = (dt.timedelta,)
    atomic = True

    def encode(self, value: dt.timedelta, sink: BlobSink, refs: list[BlobRef]) -> Json:
        microseconds = self.isolate(value) // _MICROSECOND
        return microseconds if -SAFE_INTEGER <= microseconds <= SAFE_INTEGER else str(microseconds)

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> dt.timedelta:
        if type(data) not in (int, str):
            raise unreadable(data, "datetime.timedelta")
        try:
            days, rest = divmod(int(data), 86_400_000_000)
            return dt.timedelta(days=days, microseconds=rest)
        except (ValueError, OverflowError) as error:
            raise unreadable(data, "datetime.timedelta") from error

    def isolate(self, value: dt.timedelta) -> dt.timedelta:
        if type(value) is dt.timedelta:
            return value
        raise mismatch(value, "datetime.timedelta")


class MomentTransformer(InPlaceTransformer):
    """datetime, date, time and timedelta."""

    def converter(self, t: Any, resolve: Any) -> Converter[Any]:
        if t is dt.date:
            return DateConverter()
        return TimedeltaConverter() if t is dt.timedelta else ZonedConverter(t)
