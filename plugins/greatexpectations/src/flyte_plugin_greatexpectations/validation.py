"""A validation: the batch is made, the suite is held against it, and the result told as data, as a page and as lines.

Whoever imports this module imports Great Expectations.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from flytepath.plugin import DefinitionError

from flyte_plugin_greatexpectations.actions import Ran, actions_run
from flyte_plugin_greatexpectations.batches import Part, Request, part_of, source_part, value_part
from flyte_plugin_greatexpectations.databases import connection_of, database_part
from flyte_plugin_greatexpectations.deck import deck_of
from flyte_plugin_greatexpectations.errors import ActionFailedError, ContextRootError, DataSourceError, ExpectationError
from flyte_plugin_greatexpectations.library import (
    FAILURES,
    VERSION,
    GreatExpectationsError,
    empty_context,
    gx,
    one_at_a_time,
    project_context,
)
from flyte_plugin_greatexpectations.outcomes import POSITION, failure_of, outcomes_of, plain, why_not
from flyte_plugin_greatexpectations.result import ValidationResult
from flyte_plugin_greatexpectations.suite import Expectation, restored

_ENGINES: Final = {"PandasExecutionEngine": "pandas", "SparkDFExecutionEngine": "spark"}


@dataclass(frozen=True, slots=True)
class Validation:
    """A result, what could not be evaluated (a line each), the report as HTML, and the library's results as JSON.

    ``broken`` has a line for each action that failed.
    """

    result: ValidationResult
    unevaluated: tuple[str, ...]
    deck: str
    facts: Mapping[str, Any]
    broken: tuple[str, ...] = ()

    def require_evaluated(self, place: str) -> None:
        """Raise :class:`ExpectationError` where an expectation could not be evaluated."""
        if self.unevaluated:
            count = len(self.unevaluated)
            raise ExpectationError(
                self.unevaluated[0] if count == 1 else f"{count} expectations could not be evaluated",
                place=place,
                actual="\n    ".join(self.unevaluated) if count > 1 else None,
                hint="the suite and the data do not fit together; the deck shows all of it",
            )

    def require_actions(self, place: str) -> None:
        """Raise :class:`ActionFailedError` where an action failed."""
        if self.broken:
            raise ActionFailedError(
                self.broken[0],
                place=place,
                actual="\n    ".join(self.broken) if len(self.broken) > 1 else None,
                hint=f"the validation took place: {self.result.summary()}",
            )


def validate(request: Request) -> Validation:
    """Hold data against expectations.

    Args:
        request: the data, the expectations, and what else there is to say.

    Raises:
        ExpectationError: an expectation's type or arguments are unknown to the library.
        DataSourceError: the data cannot be read.
        ContextRootError: the context root cannot be opened.
    """
    config = request.config
    # Arguments are read before anything is evaluated: a typing error in the last one should not cost a long run.
    specs = [
        _configuration(item, index, request.name, request.parameters) for index, item in enumerate(config.expectations)
    ]
    connection = connection_of(request)
    with one_at_a_time, _context(request, connection) as context, _closing(context):
        suite = gx.ExpectationSuite(name=request.name, expectations=[spec.to_domain_obj() for spec in specs])
        if config.checkpoint:
            ran = _checkpoint(context, request)
        else:
            if config.sql is not None:
                part = database_part(context, request, *connection.values())
            elif config.source:
                part = source_part(context, request)
            else:
                part = value_part(context, request)
            ran = _ran(context, request, part, suite)
        return _told(request, specs, ran)


@contextlib.contextmanager
def _context(request: Request, connection: Mapping[str, str]) -> Iterator[Any]:
    if not request.config.needs_project:
        with empty_context(connection) as context:
            yield context
        return
    if request.config.root is None:
        raise ContextRootError("the context root is not here", place=request.name, hint="compile the workflow again")
    with project_context(request.config.root, request.scratch()) as context:
        yield context


@contextlib.contextmanager
def _closing(context: Any) -> Iterator[None]:
    """No connection outlives the validation it was made for."""
    try:
        yield
    finally:
        for source in context.data_sources.all().values():
            if hasattr(source, "connection_string"):
                with contextlib.suppress(*FAILURES):
                    source.get_execution_engine().close()
                    source.get_execution_engine().engine.dispose()
                    source.get_engine().dispose()


# --- running -----------------------------------------------------------------------------------------------------


def _result_format(request: Request) -> dict[str, Any]:
    return {"result_format": "SUMMARY", "partial_unexpected_count": request.config.examples}


def _ran(context: Any, request: Request, part: Part, suite: Any) -> Ran:
    """One batch against one suite, and the actions after it."""
    if not request.config.actions:
        with _evaluating(request):
            found = part.batch.validate(suite, result_format=_result_format(request))
        return Ran(((part, found),))
    checkpoint = _as_checkpoint(context, request, part, suite)
    with _evaluating(request):
        outcome = checkpoint.run(batch_parameters=dict(part.batch_parameters))
    (found,) = outcome.run_results.values()
    return actions_run(context, ((part, found),), outcome, request.config.actions)


def _as_checkpoint(context: Any, request: Request, part: Part, suite: Any) -> Any:
    name = f"flytepath {request.name}"
    # Under a name of its own: the context root may have a suite of that name.
    suite.name = name
    definition = gx.ValidationDefinition(name=name, data=part.definition, suite=context.suites.add(suite))
    context.validation_definitions.add(definition)
    return context.checkpoints.add(
        gx.Checkpoint(name=name, validation_definitions=[definition], actions=[], result_format=_result_format(request))
    )


def _checkpoint(context: Any, request: Request) -> Ran:
    """A checkpoint of the context root: its validation definitions, and then its actions."""
    config = request.config
    with _evaluating(request):
        stored = context.checkpoints.get(config.checkpoint)
        checkpoint = gx.Checkpoint(
            name=f"flytepath {config.checkpoint}",
            validation_definitions=stored.validation_definitions,
            actions=[],
            result_format=_result_format(request),
        )
    parameters = dict(config.batch.batch_parameters)
    if request.value is not None:
        parameters["dataframe"] = request.value
    parts = [part_of(definition.data, parameters, definition.name) for definition in checkpoint.validation_definitions]
    with _evaluating(request):
        outcome = checkpoint.run(batch_parameters=parameters, expectation_parameters=dict(request.parameters))
    found = tuple(zip(parts, outcome.run_results.values(), strict=True))
    return actions_run(context, found, outcome, (*stored.actions, *config.actions))


@contextlib.contextmanager
def _evaluating(request: Request) -> Iterator[None]:
    try:
        yield
    except (GreatExpectationsError, ValueError, LookupError) as error:
        if isinstance(error, DefinitionError | DataSourceError | ExpectationError):
            raise
        raise ExpectationError(
            f"Great Expectations cannot carry out the validation: {_reasons(error)}", place=request.name
        ) from error


# --- telling -----------------------------------------------------------------------------------------------------


def _told(request: Request, specs: Sequence[Any], ran: Ran) -> Validation:
    failures, unevaluated, outcomes = [], [], []
    for part, found in ran.found:
        mine = outcomes_of(found.results)
        several = f"{part.told}: " if len(ran.found) > 1 else ""
        for index, outcome in enumerate(mine):
            # As they were written: the library turns 0 into 0.0.
            arguments = plain(specs[index].kwargs) if specs else outcome["kwargs"]
            if outcome["errors"]:
                line = why_not(outcome["type"], arguments, outcome["errors"], partial(_columns_of, part))
                unevaluated.append(several + line)
            elif not outcome["success"]:
                failure = failure_of(outcome["type"], arguments, outcome)
                failures.append(dataclasses.replace(failure, message=several + failure.message))
        outcomes += mine
    failed = len(failures) + len(unevaluated)
    result = ValidationResult(
        success=not failed,
        evaluated=len(outcomes),
        successful=len(outcomes) - failed,
        failed=failed,
        failures=failures,
        engine=f"great_expectations {VERSION} ({', '.join(dict.fromkeys(_engine(part) for part, _ in ran.found))})",
        suite=request.config.suite or request.config.checkpoint or request.name,
    )
    told = "; ".join(part.told for part, _ in ran.found)
    labels = ", ".join(f"{key} {value}" for key, value in request.config.batch.batch_identifiers.items())
    deck = deck_of(request.name, f"{told} ({labels})" if labels else told, result, outcomes, ran.lines)
    facts = {**dataclasses.asdict(result), "data": told, "expectations": outcomes, "actions": list(ran.lines)}
    facts.pop("report", None)
    return Validation(result, tuple(unevaluated), deck, facts, ran.broken)


def _engine(part: Part) -> str:
    engine = part.batch.data.execution_engine
    return _ENGINES.get(type(engine).__name__) or str(getattr(engine, "dialect_name", "sql"))


def _columns_of(part: Part) -> Sequence[Any]:
    frame = part.batch_parameters.get("dataframe")
    if frame is not None:
        return list(frame.columns)
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # a progress bar that no setting of the library turns off
            return list(part.batch.columns())
    except FAILURES:
        return ()  # the names would only make the message better


# --- arguments ---------------------------------------------------------------------------------------------------


def _configuration(expectation: Expectation, index: int, suite: str, parameters: Mapping[str, Any]) -> Any:
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    place = f"{suite}: expectation {index + 1}, {expectation.type}"
    known = list_registered_expectation_implementations()
    # A few of the library's own, and any that a user writes, are called otherwise than expect_...
    names = [name for name in (expectation.type, expectation.type.removeprefix("expect_")) if name in known]
    if not names:
        near = difflib.get_close_matches(expectation.type, known, n=1, cutoff=0.6)
        raise ExpectationError(
            f"there is no expectation {expectation.type!r}",
            place=place,
            hint=f"did you mean {near[0]!r}?"
            if near
            else "a custom expectation must be imported by the module that defines the task",
        )
    attributes = restored(dict(expectation.attributes), {})
    # The library gives results in an order of its own; this leads back to ours.
    attributes["meta"] = {**attributes.get("meta", {}), POSITION: index}
    configuration = ExpectationConfiguration(
        type=names[0], kwargs=restored(dict(expectation.kwargs), parameters), **attributes
    )
    try:
        configuration.to_domain_obj()
    except (ValueError, TypeError, GreatExpectationsError) as error:
        raise ExpectationError(
            f"the arguments of {expectation.type} do not fit: {_reasons(error)}",
            place=place,
            actual=json.dumps(expectation.to_json()["kwargs"]),
        ) from error
    return configuration


def _reasons(error: Exception) -> str:
    details = getattr(error, "errors", None)
    if not callable(details):
        return str(error)
    return "; ".join(
        item["msg"] if item["loc"] == ("__root__",) else f"{'.'.join(map(str, item['loc']))}: {item['msg']}"
        for item in details()
    )
