"""The conformance of a task type: a pure compiler of declarations, and a faithful runner of bodies."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from flytepath.errors import FlytePathError
from flytepath.model.literal import canonical_json
from flytepath.plugin.task_type import NO_OUTPUT, CallBody, TaskDeclaration, TaskType
from flytepath.testing.findings import refuse
from flytepath.testing.object_graph import fingerprint
from flytepath.testing.plain_json import not_plain
from flytepath.testing.samples import stable_forms_elsewhere
from flytepath.testing.task_context import MemoryTaskContext


class _BodyError(Exception):
    """What the sample body raises."""


class TaskTypeConformance:
    """Checks that hold for every task type. Subclass it at the top of a test module.

    Example:
        >>> class TestLoud(TaskTypeConformance):
        ...     task_type = TaskType
        ...     def config_samples(self):
        ...         return [None]
    """

    #: The class under test.
    task_type: ClassVar[type[TaskType]]
    #: The name it is declared under; where set, the installed plugins are asked for subclasses of the configuration.
    name: ClassVar[str] = ""
    #: False for tasks without a body (a query, a validation): then nothing is executed here.
    calls_body: ClassVar[bool] = True

    # --- what a subclass says ------------------------------------------------------------------------------------

    def config_samples(self) -> Iterable[Any]:
        """Configurations, made afresh on every call: the default, one with everything set, odd ones."""
        raise NotImplementedError("config_samples() gives samples of the configuration")

    def declaration(self, config: Any) -> TaskDeclaration:
        """The declaration of a task with that configuration."""
        return TaskDeclaration(name="conformance.sample", config=config)

    def inputs(self) -> Mapping[str, Any]:
        """What the sample body is called with."""
        return {"x": 1}

    def is_output_of(self, output: Any, returned: Any) -> bool:
        """Whether ``output`` is what ``execute`` should make of a body that returned ``returned``."""
        return bool(output == returned)

    # --- the checks ----------------------------------------------------------------------------------------------

    def test_compile_gives_the_same_bytes_twice(self) -> None:
        """The same declaration compiles to the same bytes, in this process and in others."""
        first, second = self.stable_forms(), self.stable_forms()
        elsewhere = [stable_forms_elsewhere(type(self), hash_seed) for hash_seed in (1, 2)]
        for other, where in (
            (second, "twice in one process"),
            (elsewhere[0], "elsewhere"),
            (elsewhere[1], "elsewhere"),
        ):
            for expected, actual in zip(first, other, strict=True):
                if expected != actual:
                    refuse(
                        f"compile() gives other bytes for the same declaration ({where})",
                        place=self._place,
                        expected=expected,
                        actual=actual,
                        hint="sort sets and mappings, use no clock, id(), random number or environment in compile()",
                    )

    def test_compile_leaves_the_configuration_alone(self) -> None:
        """The author's object is the same afterwards."""
        for config in self._configs():
            before = fingerprint(config)
            self._compile(config)
            if fingerprint(config) != before:
                refuse(
                    f"compile() changes the configuration {type(config).__qualname__}",
                    place=self._place,
                    hint="build the payload from copies; several tasks may share one configuration object",
                )

    def test_payload_is_plain_json(self) -> None:
        """The payload means the same after it was stored."""
        for config in self._configs():
            problem = not_plain(self._compile(config))
            if problem:
                refuse(
                    "compile() returns what is not plain JSON",
                    place=self._place,
                    expected="dicts with string keys, lists, strings, finite numbers, booleans and None",
                    actual=problem,
                    hint="convert it: list(...) for tuples, str(...) for paths, .value for enums",
                )

    def test_execute_calls_the_body(self) -> None:
        """The body is called once, with the inputs as given, and its result is the task's."""
        if not self.calls_body:
            return
        for config in self._configs():
            calls: list[Mapping[str, Any]] = []
            returned = object()

            def body(inputs: Mapping[str, Any], calls: list[Any] = calls, returned: Any = returned) -> Any:
                calls.append(inputs)
                return returned

            output = self._execute(config, body)
            if [dict(call) for call in calls] != [dict(self.inputs())]:
                refuse(
                    f"execute() called the body {len(calls)} time(s)",
                    place=self._place,
                    expected=f"one call with {dict(self.inputs())!r}",
                    actual=repr(calls)[:200],
                    hint="call call_body(inputs) once; for a task without a body set calls_body = False in the test",
                )
            if not self.is_output_of(output, returned):
                refuse(
                    "execute() does not return what the body returned",
                    place=self._place,
                    actual=repr(output)[:200],
                    hint="return the result of call_body(inputs), or override is_output_of in the test",
                )

    def test_execute_passes_the_bodys_error_on(self) -> None:
        """An error of the user's code is not swallowed."""
        if not self.calls_body:
            return
        for config in self._configs():

            def body(inputs: Mapping[str, Any]) -> Any:
                raise _BodyError("the sample body failed")

            try:
                self._execute(config, body)
            except Exception as error:  # noqa: BLE001 - the check is which error comes out
                if any(isinstance(item, _BodyError) for item in _chain(error)):
                    continue
                refuse(
                    "execute() hides the error of the body",
                    place=self._place,
                    actual=f"{type(error).__name__}: {error}",
                    hint="let it pass, or raise yours from it (raise ... from error)",
                    cause=error,
                )
            refuse(
                "execute() swallows the error of the body",
                place=self._place,
                hint="let it pass: a task that failed must be seen to fail",
            )

    def test_no_output_is_passed_on(self) -> None:
        """A rank that has no result has none afterwards."""
        if not self.calls_body:
            return
        for config in self._configs():
            output = self._execute(config, lambda inputs: NO_OUTPUT)
            if output is not NO_OUTPUT:
                refuse(
                    "execute() turns NO_OUTPUT into something else",
                    place=self._place,
                    expected="NO_OUTPUT",
                    actual=repr(output)[:200],
                    hint="return what call_body returned when it is NO_OUTPUT",
                )

    def test_subclasses_of_the_configuration_belong_here(self) -> None:
        """A subclass of the configuration compiles as its parent does, and selects the same task type."""
        for config in self._configs():
            if config is None:
                continue
            subclass = type("Sub" + type(config).__name__, (type(config),), {"__slots__": ()})
            twin = copy.copy(config)
            # Some classes do not let an object change its class; then only the look-up below can be checked.
            with suppress(TypeError, AttributeError):
                object.__setattr__(twin, "__class__", subclass)
            if type(twin) is subclass and self._bytes(twin) != self._bytes(config):
                refuse(
                    f"a subclass of {type(config).__qualname__} compiles to another payload",
                    place=self._place,
                    hint="ask isinstance(config, ...), never type(config) is ...",
                )
            if self.name:
                self._check_lookup(subclass)

    def test_local_fidelity_is_one_that_exists(self) -> None:
        """The class says what a direct call does."""
        if self.task_type.local_fidelity not in ("full", "emulated", "unsupported"):
            refuse(
                "local_fidelity is unknown",
                place=self._place,
                expected="full, emulated or unsupported",
                actual=repr(self.task_type.local_fidelity),
                hint="say what a direct call of the task does",
            )

    # --- how it is done ------------------------------------------------------------------------------------------

    @cached_property
    def instance(self) -> TaskType:
        """The task type under test."""
        return self.task_type()

    def stable_forms(self) -> list[str]:
        """The payloads of all samples as bytes; compared between processes."""
        return [self._bytes(config) for config in self._configs()]

    @property
    def _place(self) -> str:
        return f"{self.task_type.__module__}:{self.task_type.__qualname__}"

    def _configs(self) -> list[Any]:
        configs = list(self.config_samples())
        if not configs:
            refuse(
                "there are no samples", place=self._place, hint="config_samples() returns at least one configuration"
            )
        return configs

    def _compile(self, config: Any) -> Any:
        return self.instance.compile(self.declaration(config))

    def _bytes(self, config: Any) -> str:
        try:
            return canonical_json(self._compile(config)).decode("ascii")
        except FlytePathError as error:
            refuse(
                "compile() fails on a sample",
                place=self._place,
                actual=str(error),
                hint="it must compile every valid configuration to plain JSON",
                cause=error,
            )

    def _execute(self, config: Any, body: CallBody | Callable[[Mapping[str, Any]], Any]) -> Any:
        declaration = self.declaration(config)
        with tempfile.TemporaryDirectory(prefix="flytepath-conformance-") as folder:
            context = MemoryTaskContext(declaration, Path(folder), payload=self.instance.compile(declaration))
            return self.instance.execute(context, self.inputs(), body)

    def _check_lookup(self, subclass: type[Any]) -> None:
        from flytepath.plugin.manager import current

        try:
            actual = current().task_type_for(subclass).declaration.name
        except FlytePathError as error:
            actual = str(error)
        if actual != self.name:
            refuse(
                f"the configuration's subclass {subclass.__qualname__} selects another task type",
                place=self._place,
                expected=self.name,
                actual=actual,
                hint="declare the configuration's class by the module that defines it, and install the plugin",
            )


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
