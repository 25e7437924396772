"""``Artifact``: a name under which a task's output can be found again, by its partitions.

Beside the type in ``Annotated`` it marks an output; what it is bound to says which partition each value belongs to.
Here artifacts are declared, checked and resolved; the record of what was made is the engine's.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from flytepath.errors import DefinitionError, InputError
from flytepath.model.declared import (
    Declared,
    need_flag,
    need_instance,
    need_optional_text,
    need_text,
    need_texts,
    set_field,
)

T = TypeVar("T")

TIME_PARTITION: Final = "time_partition"
_MOST_KEYS: Final = 10
_MADE: Final = "made_artifacts"


class Granularity(enum.Enum):
    """How finely time partitions are told apart."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"

    def floor(self, moment: dt.datetime) -> dt.datetime:
        """The start of the partition a moment lies in, in UTC; a moment without a zone is taken as UTC.

        Example:
            >>> Granularity.DAY.floor(dt.datetime(2026, 3, 4, 5, 6)).isoformat()
            '2026-03-04T00:00:00+00:00'
        """
        moment = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
        moment = moment.replace(second=0, microsecond=0)
        if self is Granularity.MINUTE:
            return moment
        moment = moment.replace(minute=0)
        if self is Granularity.HOUR:
            return moment
        return moment.replace(hour=0, day=1) if self is Granularity.MONTH else moment.replace(hour=0)


@dataclass(frozen=True, slots=True)
class InputBinding:
    """The value of an input, whatever it will be: ``Inputs.region``. ``-`` and ``+`` a ``timedelta`` shift a time."""

    name: str
    shift_seconds: float = 0.0

    def __add__(self, shift: dt.timedelta) -> InputBinding:
        return replace(self, shift_seconds=self.shift_seconds + _shift(shift))

    def __sub__(self, shift: dt.timedelta) -> InputBinding:
        return replace(self, shift_seconds=self.shift_seconds - _shift(shift))

    def to_json(self) -> dict[str, Any]:
        """The input's name, and the shift where there is one."""
        return {"input": self.name, **({"shift_seconds": self.shift_seconds} if self.shift_seconds else {})}


