"""Sensors: tasks that wait until something outside is so, such as a file that has come."""

from __future__ import annotations

import datetime as dt
import inspect
import time
import typing
from collections.abc import Awaitable
from typing import Any, Final

from flytepath.authoring.call import complete
from flytepath.authoring.context import current_context
from flytepath.authoring.signature import REQUIRED
from flytepath.authoring.task import PythonInstanceTask
from flytepath.errors import DefinitionError, MissingAnnotationError, TaskFailedError, TypeTransformerFailedError

#: Each wait is so much longer than the one before.
_GROWTH: Final = 1.5
#: What a look may take, in seconds, that is begun when the time is over.
_LAST_LOOK: Final = 1.0


class SensorTimeoutError(TaskFailedError, TimeoutError):
    """What a sensor waits for did not come in time."""

    code = "FP-SENSOR-TIMEOUT"


class BaseSensor(PythonInstanceTask):
    """The base of sensors: override ``async def poke(self, ...) -> bool`` and say there whether it is so by now.

    The inputs of the task are those of ``poke``, with their annotations and defaults; it has no outputs. In a workflow,
    ``sensor(...) >> after()`` makes ``after`` wait for it. Assign each sensor to a module variable, that is how a
    worker finds it. A worker is busy as long as a sensor waits. An error that ``poke`` raises fails the attempt: say
    ``retries`` where some are expected.

    Args:
        name: the task's name, unique in its project.
        timeout: how long to wait at most, a ``timedelta`` or seconds; without end by default.
        sensor_config: anything ``poke`` wants to know, kept as ``self.sensor_config``.
        task_type: a word for people.
        poll_interval: seconds until the second look; each later wait is longer by half.
        max_poll_interval: the longest wait between two looks, in seconds.
        **kwargs: as for ``task``: ``retries``, ``requests``, ...

    Raises:
        DefinitionError: ``poke`` is not overridden, or its inputs have no annotations.

    A direct call raises :class:`SensorTimeoutError` where it waited in vain; in a durable run the attempt times out.

    Example:
        >>> class CountDown(BaseSensor):
        ...     left = 2
        ...     async def poke(self, step: int = 1) -> bool:
        ...         self.left -= step
        ...         return self.left <= 0
        >>> CountDown(name="count_down", poll_interval=0.001)(step=1)
    """

    def __init__(
        self,
        name: str,
        timeout: dt.timedelta | float | None = None,
        sensor_config: Any = None,
        task_type: str = "sensor",
        *,
        poll_interval: float = 0.5,
        max_poll_interval: float = 60.0,
        **kwargs: Any,
    ) -> None:
        for label, value in (("poll_interval", poll_interval), ("max_poll_interval", max_poll_interval)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise DefinitionError(
                    f"{label} is a number of seconds above 0", place=f"{name}({label})", actual=repr(value)
                )
        inputs, defaults = _inputs_of(type(self), name)
        super().__init__(
            name=name, inputs=inputs, outputs={}, defaults=defaults, task_type=task_type, timeout=timeout, **kwargs
        )
        self.sensor_config = sensor_config
        self._interval = float(min(poll_interval, max_poll_interval))
        self._longest = float(max_poll_interval)

    async def poke(self, *args: Any, **inputs: Any) -> bool:
        """Whether what is waited for is so by now. Override it, with inputs that have names and types."""
        raise DefinitionError(f"sensor {self.name} does not say what it waits for", place=self.name)

    def execute(self, **inputs: Any) -> None:
        """Look until ``poke`` says ``True``."""
        # In a durable run the engine keeps the time: it knows of overrides, and ends what does not listen.
        is_direct = current_context().tenant is None
        complete(self._wait(inputs, self.settings.timeout_seconds if is_direct else None))

    async def _wait(self, inputs: dict[str, Any], limit: float | None) -> None:
        import asyncio

        end = None if limit is None else time.monotonic() + limit
        pause = self._interval
        is_last = False
        while True:
            left = None if end is None else end - time.monotonic()
            try:
                async with asyncio.timeout(max(left or 0.0, _LAST_LOOK) if is_last else left) as looking:
                    found = await self._look(inputs)
            except TimeoutError as error:
                if not looking.expired():
                    raise
                raise self._late(limit) from error
            if found:
                return
            if end is not None:
                # Sleeping past the end would waste what has come before it: there is a last look right then.
                left = max(0.0, end - time.monotonic())
                if is_last or left == 0.0:
                    raise self._late(limit)
                is_last = left <= pause
                pause = min(pause, left)
            await asyncio.sleep(pause)
            pause = min(pause * _GROWTH, self._longest)

    async def _look(self, inputs: dict[str, Any]) -> bool:
        found: Any = self.poke(**inputs)
        if isinstance(found, Awaitable):
            found = await found
        if not isinstance(found, bool):
            raise TypeTransformerFailedError(
                f"poke() of sensor {self.name} says whether to go on waiting",
                place=f"{self.name}.poke()",
                expected="True or False",
                actual=repr(found)[:200],
            )
        return found

    def _late(self, limit: float | None) -> SensorTimeoutError:
        return SensorTimeoutError(
            f"what sensor {self.name} waits for did not come within {limit:g} s",
            place=self.name,
            expected="poke() that says True in time",
            hint="give it a longer timeout",
        )


def _inputs_of(kind: type[BaseSensor], name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The types and defaults of what ``poke`` takes."""
    place = f"{name}.poke"
    if kind.poke is BaseSensor.poke:
        raise DefinitionError(
            f"sensor {name} does not say what it waits for",
            place=place,
            hint=f"give {kind.__qualname__} a method: async def poke(self, ...) -> bool",
        )
    try:
        hints = typing.get_type_hints(kind.poke, include_extras=True)
    except NameError as error:
        raise DefinitionError(
            f"an annotation cannot be evaluated: {error}", place=place, hint="import or define the name at module level"
        ) from error
    parameters = list(inspect.signature(kind.poke).parameters.values())[1:]
    inputs, defaults = {}, {}
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise DefinitionError(
                f"poke cannot take {parameter}", place=place, hint="name each input and annotate its type"
            )
        if parameter.name not in hints:
            raise MissingAnnotationError(
                f"input {parameter.name!r} of the sensor has no type",
                place=f"{place}({parameter.name})",
                expected="an annotation such as path: str",
            )
        inputs[parameter.name] = hints[parameter.name]
        defaults[parameter.name] = REQUIRED if parameter.default is parameter.empty else parameter.default
    return inputs, defaults


class FileSensor(BaseSensor):
    """Waits until there is a file or a directory, on this machine or anywhere fsspec reaches.

    Args:
        name, timeout, **kwargs: as for :class:`BaseSensor`.

    Example:
        >>> import tempfile
        >>> arrived = FileSensor(name="arrived", timeout=60)
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     arrived(path=file.name)
    """

    def __init__(self, name: str, timeout: dt.timedelta | float | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("task_type", "file_sensor")
        super().__init__(name=name, timeout=timeout, **kwargs)

    async def poke(self, path: str) -> bool:
        """Whether there is something at ``path``.

        Raises:
            FileAccessError: nobody can tell: no driver for the scheme, no credentials, no network.
        """
        import asyncio

        return await asyncio.to_thread(_exists, path)


def _exists(path: str) -> bool:
    from flytepath.types.transfers import access, filesystem, is_remote, local_path

    place = path if is_remote(path) else local_path(path)
    files, inside = filesystem(place)
    with access(path, "looked for"):
        # Listings are cached by some drivers: a file that came since would never be seen.
        files.invalidate_cache()
        return bool(files.exists(inside))
