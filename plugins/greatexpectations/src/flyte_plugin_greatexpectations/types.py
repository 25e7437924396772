"""The check at a task's boundary: a marker for ``Annotated``, and what the worker does where it finds one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from flytepath.plugin import BoundaryChecker, BoundaryContext, BoundaryReport, DefinitionError

from flyte_plugin_greatexpectations.frames import check_examples, check_on_failure, is_frame
from flyte_plugin_greatexpectations.suite import Expectation, read_suite

Side = Literal["both", "reading", "writing"]


@dataclass(frozen=True, slots=True, init=False)
class GreatExpectationsType:
    """Marks a frame that must meet expectations where a task takes or returns it.

    Args:
        expectations: what must hold.
        on_failure: ``raise`` fails the attempt, ``warn`` lets the frame pass with a warning.
        side: ``both`` checks wherever the type is written; ``reading`` only inputs, ``writing`` only outputs.
        examples: how many unexpected values are shown of each expectation.

    Raises:
        DefinitionError: there is no expectation, one is malformed, or an option has no such value.

    Example:
        >>> from typing import Annotated
        >>> import pandas as pd
        >>> from flyte_plugin_greatexpectations import GreatExpectationsType, expect
        >>> People = Annotated[
        ...     pd.DataFrame,
        ...     GreatExpectationsType(expectations=[expect("column_values_to_not_be_null", column="name")]),
        ... ]
    """

    expectations: tuple[Expectation, ...]
    on_failure: Literal["raise", "warn"]
    side: Side
    examples: int

    def __init__(
        self,
        expectations: Iterable[Expectation | Mapping[str, Any] | Any],
        *,
        on_failure: Literal["raise", "warn"] = "raise",
        side: Side = "both",
        examples: int = 5,
    ) -> None:
        suite = read_suite(expectations, "expectations")
        for expectation in suite:
            for name in sorted(expectation.parameters()):
                raise DefinitionError(
                    f"{expectation.type} refers to an input {name!r}; a type has none",
                    place="expectations",
                    hint="write the value, or validate with a GreatExpectationsTask that takes the input",
                )
        check_on_failure(on_failure, ("raise", "warn"), "on_failure")
        check_examples(examples, "examples")
        if side not in get_args(Side):
            raise DefinitionError(
                "unknown side", place="side", expected="one of " + ", ".join(get_args(Side)), actual=repr(side)
            )
        for name, value in (
            ("expectations", suite),
            ("on_failure", on_failure),
            ("side", side),
            ("examples", examples),
        ):
            object.__setattr__(self, name, value)


class GreatExpectationsChecker(BoundaryChecker):
    """Validates the values whose type carries a :class:`GreatExpectationsType`."""

    def validate_marker(self, marker: Any, t: Any) -> None:
        """Only frames can be validated."""
        if not is_frame(t):
            raise DefinitionError(
                "GreatExpectationsType marks data frames",
                expected="Annotated[pandas.DataFrame, GreatExpectationsType(...)]",
                actual=str(t),
            )

    def check(self, value: Any, marker: Any, context: BoundaryContext) -> BoundaryReport:
        """Validate ``value``; what cannot be evaluated is refused whatever ``on_failure`` says."""
        from flyte_plugin_greatexpectations.errors import ExpectationError
        from flyte_plugin_greatexpectations.validation import validate

        place = f"{context.task}({context.variable})"
        try:
            validation = validate(value, marker.expectations, suite=place, examples=marker.examples)
        except ExpectationError as error:
            return BoundaryReport(passed=False, message=" ".join(filter(None, (error.message, error.hint))))
        result = validation.result
        messages = [*validation.unevaluated, *(failure.message for failure in result.failures)]
        return BoundaryReport(
            passed=result.success,
            message="; ".join([result.summary(), *messages]),
            on_failure="raise" if validation.unevaluated else marker.on_failure,
            details=asdict(result),
            decks=((f"Great Expectations: {context.variable} ({context.side})", validation.deck),),
        )