class InputsBase:
    """Names inputs: ``Inputs.region`` is the value of the input ``region``.

    Example:
        >>> Inputs.region
        InputBinding(name='region', shift_seconds=0.0)
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> InputBinding:
        if name.startswith("__"):
            raise AttributeError(name)
        return InputBinding(name)


Inputs: Final = InputsBase()

Value = str | InputBinding
Moment = dt.datetime | InputBinding


@dataclass(frozen=True, slots=True)
class Artifact(Declared):
    """What an output is called, and by which partitions its values are told apart.

    Args:
        project, domain: where it belongs; where the workflow runs by default.
        name: its name.
        version: one version of it, for a query.
        time_partitioned: whether a moment tells its values apart.
        time_partition: a bound moment; prefer ``artifact(time_partition=...)``.
        time_partition_granularity: how finely; by the day by default.
        partition_keys: the names of the other partitions, at most ten.
        partitions: bound partitions; prefer ``artifact(key=...)``.

    Raises:
        DefinitionError: no name, keys that cannot be names, or values for partitions it does not have.

    Example:
        >>> Model = Artifact(name="model", partition_keys=["region"], time_partitioned=True)
        >>> bound = Model(region=Inputs.region, time_partition=dt.datetime(2026, 1, 2, 3))
        >>> bound.resolve({"region": "eu"})
        {'region': 'eu', 'time_partition': '2026-01-02T00:00:00+00:00'}
        >>> Model(planet="mars")
        Traceback (most recent call last):
        flytepath.errors.DefinitionError: [FP-DEFINITION] artifact model has no partition 'planet'
          at: Artifact(model)
          expected: region, time_partition
          actual: planet
    """

    project: str | None = None
    domain: str | None = None
    name: str | None = None
    version: str | None = None
    time_partitioned: bool = False
    time_partition: Moment | None = None
    time_partition_granularity: Granularity | None = None
    partition_keys: Sequence[str] | None = None
    partitions: Mapping[str, Value] | None = None

    def __post_init__(self) -> None:
        need_text(self.name, "Artifact(name)")
        for name in ("project", "domain", "version"):
            need_optional_text(getattr(self, name), f"Artifact({name})")
        need_flag(self.time_partitioned, "Artifact(time_partitioned)")
        given = self.time_partition_granularity
        need_instance(given, Granularity, "Artifact(time_partition_granularity)")
        if self.time_partition is not None or given is not None:
            set_field(self, "time_partitioned", True)
        if self.time_partitioned and given is None:
            set_field(self, "time_partition_granularity", Granularity.DAY)
        keys = need_texts(self.partition_keys, "Artifact(partition_keys)")
        if self.partitions and not keys:
            keys = tuple(self.partitions)
        self._check_keys(keys)
        set_field(self, "partition_keys", keys)
        values = {key: self._value(key, value) for key, value in (self.partitions or {}).items()}
        set_field(self, "partitions", values)
        if self.time_partition is not None:
            set_field(self, "time_partition", self._moment(self.time_partition))

    def _check_keys(self, keys: tuple[str, ...]) -> None:
        place = f"Artifact({self.name})"
        for key in keys:
            if not key.isidentifier() or key in (TIME_PARTITION, "partitions", "project", "domain"):
                raise DefinitionError(
                    "this cannot be a partition's name", place=place, expected="a name of its own", actual=repr(key)
                )
        if len(set(keys)) != len(keys) or len(keys) > _MOST_KEYS:
            raise DefinitionError(
                "partition keys are different names, not too many",
                place=place,
                expected=f"at most {_MOST_KEYS}",
                actual=", ".join(keys),
            )

    def _value(self, key: str, value: Any) -> Value:
        keys = tuple(self.partition_keys or ())
        if key not in keys:
            known = (*keys, TIME_PARTITION) if self.time_partitioned else keys
            raise DefinitionError(
                f"artifact {self.name} has no partition {key!r}",
                place=f"Artifact({self.name})",
                expected=", ".join(known) or "none: declare it with partition_keys=[...]",
                actual=key,
            )
        if isinstance(value, InputBinding) or (isinstance(value, str) and value):
            return value
        raise DefinitionError(
            "a partition is text, or an input",
            place=f"Artifact({self.name}).{key}",
            expected=f"str, not empty, or Inputs.{key}",
            actual=repr(value),
        )

    def _moment(self, value: Any) -> Moment:
        if not self.time_partitioned:
            raise DefinitionError(
                f"artifact {self.name} has no time partition",
                place=f"Artifact({self.name})",
                hint="declare it with time_partitioned=True",
            )
        if isinstance(value, InputBinding):
            return value
        if isinstance(value, dt.datetime):
            return (self.time_partition_granularity or Granularity.DAY).floor(value)
        raise DefinitionError(
            "a time partition is a moment, or an input",
            place=f"Artifact({self.name}).{TIME_PARTITION}",
            expected="datetime or Inputs.x",
            actual=repr(value),
        )

    def __call__(self, *, time_partition: Moment | None = None, **partitions: Value) -> Artifact:
        """The same artifact with partitions bound: to values, or to inputs of the task, such as ``Inputs.region``."""
        return replace(
            self,
            time_partition=self.time_partition if time_partition is None else self._moment(time_partition),
            partitions={**(self.partitions or {}), **{key: self._value(key, one) for key, one in partitions.items()}},
        )

    def query(
        self,
        project: str | None = None,
        domain: str | None = None,
        time_partition: Moment | None = None,
        partitions: Mapping[str, Value] | None = None,
        **kwargs: Value,
    ) -> ArtifactQuery:
        """Ask for the newest value of the partitions given; as an input's default in a launch plan.

        Args:
            project, domain: where to look.
            time_partition: the moment.
            partitions, kwargs: the other partitions.

        Raises:
            DefinitionError: a partition it does not have.
        """
        bound = self(time_partition=time_partition, **{**(partitions or {}), **kwargs})
        return ArtifactQuery(
            replace(bound, project=project or self.project, domain=domain or self.domain, version=self.version)
        )

    def create_from(
        self, o: T, card: Any = None, *args: Any, time_partition: Moment | None = None, **kwargs: Value
    ) -> T:
        """Say in a task which partition ``o`` belongs to, where only the task's code knows it; returns ``o``.

        Args:
            o: what the task returns for the output that this artifact marks.
            card, args: a description for people, shown as a deck: text in Markdown, or something with ``to_html``.
            time_partition, kwargs: the partitions.

        Raises:
            DefinitionError: a partition it does not have.
        """
        from flytepath.authoring.context import current_context

        context = current_context()
        bound = self(time_partition=time_partition, **kwargs)
        if not context.has_attr(_MADE):
            context.attach(_MADE, [])
        # The value is held, not only its id: an id may be given to another value as soon as this one is gone.
        context.get(_MADE).append((o, bound))
        for described in (card, *args):
            if described is not None:
                from flytepath.authoring.decks.deck import Deck
                from flytepath.authoring.decks.renderers.text import MarkdownRenderer

                if isinstance(described, str):
                    content = MarkdownRenderer().to_html(described)
                else:
                    content = str(described.to_html()) if hasattr(described, "to_html") else str(described)
                Deck(f"Artifact {self.name}", content)
        return o

    def resolve(self, inputs: Mapping[str, Any]) -> dict[str, str]:
        """Every partition's value, for the inputs a task was called with.

        Raises:
            InputError: an input that is missing or not of the right kind, or a partition nothing was said about.
        """
        found = {key: _text_of(self, key, self._bound(key), inputs) for key in self.partition_keys or ()}
        if self.time_partitioned:
            moment: Any = self.time_partition
            if isinstance(moment, InputBinding):
                given = _input(self, TIME_PARTITION, moment, inputs)
                if not isinstance(given, dt.datetime):
                    raise InputError(
                        "a time partition is a moment",
                        place=f"Artifact({self.name}).{TIME_PARTITION}",
                        expected=f"the input {moment.name} as a datetime",
                        actual=repr(given),
                    )
                shifted = given + dt.timedelta(seconds=moment.shift_seconds)
                moment = (self.time_partition_granularity or Granularity.DAY).floor(shifted)
            if moment is None:
                raise _unbound(self, TIME_PARTITION)
            found[TIME_PARTITION] = moment.isoformat()
        return found

    def _bound(self, key: str) -> Value:
        value = (self.partitions or {}).get(key)
        if value is None:
            raise _unbound(self, key)
        return value

    def to_json(self) -> dict[str, Any]:
        """What was declared; a partition is its value, or the input that gives it."""
        found: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("project", "domain", "name", "version")
            if getattr(self, name) is not None
        }
        if self.partition_keys:
            found["partition_keys"] = list(self.partition_keys)
        if self.partitions:
            found["partitions"] = {key: _plain(value) for key, value in self.partitions.items()}
        if self.time_partitioned:
            found["granularity"] = (self.time_partition_granularity or Granularity.DAY).value
        if self.time_partition is not None:
            found[TIME_PARTITION] = _plain(self.time_partition)
        return found

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Artifact:
        """The inverse of :meth:`to_json`."""
        known = dict(data)
        granularity = known.pop("granularity", None)
        moment = _read(known.pop(TIME_PARTITION, None))
        partitions = {key: _read(value) for key, value in known.pop("partitions", {}).items()}
        return cls(
            **known,
            partitions=partitions or None,
            time_partition=dt.datetime.fromisoformat(moment) if isinstance(moment, str) else moment,
            time_partition_granularity=None if granularity is None else Granularity(granularity),
        )

    def __hash__(self) -> int:
        return hash((self.project, self.domain, self.name, self.version, self.partition_keys))


@dataclass(frozen=True, slots=True)
class ArtifactQuery(Declared):
    """A question for the newest value of an artifact's partitions; :meth:`Artifact.query` makes it.

    Example:
        >>> query = Artifact(name="model", partition_keys=["region"]).query(region="eu")
        >>> query.to_json()
        {'artifact': {'name': 'model', 'partition_keys': ['region'], 'partitions': {'region': 'eu'}}}
        >>> ArtifactQuery.from_json(query.to_json()) == query
        True
    """

    artifact: Artifact

    def __post_init__(self) -> None:
        if not isinstance(self.artifact, Artifact):
            raise DefinitionError("a query is about an artifact", place="ArtifactQuery()", actual=repr(self.artifact))

    @property
    def bindings(self) -> tuple[str, ...]:
        """The inputs that the query needs."""
        values = (*(self.artifact.partitions or {}).values(), self.artifact.time_partition)
        return tuple(dict.fromkeys(value.name for value in values if isinstance(value, InputBinding)))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ArtifactQuery:
        """The inverse of ``to_json``."""
        return cls(Artifact.from_json(data["artifact"]))


def made_artifact(context: Any, value: Any) -> Artifact | None:
    """What a task's code said of ``value`` with :meth:`Artifact.create_from`; the last word counts."""
    if not context.has_attr(_MADE):
        return None
    for made, artifact in reversed(context.get(_MADE)):
        if made is value:
            found: Artifact = artifact
            return found
    return None


