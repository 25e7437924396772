"""The conformance of a transformer: values come back exactly, and their literals are stable, plain and safe."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cached_property
from types import GenericAlias
from typing import Any, ClassVar, NoReturn

from flytepath.errors import FlytePathError, TypeTransformerFailedError
from flytepath.model.literal import Literal, compose_dict, compose_list
from flytepath.model.types import STRING, LiteralType
from flytepath.plugin.transformer import TypeTransformer
from flytepath.testing.blobs import MemoryBlobs
from flytepath.testing.findings import refuse
from flytepath.testing.object_graph import shared_mutables
from flytepath.testing.pickles import pickle_in, pickle_in_json
from flytepath.testing.plain_json import not_plain
from flytepath.testing.samples import stable_forms_elsewhere

PICKLE_FORMATS = frozenset({"pickle", "cloudpickle"})


class TransformerConformance:
    """Checks that hold for every transformer. Subclass it at the top of a test module.

    Example:
        >>> class TestTemperature(TransformerConformance):
        ...     transformer = None  # the TypeTransformer class; None: the one that is installed for python_type
        ...     python_type = float
        ...     def values(self):
        ...         return [0.0, -40.0]
        ...     def invalid_values(self):
        ...         return ["warm"]
    """

    #: The transformer under test. ``None``: the one that the installed plugins declare for ``python_type``.
    transformer: ClassVar[type[TypeTransformer[Any]] | None] = None
    #: The Python type as a task would declare it, generic arguments and all.
    python_type: ClassVar[Any]
    #: The class that shows such values in a deck, if the plugin declares one.
    deck_renderer: ClassVar[type[Any] | None] = None
    #: Whether the plugin is installed, so that the type engine finds the transformer inside containers too.
    in_engine: ClassVar[bool] = True

    # --- what a subclass says ------------------------------------------------------------------------------------

    def values(self) -> Iterable[Any]:
        """Values of the type, made afresh on every call: small, empty, large, odd ones."""
        raise NotImplementedError("values() gives samples of the type")

    def strategy(self) -> Any:
        """A hypothesis strategy for more values; ``None``: only :meth:`values`."""
        return None

    def equal(self, left: Any, right: Any) -> bool:
        """Whether two values are the same value, exactly."""
        return type(left) is type(right) and bool(left == right)

    def invalid_values(self) -> Iterable[Any]:
        """Values that are not of the type: the transformer must refuse them."""
        return ()

    def hostile_values(self) -> Iterable[Any]:
        """Values that carry ``<script>alert(1)</script>`` wherever they can carry text."""
        return ()

    def mutate(self, value: Any) -> None:
        """Change ``value`` in place, for types whose inside cannot be looked into; by default nothing."""

    # --- the checks ----------------------------------------------------------------------------------------------

    def test_values_come_back_exactly(self) -> None:
        """What is decoded is what was encoded, from memory and after the literal was JSON."""
        for value in self._fresh():
            self._round_trip(value)
        strategy = self.strategy()
        if strategy is not None:
            import hypothesis

            given: Any = hypothesis.given(strategy)
            hypothesis.settings(deadline=None, database=None)(given(self._round_trip))()

    def test_the_literal_says_its_format(self) -> None:
        """The literal's format, version and type are those the transformer declares."""
        instance = self.instance
        declared = (instance.format, instance.format_version)
        expected_type = instance.literal_type(self.python_type)
        for value in self._fresh():
            literal = self._encode(value, MemoryBlobs())
            if (literal.format, literal.version) != declared:
                self._refuse(
                    "the literal has another format than the transformer says",
                    expected=f"format {declared[0]!r} version {declared[1]}",
                    actual=f"format {literal.format!r} version {literal.version}",
                    hint="pass format=self.format and version=self.format_version to Literal.make",
                )
            if literal.type != expected_type:
                self._refuse(
                    "the literal has another type than literal_type() says",
                    expected=str(expected_type),
                    actual=str(literal.type),
                    hint="make the literal with self.literal_type(t)",
                )

    def test_the_literal_is_json(self) -> None:
        """The envelope survives being written as JSON."""
        for value in self._fresh():
            literal = self._encode(value, MemoryBlobs())
            problem = not_plain(literal.data)
            if problem:
                self._refuse(
                    "the literal's data is not plain JSON",
                    actual=problem,
                    hint="data holds dicts with string keys, lists, strings, finite numbers, booleans and None only",
                )
            if Literal.from_json(json.loads(json.dumps(literal.to_json()))) != literal:
                self._refuse("the literal changes when it is written as JSON", hint="put only plain JSON into data")

    def test_equal_values_have_equal_digests(self) -> None:
        """The digest follows the value: equal for equal values, different for different ones."""
        firsts, seconds = list(self._fresh()), list(self._fresh())
        for first, second in zip(firsts, seconds, strict=True):
            if self.equal(first, second) and self._digest(first) != self._digest(second):
                self._refuse(
                    f"two equal values have different digests: {_shown(first)}",
                    hint="write the same bytes for equal values (sort, drop clocks and ids), or override digest(value)",
                )
        for index, first in enumerate(firsts):
            for other in firsts[index + 1 :]:
                if not self.equal(first, other) and self._digest(first) == self._digest(other):
                    self._refuse(
                        f"two different values have one digest: {_shown(first)} and {_shown(other)}",
                        hint="the digest decides what the cache reuses; take it of everything that makes the value",
                    )

    def test_digests_are_the_same_in_every_process(self) -> None:
        """The digest does not depend on hash order or memory."""
        seen = [stable_forms_elsewhere(type(self), hash_seed) for hash_seed in (1, 2)]
        if seen[0] != seen[1]:
            index = next(i for i, pair in enumerate(zip(*seen, strict=True)) if pair[0] != pair[1])
            self._refuse(
                f"the digest of sample {index} differs from process to process",
                expected=seen[0][index],
                actual=seen[1][index],
                hint="write the same bytes in every process: sort sets and keys, use no hash(), id() or clock",
            )

    def test_encoding_leaves_the_value_alone(self) -> None:
        """The giver's value is the same afterwards."""
        for value, fresh in zip(self._fresh(), self._fresh(), strict=True):
            before = fresh
            with suppress(TypeError, copy.Error):
                before = copy.deepcopy(value)
            self._encode(value, MemoryBlobs())
            self.instance.summary(value)
            self.instance.digest(value)
            if not self.equal(before, value):
                self._refuse(
                    f"encoding changes the value: {_shown(value)}",
                    expected=_shown(before),
                    actual=_shown(value),
                    hint="work on a copy; the task that made the value may still use it",
                )

    def test_isolate_shares_nothing_mutable(self) -> None:
        """A receiving task can change its value without the giver noticing."""
        for value, fresh in zip(self._fresh(), self._fresh(), strict=True):
            isolated = self.instance.isolate(value, self.python_type)
            if not self.equal(isolated, fresh):
                self._refuse(
                    "isolate() returns another value",
                    expected=_shown(fresh),
                    actual=_shown(isolated),
                    hint="return an equal value that shares nothing mutable with the one given",
                )
            shared = shared_mutables(value, isolated)
            if shared:
                self._refuse(
                    f"isolate() shares what can be changed: {', '.join(shared[:5])}",
                    hint="copy it (copy.deepcopy is the default), or hand it over read-only",
                )
            # Read-only values may refuse to be changed, which is just as good.
            with suppress(ValueError, TypeError, AttributeError):
                self.mutate(isolated)
            if not self.equal(value, fresh):
                self._refuse(
                    "a change of the isolated value shows in the original",
                    hint="copy what is inside as well, or hand it over read-only",
                )

    def test_invalid_values_are_refused(self) -> None:
        """What is not of the type raises ``TypeTransformerFailedError``, before a blob is written."""
        for value in self.invalid_values():
            blobs = MemoryBlobs()
            try:
                self.instance.encode(value, self.python_type, blobs)
            except TypeTransformerFailedError:
                continue
            except Exception as error:  # noqa: BLE001 - any other error is the finding
                self._refuse(
                    f"an invalid value raises {type(error).__name__}: {_shown(value)}",
                    expected="TypeTransformerFailedError",
                    actual=f"{type(error).__name__}: {error}",
                    hint="check the value first; raise TypeTransformerFailedError with expected and actual",
                    cause=error,
                )
            self._refuse(
                f"an invalid value is encoded without an error: {_shown(value)}",
                expected="TypeTransformerFailedError",
                actual="a literal",
                hint="check the value in encode(); a wrong value must fail in the task that made it",
            )

    def test_summary_is_plain_data(self) -> None:
        """A summary is JSON, holds text as it is, and a deck that shows it is not open to injection."""
        for value in [*self._fresh(), *self.hostile_values()]:
            summary = self.instance.summary(value)
            problem = not_plain(summary)
            if problem:
                self._refuse(
                    "summary() is not plain JSON",
                    actual=problem,
                    hint="return dicts with string keys, lists, strings, finite numbers, booleans and None only",
                )
            if "&lt;" in json.dumps(summary):
                self._refuse(
                    "summary() escapes text",
                    actual=_shown(summary),
                    hint="return the text as it is; whoever shows it escapes it, once",
                )
        if self.deck_renderer is not None:
            for value in self.hostile_values():
                if "<script>alert" in self.deck_renderer().to_html(value):
                    self._refuse(
                        "the deck renderer lets a value's text through as HTML",
                        place=self.deck_renderer.__qualname__,
                        hint="pass every text that comes from the value through html.escape",
                    )

    def test_nothing_is_pickled_unless_declared(self) -> None:
        """Neither blobs nor data are pickles, unless the format's name says so."""
        if self.instance.format in PICKLE_FORMATS:
            return
        for value in self._fresh():
            blobs = MemoryBlobs()
            literal = self._encode(value, blobs)
            found = next(filter(None, map(pickle_in, blobs.contents.values())), None) or pickle_in_json(literal.data)
            if found:
                self._refuse(
                    f"format {self.instance.format!r} holds {found}",
                    expected="a format that can be read without running code",
                    hint="write the fields themselves, or declare the format as 'pickle' so that users are told",
                )

    def test_literals_fit_into_containers(self) -> None:
        """Inside a list or a dict the value keeps its format and comes back exactly, without the type engine."""
        literal_type = self.instance.literal_type(self.python_type)
        for value, fresh in zip(self._fresh(), self._fresh(), strict=True):
            blobs = MemoryBlobs()
            literal = self._encode(value, blobs)
            listed = compose_list(LiteralType("list", items=(literal_type,)), [literal, literal])
            named = compose_dict(LiteralType("dict", items=(STRING, literal_type)), {"key": literal})
            for part in (_through_json(listed).get((1,)), _through_json(named).get(("key",))):
                self._same(self.instance.decode(part, self.python_type, blobs), fresh, "inside a container")

    def test_the_type_engine_nests_the_type(self) -> None:
        """``list[T]`` and ``dict[str, T]`` use this transformer, through the installed plugin."""
        if not self.in_engine:
            return
        from flytepath.types.engine import codec

        element = self.python_type
        for container in (GenericAlias(list, (element,)), GenericAlias(dict, (str, element))):
            self._nested(codec, container)

    # --- how it is done ------------------------------------------------------------------------------------------

    @cached_property
    def instance(self) -> TypeTransformer[Any]:
        """The transformer under test."""
        if self.transformer is not None:
            return self.transformer()
        from flytepath.plugin.manager import current

        claim = current().transformer_for(self.python_type)
        if claim is None:
            self._refuse(
                f"no installed plugin declares a transformer for {self.python_type!r}",
                hint="set the attribute transformer, or declare the type in flytepath_transformers()",
            )
        made: TypeTransformer[Any] = current().resolve(claim.declaration.transformer)()
        return made

    def stable_forms(self) -> list[str]:
        """The digests of all samples; compared between processes."""
        return [self._digest(value) for value in self._fresh()]

    def _fresh(self) -> list[Any]:
        values = list(self.values())
        if not values:
            self._refuse("there are no samples", hint="values() returns at least one value")
        return values

    def _encode(self, value: Any, blobs: MemoryBlobs) -> Literal:
        try:
            return self.instance.encode(value, self.python_type, blobs)
        except FlytePathError as error:
            self._refuse(
                f"a valid value is refused: {_shown(value)}",
                actual=str(error),
                hint="values() gives values that the transformer must take",
                cause=error,
            )

    def _digest(self, value: Any) -> str:
        return self.instance.digest(value) or self._encode(value, MemoryBlobs()).digest

    def _round_trip(self, value: Any) -> None:
        blobs = MemoryBlobs()
        literal = self._encode(value, blobs)
        self._same(self.instance.decode(literal, self.python_type, blobs), value, "from its literal")
        self._same(self.instance.decode(_through_json(literal), self.python_type, blobs), value, "from JSON")

    def _nested(self, codec: Callable[[Any], Any], container: Any) -> None:
        compiled = codec(container)
        inner = compiled.literal_type.items[-1]
        expected = self.instance.literal_type(self.python_type)
        if inner != expected:
            self._refuse(
                f"inside {container} the type engine uses another transformer",
                expected=str(expected),
                actual=str(inner),
                hint="install the plugin, declare the type by its defining module's name; or set in_engine = False",
            )
        for value, fresh in zip(self._fresh(), self._fresh(), strict=True):
            blobs = MemoryBlobs()
            is_list = compiled.literal_type.kind == "list"
            literal = compiled.encode([value, value] if is_list else {"key": value}, blobs)
            back = compiled.decode(_through_json(literal), blobs)
            self._same(back[1] if is_list else back["key"], fresh, f"inside {container}")

    def _same(self, actual: Any, expected: Any, where: str) -> None:
        if not self.equal(expected, actual):
            self._refuse(
                f"a value changes on its way {where}",
                expected=_shown(expected),
                actual=_shown(actual),
                hint="keep everything that equal() compares: exact types, order, names, time zones, precision",
            )

    def _refuse(
        self,
        message: str,
        *,
        hint: str,
        place: str | None = None,
        expected: str | None = None,
        actual: str | None = None,
        cause: BaseException | None = None,
    ) -> NoReturn:
        named = place or f"transformer of {self.python_type!r}"
        refuse(message, place=named, expected=expected, actual=actual, hint=hint, cause=cause)


def _through_json(literal: Literal) -> Literal:
    return Literal.from_json(json.loads(json.dumps(literal.to_json())))


def _shown(value: Any) -> str:
    text = f"{type(value).__qualname__} {value!r}"
    return text if len(text) <= 200 else f"{text[:200]}..."
