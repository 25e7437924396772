"""The task that validates a frame: its configuration, the class users write, and the task type that runs it."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from flytepath import PythonInstanceTask
from flytepath.plugin import DefinitionError, TaskContext, TaskDeclaration, TaskType

from flyte_plugin_greatexpectations.errors import ValidationFailedError
from flyte_plugin_greatexpectations.frames import check_examples, check_on_failure, is_frame
from flyte_plugin_greatexpectations.result import ValidationResult
from flyte_plugin_greatexpectations.suite import Expectation, read_suite

log = logging.getLogger(__name__)

OnFailure = Literal["raise", "warn", "return"]
#: The deck's name.
DECK: Final = "Great Expectations"
_PARAMETER_TYPES: Final = (bool, int, float, str, dt.date, dt.datetime)


@dataclass(frozen=True, slots=True)
class GreatExpectationsConfig:
    """What a :class:`GreatExpectationsTask` is configured with.

    Args:
        expectations: the suite, in any form that :func:`~flyte_plugin_greatexpectations.expect` and its siblings allow.
        on_failure: ``raise`` fails the task, ``warn`` logs a warning, ``return`` leaves it to who reads the result.
        examples: how many unexpected values are shown of each expectation; 0 where values must not be shown.

    Raises:
        DefinitionError: there is no expectation, one is malformed, or an option has no such value.
    """

    expectations: tuple[Expectation, ...]
    on_failure: OnFailure = "raise"
    examples: int = 5

    def __post_init__(self) -> None:
        object.__setattr__(self, "expectations", read_suite(self.expectations, "expectations"))
        check_on_failure(self.on_failure, get_args(OnFailure), "on_failure")
        check_examples(self.examples, "examples")


class GreatExpectationsTask(PythonInstanceTask):
    """Validates a frame against expectations.

    Called in a workflow it is a node whose output is a :class:`~flyte_plugin_greatexpectations.ValidationResult`;
    a task that takes the result runs only after the validation. Assign it to a module variable.

    Args:
        name: the task's name; also the suite's in the report.
        expectations: what must hold.
        inputs: one ``pandas.DataFrame``, and any scalars that expectations refer to with ``parameter(name)``.
        on_failure: ``raise``, ``warn`` or ``return``.
        examples: how many unexpected values are shown of each expectation.
        metadata: ``retries``, ``timeout`` and what else every task takes.

    Raises:
        DefinitionError: when it is defined, if it can never run.
        ValidationFailedError: when it runs, with ``on_failure="raise"``.
        ExpectationError: when it runs, if an expectation or a column it names does not exist.

    Example:
        >>> import pandas as pd
        >>> from flyte_plugin_greatexpectations import GreatExpectationsTask, expect
        >>> check = GreatExpectationsTask(
        ...     name="check_ages",
        ...     expectations=[expect("column_values_to_be_between", column="age", min_value=0, max_value=130)],
        ...     inputs={"people": pd.DataFrame},
        ... )
        >>> check(people=pd.DataFrame({"age": [30, 41]})).success
        True
    """

    def __init__(
        self,
        name: str,
        *,
        expectations: Iterable[Expectation | Mapping[str, Any] | Any],
        inputs: Mapping[str, Any],
        on_failure: OnFailure = "raise",
        examples: int = 5,
        **metadata: Any,
    ) -> None:
        try:
            config = GreatExpectationsConfig(expectations, on_failure, examples)  # type: ignore[arg-type]
            frame_input(config, inputs)
        except DefinitionError as error:
            error.place = f"{name}({error.place})" if error.place else name
            raise
        super().__init__(name, config, inputs, {"o0": ValidationResult}, **metadata)


class GreatExpectationsTaskType(TaskType):
    """Runs :class:`GreatExpectationsTask`: the same code in a direct call and in a worker."""

    def compile(self, declaration: TaskDeclaration) -> dict[str, Any]:
        """The suite as canonical data."""
        config = _config(declaration)
        return {
            "expectations": [expectation.to_json() for expectation in config.expectations],
            "examples": config.examples,
            "frame": frame_input(config, declaration.python_inputs),
            "on_failure": config.on_failure,
        }

    def execute(self, context: TaskContext, inputs: Mapping[str, Any], call_body: Any) -> ValidationResult:
        """Validate, write the deck, and only then fail."""
        from flyte_plugin_greatexpectations.validation import validate

        declaration = context.declaration
        config = _config(declaration)
        frame = frame_input(config, declaration.python_inputs)
        validation = validate(
            inputs[frame],
            config.expectations,
            suite=declaration.name,
            parameters={name: value for name, value in inputs.items() if name != frame},
            examples=config.examples,
        )
        context.add_deck(DECK, validation.deck)
        place = f"{declaration.name}({frame})"
        validation.require_evaluated(place)
        result = validation.result
        if result.success or config.on_failure == "return":
            return result
        lines = [failure.message for failure in result.failures]
        if config.on_failure == "warn":
            log.warning("%s: %s\n  %s", place, result.summary(), "\n  ".join(lines))
            return result
        raise ValidationFailedError(
            f"{result.summary()}: {lines[0]}",
            place=place,
            expected=f"all {result.evaluated} expectations met",
            actual="\n    ".join(lines),
            hint=f"the deck {DECK!r} of this attempt shows the whole result",
        )


def frame_input(config: GreatExpectationsConfig, inputs: Mapping[str, Any]) -> str:
    """The name of the input that is validated.

    Raises:
        DefinitionError: there is none or more than one, or the other inputs are not those the expectations refer to.
    """
    if not isinstance(inputs, Mapping):
        raise DefinitionError("inputs are types by name", place="inputs", actual=repr(inputs)[:200])
    frames = [name for name, t in inputs.items() if is_frame(t)]
    if len(frames) != 1:
        raise DefinitionError(
            "a validation takes one frame",
            place="inputs",
            expected="one input of type pandas.DataFrame, as in inputs={'frame': pd.DataFrame}",
            actual=", ".join(f"{name}: {getattr(t, '__name__', t)}" for name, t in inputs.items()) or "no inputs",
        )
    used = {name for expectation in config.expectations for name in expectation.parameters()}
    others = {name: t for name, t in inputs.items() if name != frames[0]}
    for name, t in others.items():
        if t not in _PARAMETER_TYPES or name not in used:
            raise DefinitionError(
                f"input {name!r} has no part in the validation",
                place=f"inputs[{name!r}]",
                expected="next to the frame only scalars that an expectation refers to with parameter(name)",
                actual=f"{getattr(t, '__name__', t)}, " + ("used" if name in used else "used by no expectation"),
            )
    missing = sorted(used - set(others))
    if missing:
        raise DefinitionError(
            f"an expectation refers to the input {missing[0]!r}, which the task does not take",
            place="expectations",
            hint=f"add it: inputs={{{missing[0]!r}: float, ...}}",
        )
    return frames[0]


def _config(declaration: TaskDeclaration) -> GreatExpectationsConfig:
    config = declaration.config
    if not isinstance(config, GreatExpectationsConfig):
        raise DefinitionError(
            "a validation is configured by GreatExpectationsConfig", place=declaration.name, actual=repr(config)[:200]
        )
    if declaration.body != "none":
        raise DefinitionError(
            "a validation has no function of its own",
            place=declaration.name,
            hint="use GreatExpectationsTask(...); to check what a function takes or returns, annotate it with "
            "Annotated[pd.DataFrame, GreatExpectationsType(...)]",
        )
    return config