def _plain(value: Any) -> Any:
    if isinstance(value, InputBinding):
        return value.to_json()
    return value.isoformat() if isinstance(value, dt.datetime) else value


def _read(value: Any) -> Any:
    if isinstance(value, Mapping):
        return InputBinding(value["input"], value.get("shift_seconds", 0.0))
    return value


def _shift(shift: Any) -> float:
    if isinstance(shift, dt.timedelta):
        return shift.total_seconds()
    raise DefinitionError("a time is shifted by a timedelta", expected="timedelta", actual=repr(shift))


def _input(artifact: Artifact, key: str, binding: InputBinding, inputs: Mapping[str, Any]) -> Any:
    if binding.name not in inputs:
        raise InputError(
            f"a partition of artifact {artifact.name} is bound to an input that is not there",
            place=f"Artifact({artifact.name}).{key}",
            expected=", ".join(inputs) or "no input",
            actual=binding.name,
        )
    return inputs[binding.name]


def _text_of(artifact: Artifact, key: str, value: Value, inputs: Mapping[str, Any]) -> str:
    if isinstance(value, str):
        return value
    given = _input(artifact, key, value, inputs)
    # Whole numbers and dates have one way to be written; floats and containers do not.
    if isinstance(given, bool) or not isinstance(given, str | int | dt.date | enum.Enum) or given == "":
        raise InputError(
            "a partition is made of text, whole numbers, dates or enums",
            place=f"Artifact({artifact.name}).{key}",
            expected=f"such a value of the input {value.name}",
            actual=repr(given),
        )
    if isinstance(given, enum.Enum):
        return str(given.value)
    return given.isoformat() if isinstance(given, dt.date) else str(given)


def _unbound(artifact: Artifact, key: str) -> InputError:
    return InputError(
        f"nothing says which {key} an artifact {artifact.name} belongs to",
        place=f"Artifact({artifact.name}).{key}",
        hint=f"bind it: Annotated[..., {artifact.name}({key}=Inputs.x)], or say it with create_from({key}=...)",
    )
