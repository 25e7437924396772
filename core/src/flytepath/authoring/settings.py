"""How a task is run: what ``@task`` takes beside the function, checked once, in one frozen object."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from flytepath.errors import DefinitionError
from flytepath.model.resources import Resources

if TYPE_CHECKING:
    from flytepath.authoring.declared.attempts import Retry, Timeout
    from flytepath.authoring.declared.caching import Cache
    from flytepath.authoring.declared.documentation import Documentation
    from flytepath.authoring.declared.image_spec import ImageSpec
    from flytepath.authoring.declared.pod_template import PodTemplate
    from flytepath.model.accelerators import Accelerator
    from flytepath.model.secret import Secret

NO_RESOURCES: Final = Resources()


@dataclass(frozen=True, slots=True)
class Caching:
    """Outputs are reused while this ``version`` and the inputs that are not ``ignored`` stay the same."""

    version: str
    serialize: bool = False
    ignored: tuple[str, ...] = ()
    salt: str = ""


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """Everything that decides how a task is run; see :func:`flytepath.task` for the meaning of each field."""

    retries: int = 0
    retry: Retry | None = None
    timeout_seconds: float | None = None
    queue_timeout_seconds: float | None = None
    requests: Resources = NO_RESOURCES
    limits: Resources = NO_RESOURCES
    caching: Caching | None = None
    interruptible: bool | None = None
    deprecated: str = ""
    image: str | ImageSpec | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[Secret, ...] = ()
    documentation: Documentation | str = ""
    decks: tuple[str, ...] = ()
    pod_template: PodTemplate | None = None
    pod_template_name: str = ""
    accelerator: Accelerator | None = None
    shared_memory: bool | str = False
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    pools: Mapping[str, int] = field(default_factory=dict)
    detach: bool = False
    idempotent: bool = False
    backend: str = ""

    @property
    def process_variables(self) -> Mapping[str, str]:
        """The environment variables the task runs with: those of its image, and its own over them."""
        if self.image is None or isinstance(self.image, str):
            return self.variables
        return {**self.image.variables(), **self.variables}


DEFAULT_SETTINGS: Final = TaskSettings()
#: The names under which ``@task`` and the task classes take settings.
SETTING_NAMES: Final = frozenset(
    {
        *("cache", "cache_version", "cache_serialize", "cache_ignore_input_vars", "retries", "interruptible"),
        *("deprecated", "timeout", "container_image", "environment", "requests", "limits", "resources"),
        *("secret_requests", "docs", "disable_deck", "enable_deck", "deck_fields", "pod_template"),
        *("pod_template_name", "accelerator", "shared_memory", "labels", "annotations", "metadata"),
        *("pools", "detach", "idempotent", "backend"),
    }
)


def task_settings(
    place: str, inputs: Iterable[str], function: Callable[..., Any] | None, given: Mapping[str, Any]
) -> TaskSettings:
    """The settings a task is declared with.

    Args:
        place: the task's name, for errors.
        inputs: the names of its inputs.
        function: its body, which cache policies may look at.
        given: what the author wrote, by the names of :data:`SETTING_NAMES`; ``None`` means not given.

    Raises:
        DefinitionError: an unknown setting, or a value that cannot be meant.
    """
    given = {name: value for name, value in given.items() if value is not None}
    unknown = given.keys() - SETTING_NAMES
    if unknown:
        name = min(unknown)
        raise DefinitionError(
            f"a task has no setting {name!r}", place=f"{place}({name})", expected=", ".join(sorted(SETTING_NAMES))
        )
    metadata = given.pop("metadata", None)
    if metadata is not None:
        given = {**metadata.as_settings(), **given}
    if not given:
        return DEFAULT_SETTINGS
    return _Reader(place, given).settings(tuple(inputs), function)


class _Reader:
    """Takes settings out of what was given, each checked, with errors that name the task and the setting."""

    def __init__(self, place: str, given: Mapping[str, Any]) -> None:
        self._place = place
        self._given = given

    def settings(self, inputs: tuple[str, ...], function: Callable[..., Any] | None) -> TaskSettings:
        requests, limits = self._resources()
        retries, retry = self.retries()
        runtime, queued = self.timeout()
        return TaskSettings(
            retries=retries,
            retry=retry,
            timeout_seconds=runtime,
            queue_timeout_seconds=queued,
            requests=requests,
            limits=limits,
            caching=self.caching(inputs, function),
            interruptible=self._of("interruptible", bool, None),
            deprecated=self._of("deprecated", str, ""),
            image=self.image(),
            variables=self._texts("environment"),
            secrets=self._secrets(),
            documentation=self._documentation(),
            decks=self._decks(),
            pod_template=self.pod_template(),
            pod_template_name=self._of("pod_template_name", str, ""),
            accelerator=self.accelerator(),
            shared_memory=self.shared_memory(),
            labels=self._texts("labels"),
            annotations=self._texts("annotations"),
            pools=self._pools(),
            detach=self._of("detach", bool, False),
            idempotent=self._of("idempotent", bool, False),
            backend=self._backend(),
        )

    def wrong(self, name: str, expected: str, hint: str | None = None) -> DefinitionError:
        return DefinitionError(
            f"{name} cannot be {self._given[name]!r}", place=f"{self._place}({name})", expected=expected, hint=hint
        )

    def _of(self, name: str, kind: type[Any], default: Any) -> Any:
        value = self._given.get(name, default)
        if value is not default and not isinstance(value, kind):
            raise self.wrong(name, kind.__name__)
        return value

    def retries(self) -> tuple[int, Retry | None]:
        value = self._given.get("retries", 0)
        if type(value) is int and value >= 0:
            return value, None
        from flytepath.authoring.declared.attempts import Retry

        if not isinstance(value, Retry):
            raise self.wrong("retries", "int >= 0, a whole number of further attempts, or Retry(...)")
        return value.count, value

    def timeout(self) -> tuple[float | None, float | None]:
        """The longest run and the longest wait."""
        value = self._given.get("timeout")
        if value is None:
            return None, None
        from flytepath.authoring.declared.attempts import Timeout, seconds_of

        if isinstance(value, Timeout):
            return value.runtime_seconds, value.queued_seconds
        try:
            return seconds_of(value, "timeout") or None, None
        except DefinitionError as error:
            expected = "a timedelta or a number of seconds, zero or None for none, or Timeout(...)"
            raise self.wrong("timeout", expected) from error

    def _resources(self) -> tuple[Resources, Resources]:
        both = self._of("resources", Resources, None)
        requests = self._of("requests", Resources, None)
        limits = self._of("limits", Resources, None)
        for name, value in (("requests", requests), ("limits", limits)):
            if value is not None and both is not None:
                raise DefinitionError(
                    f"resources and {name} say the same thing twice",
                    place=f"{self._place}({name})",
                    hint="resources=Resources(cpu=('1', '2')) holds requests and limits",
                )
            if value is not None and value.is_range:
                raise self.wrong(name, "single quantities", "pairs of request and limit belong into resources=")
        if both is not None:
            return both.requests, both.limits
        return requests or NO_RESOURCES, limits or NO_RESOURCES

    def caching(self, inputs: tuple[str, ...], function: Callable[..., Any] | None) -> Caching | None:
        from flytepath.authoring.declared.caching import Cache, VersionParameters

        cache: bool | Cache = self._given.get("cache", False)
        loose = [n for n in ("cache_version", "cache_serialize", "cache_ignore_input_vars") if self._given.get(n)]
        if not isinstance(cache, bool | Cache):
            raise self.wrong("cache", "True, False or Cache(...)")
        if cache is False:
            if loose:
                raise DefinitionError(
                    f"{loose[0]} says how to cache, and cache is off",
                    place=f"{self._place}({loose[0]})",
                    hint="set cache=True too",
                )
            return None
        if isinstance(cache, Cache) and loose:
            raise DefinitionError(
                f"{loose[0]} belongs into the Cache object",
                place=f"{self._place}({loose[0]})",
                hint="Cache(version=...)",
            )
        if cache is True:
            version = self._given.get("cache_version")
            if not version or not isinstance(version, str):
                raise DefinitionError(
                    "a cached task needs a version",
                    place=f"{self._place}(cache)",
                    expected='cache=True, cache_version="1.0", or cache=Cache(version="1.0")',
                    hint="change the version whenever the task would give something else",
                )
            ignored = self._given.get("cache_ignore_input_vars", ())
            cache = Cache(
                version=version,
                serialize=self._of("cache_serialize", bool, False),
                ignored_inputs=(ignored,) if isinstance(ignored, str) else tuple(ignored),
            )
        cache.check_inputs(inputs, self._place)
        parameters = VersionParameters(
            func=function,
            container_image=self._given.get("container_image"),
            pod_template=self._given.get("pod_template"),
            pod_template_name=self._given.get("pod_template_name"),
        )
        salt = cache.salt if cache.version is not None else ""  # a policy has put it into the version
        return Caching(cache.get_version(parameters), cache.serialize, cache.get_ignored_inputs(), salt)

    def image(self) -> str | ImageSpec | None:
        value = self._given.get("container_image")
        if value is None or (isinstance(value, str) and value):
            return value
        from flytepath.authoring.declared.image_spec import ImageSpec

        if not isinstance(value, ImageSpec):
            raise self.wrong("container_image", "the name of an image, or ImageSpec(...)")
        return value

    def pod_template(self) -> PodTemplate | None:
        value = self._given.get("pod_template")
        if value is None:
            return None
        from flytepath.authoring.declared.pod_template import PodTemplate

        if not isinstance(value, PodTemplate):
            raise self.wrong("pod_template", "PodTemplate(...)")
        return value

    def accelerator(self) -> Accelerator | None:
        value = self._given.get("accelerator")
        if value is None:
            return None
        from flytepath.model.accelerators import Accelerator

        if not isinstance(value, Accelerator):
            raise self.wrong("accelerator", "an accelerator such as A100 or GPUAccelerator('name')")
        return value

    def shared_memory(self) -> bool | str:
        value = self._given.get("shared_memory", False)
        if isinstance(value, bool):
            return value
        Resources(mem=value)  # the same quantities, and the same error
        return str(value)

    def _secrets(self) -> tuple[Secret, ...]:
        value = self._given.get("secret_requests", ())
        if not value:
            return ()
        from flytepath.model.secret import Secret

        if not isinstance(value, list | tuple) or not all(isinstance(item, Secret) for item in value):
            raise self.wrong("secret_requests", "a list of Secret(...)")
        return tuple(value)

    def _documentation(self) -> Documentation | str:
        value = self._given.get("docs", "")
        if isinstance(value, str):
            return value
        from flytepath.authoring.declared.documentation import Documentation

        if not isinstance(value, Documentation):
            raise self.wrong("docs", "Documentation(...)")
        return value

    def _decks(self) -> tuple[str, ...]:
        enable, disable = self._given.get("enable_deck"), self._given.get("disable_deck")
        for name in ("enable_deck", "disable_deck"):
            self._of(name, bool, None)
        if enable is not None and disable is not None:
            raise DefinitionError(
                "enable_deck and disable_deck cannot both be given", place=f"{self._place}(disable_deck)"
            )
        if not (enable if enable is not None else disable is False):
            return ()
        from flytepath.authoring.decks.deck import DeckField

        fields = self._given.get("deck_fields", tuple(DeckField))
        if not isinstance(fields, list | tuple) or not all(isinstance(item, DeckField) for item in fields):
            raise self.wrong("deck_fields", "a tuple of DeckField members")
        return tuple(dict.fromkeys(item.value for item in fields))

    def _pools(self) -> dict[str, int]:
        value = self._given.get("pools", {})
        expected = "a dict of the pool's full name and a whole number of tokens above 0, as in {'matlab': 1}"
        if not isinstance(value, Mapping):
            raise self.wrong("pools", expected)
        for pool, tokens in value.items():
            if not isinstance(pool, str) or not pool or any(letter.isspace() or letter in "*?" for letter in pool):
                raise self.wrong(
                    "pools", expected, f"{pool!r} is no name of a pool: white space, * and ? cannot be in it"
                )
            if type(tokens) is not int or tokens < 1:
                raise self.wrong("pools", expected, f"an attempt holds {tokens!r} tokens of {pool!r} while it runs")
        return dict(value)

    def _backend(self) -> str:
        value: str = self._of("backend", str, "")
        if value != value.strip() or ("backend" in self._given and not value):
            raise self.wrong("backend", "the name of a backend, as 'kubernetes', or 'local'")
        return value

    def _texts(self, name: str) -> dict[str, str]:
        value = self._given.get(name, {})
        if not isinstance(value, Mapping) or not all(isinstance(t, str) for pair in value.items() for t in pair):
            raise self.wrong(name, "a dict of texts")
        return dict(value)


@dataclass(frozen=True, slots=True)
class TaskMetadata:
    """The settings of a task as one object, for ``metadata=`` of the task classes.

    Example:
        >>> TaskMetadata(retries=3).as_settings()
        {'retries': 3}
    """

    cache: bool = False
    cache_serialize: bool = False
    cache_version: str = ""
    cache_ignore_input_vars: tuple[str, ...] = ()
    interruptible: bool | None = None
    deprecated: str = ""
    retries: int | Retry = 0
    timeout: dt.timedelta | float | Timeout | None = None
    pod_template_name: str | None = None
    generates_deck: bool = False
    is_eager: bool = False
    labels: Mapping[str, str] | None = None
    annotations: Mapping[str, str] | None = None

    def as_settings(self) -> dict[str, Any]:
        """The settings that say something, by the names of ``@task``."""
        names: tuple[str, ...] = ("cache", "cache_serialize", "cache_version", "cache_ignore_input_vars")
        names += ("interruptible", "deprecated", "retries", "timeout", "pod_template_name", "labels", "annotations")
        out = {name: getattr(self, name) for name in names}
        out["enable_deck"] = self.generates_deck or None
        return {name: value for name, value in out.items() if value is not None and value not in (False, "", (), 0)}
